"""CHECKS: the rules between the keys of a configuration, one small function each.

Each sees the tables that could be read and yields the problems of their keys. A name counts as known wherever it is
written, and what an unreadable table could answer ("nothing uses this") waits until it can be read: one mistake is one
problem.
"""

import os
from collections.abc import Callable, Collection, Iterator, KeysView
from fnmatch import fnmatchcase
from itertools import takewhile

import msgspec

from geodata.errors import GeoError
from geodata.regions import Regions
from monitors.http_message import HttpFields
from monitors.monitor import Monitor
from monitors.notify.notifier import Notifier
from steering.balance.matches import Match, find_unreachable
from steering.balance.policies import POLICIES
from steering.beside.dns_update import DnsUpdate
from steering.beside.export import Export
from steering.beside.update import Update
from steering.health.guard import Guard
from steering.health.maintenance import Maintenance
from steering.problems import Key, did_you_mean, show, show_key
from steering.reading import Document
from steering.records import RECORDS_BY_TYPE
from steering.records.a import A
from steering.records.aaaa import AAAA
from steering.records.cname import CNAME
from steering.settings import (
    CATALOG_NAME_LIMIT,
    MAPS,
    MATCHING,
    CatalogMembers,
    ClientLocation,
    GeoSource,
    Http,
    LoadBalancer,
    MonitorGroup,
    Origin,
    Pool,
    PoolSet,
    PowerDns,
    RandomSteering,
    Server,
    SharedKey,
    Zone,
)
from steering.wire import is_below, name_to_text, split_labels

Problems = Iterator[tuple[Key, str]]


def check_listen(document: Document) -> Problems:
    """Whoever has something to answer listens."""
    for key, server in document.all(Server):
        elsewhere = any(document.all(PowerDns)) or (document.tables("update") and not document.tables("zone"))
        if not server.listen and not elsewhere and (document.tables("zone") or document.tables("load_balancer")):
            yield (*key, "listen"), "missing; expected a list, not empty, as there are zones or load balancers"


def check_workers(document: Document) -> Problems:
    """At most 4 workers for each processor core."""
    most = 4 * (os.cpu_count() or 1)
    for key, server in document.all(Server):
        if server.workers > most:
            yield (*key, "workers"), f"expected at most 4 for each processor core, here {most}"


def check_powerdns(document: Document) -> Problems:
    """PowerDNS can ask somewhere."""
    for key, powerdns in document.all(PowerDns):
        if powerdns.socket is None and powerdns.listen is None:
            yield key, "expected socket, listen or both"


def check_http(document: Document) -> Problems:
    """There is one token at most, and reading asks for no token that does not exist."""
    for key, http in document.all(Http):
        if http.token and http.token_file:
            yield (*key, "token_file"), "only without token"
        if http.token_for_reading and not http.token and not http.token_file:
            yield (*key, "token_for_reading"), "only with token or token_file"


def check_duplicates(document: Document) -> Problems:
    """What has a name or a place of its own has it alone."""
    identities: list[tuple[Key, object]] = []
    for key, server in document.all(Server):
        identities += [((*key, "listen", place), listen) for place, listen in enumerate(server.listen)]
    identities += [((*key, "listen"), http.listen) for key, http in document.all(Http)]
    identities += [((*key, "listen"), each.listen) for key, each in document.all(PowerDns) if each.listen]
    identities += [((*key, "path"), (GeoSource, source.path)) for key, source in document.all(GeoSource)]
    identities += [((*key, "name"), (Monitor, monitor.name)) for key, monitor in document.all(Monitor)]
    identities += [((*key, "name"), (Monitor, group.name)) for key, group in document.all(MonitorGroup)]
    identities += [
        ((*key, "members", place), (key, member.monitor))
        for key, group in document.all(MonitorGroup)
        for place, member in enumerate(group.members)
    ]
    for key, guard in document.all(Guard):
        identities += [((*key, "references", place), (Guard, each)) for place, each in enumerate(guard.references)]
    identities += [((*key, "name"), (Maintenance, window.name)) for key, window in document.all(Maintenance)]
    identities += [((*key, "name"), (Pool, pool.name)) for key, pool in document.all(Pool)]
    identities += [((*key, "name"), (key[:-1], origin.name)) for key, origin in document.all(Origin)]
    identities += [((*key, "name"), (key[:-1], pool_set.name)) for key, pool_set in document.all(PoolSet)]
    identities += [((*key, "name"), (Notifier, notifier.name)) for key, notifier in document.all(Notifier)]
    identities += [((*key, "name"), (SharedKey, each.name)) for key, each in document.all(SharedKey)]
    identities += [(key, (Update, update.zone, update.where)) for key, update in document.all(Update)]
    identities += [((*key, "name"), (Zone, zone.name)) for key, zone in document.all(Zone)]
    identities += [((*key, "path"), (Export, export.path)) for key, export in document.all(Export)]
    first: dict[object, Key] = {}
    for key, identity in identities:
        if identity in first:
            yield key, f"taken already by {show_key(first[identity])}"
        first.setdefault(identity, key)


def check_monitors(document: Document) -> Problems:
    """A timeout fits into its interval, the fields of a kind go together, and something uses the monitor."""
    used = {pool.monitor for _, pool in document.all(Pool)} - {None}
    known = _names(document, "monitor") | _names(document, "monitor_group")
    all_known = _all_read(document, "pool", Pool) and used <= known
    all_known &= _all_read(document, "monitor_group", MonitorGroup)
    used |= {member.monitor for _, group in document.all(MonitorGroup) for member in group.members}
    used |= {guard.reference_monitor for _, guard in document.all(Guard)}
    for key, monitor in document.all(Monitor):
        if monitor.timeout > monitor.interval:
            yield (
                (*key, "timeout"),
                f"{monitor.timeout:g} s do not fit into an interval of {monitor.interval:g} s",
            )
        if monitor.damping_flips * monitor.interval >= monitor.damping_window:
            yield (*key, "damping_window"), f"{monitor.damping_flips} flips and one more do not fit into it"
        yield from (((*key, field), message) for field, message in monitor.problems())
        if all_known and monitor.name not in used:
            yield (*key, "name"), "no pool uses this monitor"


def check_monitor_groups(document: Document) -> Problems:
    """The members of a group exist, and have a say together; some pool uses the group."""
    monitors = _names(document, "monitor")
    used = {pool.monitor for _, pool in document.all(Pool)} - {None}
    all_known = _all_read(document, "pool", Pool) and used <= monitors | _names(document, "monitor_group")
    for key, group in document.all(MonitorGroup):
        for place, member in enumerate(group.members):
            here = (*key, "members", place)
            if member.monitor not in monitors:
                yield (*here, "monitor"), "no monitor has this name" + did_you_mean(member.monitor, monitors)
            if member.must_be_healthy and member.monitoring_only:
                yield (*here, "monitoring_only"), "not together with must_be_healthy"
        if all(member.monitoring_only for member in group.members):
            yield (*key, "members"), "all of them only watch: none could say whether an origin is up"
        if all_known and group.name not in used:
            yield (*key, "name"), "no pool uses this group"


def check_guard(document: Document) -> Problems:
    """References have a monitor that exists."""
    monitors = _names(document, "monitor")
    for key, guard in document.all(Guard):
        yield from (((*key, name), message) for name, message in guard.problems())
        name = guard.reference_monitor
        if name is not None and name not in monitors:
            yield (*key, "reference_monitor"), "no monitor has this name" + did_you_mean(name, monitors)


def check_pools(document: Document) -> Problems:
    """A pool's monitor exists, it can reach its minimum, and some load balancer uses it.

    Without any load balancer, pools are there to be probed, which is a use.
    """
    monitors = _names(document, "monitor") | _names(document, "monitor_group")
    used = {name for key, balancer in document.all(LoadBalancer) for _, name in _pools_of(key, balancer)}
    all_known = _all_read(document, "load_balancer", LoadBalancer) and used <= _names(document, "pool")
    for key, pool in document.all(Pool):
        if pool.monitor is not None and pool.monitor not in monitors:
            yield (*key, "monitor"), "no monitor has this name" + did_you_mean(pool.monitor, monitors)
        enabled = sum(origin.enabled for origin in pool.origins)
        if pool.enabled and pool.minimum_origins > enabled:
            yield (
                (*key, "minimum_origins"),
                f"{pool.minimum_origins} cannot be reached: {enabled} of its origins are enabled",
            )
        if used and all_known and pool.name not in used:
            yield (*key, "name"), "no load balancer uses this pool"
        yield from _check_traffic(key, pool)


def _check_traffic(key: Key, pool: Pool) -> Problems:
    """The keys that say how much of its traffic a pool takes, and where it is."""
    for name, other in (("latitude", "longitude"), ("longitude", "latitude")):
        if getattr(pool, name) is not None and getattr(pool, other) is None:
            yield (*key, name), f"only together with {other}"
    steering, shedding = pool.origin_steering, pool.load_shedding
    if steering.max_answers is not None and steering.policy != "all":
        yield (
            (*key, "origin_steering", "max_answers"),
            f'policy {show(steering.policy)} answers with one, "all" with more',
        )
    for name, other in (("low_watermark", "high_watermark"), ("high_watermark", "low_watermark")):
        if getattr(shedding, name) is not None and getattr(shedding, other) is None:
            yield (*key, "load_shedding", name), f"only together with {other}"
    low, high = shedding.low_watermark, shedding.high_watermark
    if low is not None and high is not None and low >= high:
        yield (*key, "load_shedding", "high_watermark"), f"expected more than low_watermark, {low:g}"
    if pool.ramp_up and pool.monitor is None:
        yield (*key, "ramp_up"), "the pool has no monitor: nobody knows when an origin has come back"
    if low is not None and pool.monitor is None:
        yield (*key, "load_shedding", "low_watermark"), "the pool has no monitor, and load counts for what is checked"


def check_location(document: Document) -> Problems:
    """There are trusted resolvers if they are asked for, and only then, each once."""
    for key, location in document.all(ClientLocation):
        if (location.prefer_ecs == "listed") != bool(location.trusted_resolvers):
            yield (*key, "trusted_resolvers"), 'to be given with prefer_ecs = "listed", and only then'
        yield from _check_repeated((*key, "trusted_resolvers"), location.trusted_resolvers)


def _check_repeated(key: Key, listed: tuple[object, ...]) -> Problems:
    for position, item in enumerate(listed):
        if item in listed[:position]:
            yield (*key, position), "in this list already"


def check_origins(document: Document) -> Problems:
    """What an origin sets instead of its monitor is there to be set, and a host name is looked up, which checks do."""
    monitors = {monitor.name: monitor for _, monitor in document.all(Monitor)}
    for key, pool in document.all(Pool):
        monitor = monitors.get(pool.monitor or "")
        for position, origin in enumerate(pool.origins):
            place = (*key, "origin", position)
            if pool.monitor is None:
                if origin.is_host and not origin.records:
                    yield (*place, "address"), "a host name is looked up by checks: the pool needs a monitor"
                if origin.port is not None:
                    yield (*place, "port"), "for checks, and this pool has no monitor"
                if origin.header.Host is not None:
                    yield (*place, "header", "Host"), "for checks, and this pool has no monitor"
            elif monitor is not None:
                kind = monitor.__struct_config__.tag
                if origin.port is not None and not hasattr(monitor, "port"):
                    yield (*place, "port"), f"monitor {show(monitor.name)} is of type {kind}, which has no port"
                if origin.header.Host is not None and not isinstance(monitor, HttpFields):
                    text = f"monitor {show(monitor.name)} is of type {kind}; only http and https have a Host header"
                    yield (*place, "header", "Host"), text


def check_notifiers(document: Document) -> Problems:
    """The keys of a kind go together, and every pattern chooses something; "*" chooses whatever there is."""
    for key, notifier in document.all(Notifier):
        yield from (((*key, name), message) for name, message in notifier.problems())
        yield from _check_globs(document, key, notifier.pools, notifier.origins)


def check_maintenance(document: Document) -> Problems:
    """The keys of a window go together, and every pattern chooses something; "*" chooses whatever there is."""
    for key, window in document.all(Maintenance):
        yield from (((*key, name), message) for name, message in window.problems())
        yield from _check_globs(document, key, window.pools, window.origins)


def _check_globs(document: Document, key: Key, pool_globs: tuple[str, ...], origin_globs: tuple[str, ...]) -> Problems:
    """Patterns for pools, and for origins of these pools, that match none."""
    pools = _names(document, "pool")
    all_known = _all_read(document, "pool", Pool)
    for place, glob in enumerate(pool_globs):
        if glob != "*" and all_known and not any(fnmatchcase(name, glob) for name in pools):
            yield (*key, "pools", place), "matches no pool" + did_you_mean(glob, pools)
    chosen = [pool for _, pool in document.all(Pool) if any(fnmatchcase(pool.name, glob) for glob in pool_globs)]
    origins = {origin.name: None for pool in chosen for origin in pool.origins}.keys()
    for place, glob in enumerate(origin_globs):
        # Without a pool that is chosen there is another problem already.
        if glob != "*" and all_known and chosen and not any(fnmatchcase(name, glob) for name in origins):
            yield (*key, "origins", place), "matches no origin of these pools" + did_you_mean(glob, origins)


def check_exports(document: Document) -> Problems:
    """Every pattern chooses something; "*" chooses whatever there is."""
    pools = _names(document, "pool")
    for key, export in document.all(Export):
        for place, glob in enumerate(export.pools):
            if glob != "*" and _all_read(document, "pool", Pool) and not any(fnmatchcase(name, glob) for name in pools):
                yield (*key, "pools", place), "matches no pool" + did_you_mean(glob, pools)


def check_updates(document: Document) -> Problems:
    """The keys of a kind go together, and there is something to write, which lies in the zone."""
    balancers = {balancer.name: name_to_text(balancer.name) for _, balancer in document.all(LoadBalancer)}
    all_known = _all_read(document, "load_balancer", LoadBalancer)
    for key, update in document.all(Update):
        yield from (((*key, name), message) for name, message in update.problems())
        for position, name in enumerate(update.names):
            if not is_below(name, update.zone):
                yield (*key, "names", position), "does not lie in the zone of this update"
            elif all_known and name not in balancers:
                meant = did_you_mean(name_to_text(name), balancers.values())
                yield (*key, "names", position), "no load balancer has this name" + meant
        if all_known and not update.names and not any(is_below(name, update.zone) for name in balancers):
            yield (*key, "zone"), "no load balancer lies in this zone"


def check_zones(document: Document) -> Problems:
    """A zone comes from a file, from primaries, or is made of load balancers alone."""
    for key, zone in document.all(Zone):
        if zone.file and zone.nameservers:
            yield (*key, "nameservers"), "only for a zone without a file: the file has the NS records"
        elif zone.primaries and (zone.file or zone.nameservers):
            other = "file" if zone.file else "nameservers"
            yield (*key, other), "only for a zone without primaries: these have all its records"
        elif not (zone.file or zone.nameservers or zone.primaries or zone.catalog):
            yield key, "expected file, primaries, or nameservers for a zone of load balancers alone"
        if zone.allow_notify and not zone.primaries:
            yield (*key, "allow_notify"), "only for a zone with primaries"
        if zone.allow_update and zone.primaries:
            yield (*key, "allow_update"), "only for a zone without primaries: they are to be updated"
        elif zone.allow_update and zone.catalog:
            yield (*key, "allow_update"), "not for a catalog: it is made of the zones whose member_of it is"
        for position, entry in enumerate(zone.allow_update):
            for place, pattern in enumerate(entry.names):
                if not _can_be_below(pattern, zone.name):
                    yield (*key, "allow_update", position, "names", place), "no such name can be in this zone"


def _can_be_below(pattern: bytes, apex: bytes) -> bool:
    """Whether a pattern is for names of a zone: as far as its last labels are plain, they are the zone's."""
    labels, wanted = split_labels(pattern), split_labels(apex)
    pairs = zip(reversed(labels), reversed(wanted), strict=False)
    plain = takewhile(lambda pair: pair[0] != b"**", pairs)
    return (b"**" in labels or len(labels) >= len(wanted)) and all(label in (b"*", part) for label, part in plain)


def check_catalogs(document: Document) -> Problems:
    """A consumer's catalog comes from primaries, a producer's is made; neither has load balancers."""
    catalogs = {zone.name: zone.catalog for _, zone in document.all(Zone)}
    for key, zone in document.all(Zone):
        if zone.catalog == "consumer" and not zone.primaries:
            yield (*key, "catalog"), "expected primaries for the catalog of a consumer"
        elif zone.catalog == "producer" and (zone.file or zone.nameservers or zone.primaries):
            other = "file" if zone.file else "nameservers" if zone.nameservers else "primaries"
            yield (*key, other), "not for the catalog of a producer: it is made of the zones whose member_of it is"
        if zone.catalog == "producer" and len(zone.name) > CATALOG_NAME_LIMIT:
            yield (*key, "name"), "too long for the catalog of a producer: the names in it have 39 octets more"
        if zone.members != CatalogMembers() and zone.catalog != "consumer":
            yield (*key, "members"), "only for the catalog of a consumer"
        if zone.member_of == zone.name:
            yield (*key, "member_of"), "a catalog does not list itself"
        elif (
            zone.member_of is not None
            and catalogs.get(zone.member_of) != "producer"
            and (zone.member_of in catalogs or _all_read(document, "zone", Zone))
        ):
            yield (*key, "member_of"), 'no zone with catalog = "producer" has this name'
    for key, balancer in document.all(LoadBalancer):
        closest = next((name for name in _suffixes(balancer.name) if name in catalogs), None)
        if closest is not None and catalogs[closest]:
            yield (*key, "name"), f"lies in the catalog {name_to_text(closest)}, which lists zones alone"


def check_keys(document: Document) -> Problems:
    """A key has one secret, and something uses it; every key that is used exists."""
    known = {key.name: name_to_text(key.name).removesuffix(".") for _, key in document.all(SharedKey)}
    uses = [((*place, "server"), update.server) for place, update in document.all(DnsUpdate)]
    for place, zone in document.all(Zone):
        for field_name in ("primaries", "allow_notify", "allow_transfer", "allow_update", "notify"):
            for where, struct in ((place, zone), ((*place, "members"), zone.members)):  # members take no updates
                uses += [((*where, field_name, at), peer) for at, peer in enumerate(getattr(struct, field_name, ()))]
    used = {peer.key for _, peer in uses if peer.key is not None}
    if _all_read(document, "key", SharedKey):
        for place, peer in uses:
            if peer.key is not None and peer.key not in known:
                meant = did_you_mean(name_to_text(peer.key).removesuffix("."), known.values())
                yield place, "no key has this name" + meant
    all_known = _all_read(document, "zone", Zone) and _all_read(document, "update", Update)
    for place, key in document.all(SharedKey):
        if (key.secret is None) == (key.secret_file is None):
            yield place, "expected either secret or secret_file"
        if all_known and used <= known.keys() and key.name not in used:
            yield (*place, "name"), "nothing uses this key"


def check_pool_names(document: Document) -> Problems:
    """Every pool that a load balancer names exists, and is once in a list."""
    pools = _names(document, "pool")
    for key, balancer in document.all(LoadBalancer):
        seen: set[tuple[Key, str]] = set()
        for place, name in _pools_of(key, balancer):
            if name not in pools:
                yield place, "no pool has this name" + did_you_mean(name, pools)
            elif (place[:-1], name) in seen:
                yield place, "in this list already"
            seen.add((place[:-1], name))


def check_policies(document: Document) -> Problems:
    """No key is set that the steering policy does not use, and what it needs is there."""
    pools = {pool.name: pool for _, pool in document.all(Pool)}
    for key, balancer in document.all(LoadBalancer):
        policy = show(balancer.steering_policy)
        for name in MAPS:
            if getattr(balancer, name) and balancer.steering_policy != "geo":
                yield (*key, name), f'steering_policy {policy} does not use this, "geo" does'
        used: dict[str, None] = {}
        for place, names, steering, weighted in _policies_of(key, balancer):
            weights = steering.pool_weights
            if weighted and not any(weights.get(name, steering.default_weight) for name in names):
                listed = "default_pools" if place == key else "the pools of this set"
                yield (*place, "random_steering"), f"every pool in {listed} has weight 0: none could be drawn"
            if weighted and steering is balancer.random_steering:
                used |= dict.fromkeys(names)
        if balancer.random_steering != RandomSteering():
            if not used:
                yield (*key, "random_steering"), f"steering_policy {policy} does not use this, {_WEIGHTED} do"
                used = dict.fromkeys(balancer.default_pools)
            yield from _check_weights(key, balancer.random_steering, used, "default_pools")
        for place, name in _pools_by_distance(key, balancer):
            if name in pools and pools[name].latitude is None:
                yield place, 'steering_policy "proximity" needs a pool with latitude and longitude'


_WEIGHTED = " and ".join(show(name) for name, policy in POLICIES.items() if policy.weighted)


def _policies_of(key: Key, balancer: LoadBalancer) -> Iterator[tuple[Key, tuple[str, ...], RandomSteering, bool]]:
    """For everybody and for each pool set: key, pools, weights, and whether the policy asks for weights."""
    steering = balancer.random_steering
    yield key, balancer.default_pools, steering, POLICIES[balancer.steering_policy].weighted
    for position, pool_set in enumerate(balancer.pool_sets):
        weighted = POLICIES[pool_set.steering_policy or balancer.steering_policy].weighted
        names = pool_set.pools or balancer.default_pools
        yield (*key, "pool_set", position), names, pool_set.random_steering or steering, weighted


def _pools_by_distance(key: Key, balancer: LoadBalancer) -> Iterator[tuple[Key, str]]:
    """Each pool that is ranked by distance, with the key where it stands."""
    default = ((*key, "default_pools"), balancer.default_pools)
    lists = [default] if POLICIES[balancer.steering_policy].by_distance else []
    for position, pool_set in enumerate(balancer.pool_sets):
        if POLICIES[pool_set.steering_policy or balancer.steering_policy].by_distance:
            lists.append(((*key, "pool_set", position, "pools"), pool_set.pools) if pool_set.pools else default)
    for place, names in dict(lists).items():
        yield from (((*place, position), name) for position, name in enumerate(names))


def _check_weights(key: Key, steering: RandomSteering, known: Collection[str], listed: str) -> Problems:
    for name in steering.pool_weights:
        if name not in known:
            place = (*key, "random_steering", "pool_weights", name)
            yield place, f"not among {listed}" + did_you_mean(name, known)


def check_pool_sets(document: Document) -> Problems:
    """A set says who it is for, and what it says is used; every set and every entry of a map can be reached."""
    for key, balancer in document.all(LoadBalancer):
        places = [(*key, "pool_set", position) for position in range(len(balancer.pool_sets))]
        for place, pool_set in zip(places, balancer.pool_sets, strict=True):
            yield from _check_pool_set(place, pool_set, balancer)
        if balancer.pool_sets and (regions := _regions_of(document)) is not None:
            yield from _check_reachable(key, balancer, regions)


def _check_pool_set(key: Key, pool_set: PoolSet, balancer: LoadBalancer) -> Problems:
    for name in MATCHING:
        yield from _check_repeated((*key, name), getattr(pool_set, name))
    if not pool_set.unknown and not any(getattr(pool_set, name) for name in MATCHING):
        yield key, f"is for everybody, which default_pools are; expected one of {', '.join(MATCHING)}, unknown"
    weighted = POLICIES[pool_set.steering_policy or balancer.steering_policy].weighted
    if pool_set.random_steering is not None:
        if not weighted:
            yield (*key, "random_steering"), f"the steering_policy of this set does not use this, {_WEIGHTED} do"
        names = pool_set.pools or balancer.default_pools
        yield from _check_weights(key, pool_set.random_steering, names, "the pools of this set")
    if pool_set.fallback_pool is not None and pool_set.when_down != "fallback":
        yield (*key, "fallback_pool"), f"when_down = {show(pool_set.when_down)} does not use this"


def _check_reachable(key: Key, balancer: LoadBalancer, regions: Regions) -> Problems:
    names = [f"pool set {show(pool_set.name)}" for pool_set in balancer.pool_sets]
    rules = [((*key, "pool_set", position), each.match) for position, each in enumerate(balancer.pool_sets)]
    for name in MAPS:
        rules += [((*key, name, entry), _match_of_entry(name, entry)) for entry in getattr(balancer, name)]
    for index, covers in find_unreachable([match for _, match in rules], regions, len(names)):
        if covers or index < len(names):
            yield rules[index][0], _describe_unreachable(names, covers)


def _match_of_entry(name: str, entry: str) -> Match:
    """Who an entry of a map is for."""
    match name:
        case "network_pools":
            return Match(networks=(entry,))
        case "subdivision_pools":
            return Match(subdivisions=(entry,))
        case "country_pools":
            return Match(countries=(entry,))
        case _:
            return Match(regions=(entry,))


def _describe_unreachable(names: list[str], covers: tuple[int, ...]) -> str:
    if not covers:
        return "no client can match all of its lists"
    return f"can never match: {' and '.join(names[index] for index in covers)} before it " + (
        "takes all of it" if len(covers) == 1 else "take all of it"
    )


def _regions_of(document: Document) -> Regions | None:
    """The regions that count; None if they cannot be read, which is told when they are needed."""
    path = document.content.get("regions")
    try:
        return Regions.load(document.directory / path) if isinstance(path, str) else Regions.load()
    except (GeoError, OSError, ValueError):
        return None


def check_owners(document: Document) -> Problems:
    """A load balancer lies in a zone, ours or of an update, and shares its name only as RFC 1034 3.6.2 allows."""
    zones = {zone.name for _, zone in document.all(Zone)}
    updated = {update.zone for _, update in document.all(Update)}
    all_known = _all_read(document, "zone", Zone) and _all_read(document, "update", Update)
    owners: dict[bytes, dict[int, Key]] = {}
    for key, balancer in document.all(LoadBalancer):
        steered = owners.setdefault(balancer.name, {})
        for number in balancer.types:
            if number in steered:
                record = RECORDS_BY_TYPE[number].name
                yield (
                    (*key, "types"),
                    f"{record} of this name is steered already by {show_key(steered[number])}",
                )
            steered.setdefault(number, key)
        if all_known and (zones | updated).isdisjoint(_suffixes(balancer.name)):
            yield (*key, "name"), "lies in no zone" + did_you_mean(None, _names(document, "zone"))
    for name, steered in owners.items():
        if CNAME.type in steered and len(steered) > 1:
            yield (*steered[CNAME.type], "types"), "a name with a CNAME has no other type"
        if CNAME.type in steered and name in zones:
            yield (*steered[CNAME.type], "types"), "the name of a zone cannot have a CNAME"


def check_fallbacks(document: Document) -> Problems:
    """A fallback pool can answer every type, so that no answer is ever empty because of health."""
    pools = {pool.name: pool for _, pool in document.all(Pool)}
    for key, balancer in document.all(LoadBalancer):
        for place, name in _pools_of(key, balancer):
            if place[-1] == "fallback_pool" and name in pools:
                yield from _check_fallback(place, pools[name], balancer.types)


def _check_fallback(key: Key, pool: Pool, types: tuple[int, ...]) -> Problems:
    if not pool.enabled:
        yield key, "this pool is disabled, and would have to answer when all others are down"
    answering = {number for origin in pool.origins if origin.enabled and origin.weight > 0 for number in origin.records}
    for record in (RECORDS_BY_TYPE[number].name for number in types if number not in answering):
        missing = f"no enabled origin of this pool has {record} records and a weight above 0"
        if record in (A.__name__, AAAA.__name__) and any(origin.is_host for origin in pool.origins):
            missing += " (a host name has addresses only after a look-up)"
        yield key, f"{missing}; give it one, or leave {record} out of types"


def check_flattening(document: Document) -> Problems:
    """There is something to flatten."""
    pools = {pool.name: pool for _, pool in document.all(Pool)}
    for key, balancer in document.all(LoadBalancer):
        if not balancer.flatten:
            continue
        if {A.type, AAAA.type}.isdisjoint(balancer.types):
            yield (*key, "flatten"), "for A and AAAA, which are not among types"
        used = [pools[name] for _, name in _pools_of(key, balancer) if name in pools]
        if not any(CNAME.type in origin.records for pool in used for origin in pool.origins):
            yield (*key, "flatten"), "no origin of its pools has a CNAME record"


CHECKS: tuple[Callable[[Document], Problems], ...] = (
    check_listen,
    check_workers,
    check_powerdns,
    check_http,
    check_duplicates,
    check_monitors,
    check_monitor_groups,
    check_guard,
    check_pools,
    check_origins,
    check_notifiers,
    check_exports,
    check_maintenance,
    check_updates,
    check_zones,
    check_catalogs,
    check_keys,
    check_pool_names,
    check_location,
    check_policies,
    check_pool_sets,
    check_owners,
    check_fallbacks,
    check_flattening,
)


def _names(document: Document, table: str) -> KeysView[str]:
    """Every name under [[table]], also of tables that could not be read."""
    tables = [item for item in document.tables(table) if isinstance(item, dict)]
    return {item["name"]: None for item in tables if isinstance(item.get("name"), str)}.keys()


def _all_read(document: Document, table: str, kind: type[msgspec.Struct]) -> bool:
    """Whether every [[table]] could be read, and none can be hidden under a misspelt name."""
    misspelt = any(len(key) == 1 for key, _ in document.problems)
    return not misspelt and len(document.tables(table)) == sum(1 for _ in document.all(kind))


def _pools_of(key: Key, balancer: LoadBalancer) -> Iterator[tuple[Key, str]]:
    """Every name of a pool that a load balancer gives, with the key where it stands."""
    yield (*key, "fallback_pool"), balancer.fallback_pool
    lists = {(*key, "default_pools"): balancer.default_pools}
    for position, pool_set in enumerate(balancer.pool_sets):
        here = (*key, "pool_set", position)
        lists[*here, "pools"] = pool_set.pools
        if pool_set.fallback_pool is not None:
            yield (*here, "fallback_pool"), pool_set.fallback_pool
    for map_name in MAPS:
        lists |= {(*key, map_name, place): pools for place, pools in getattr(balancer, map_name).items()}
    for place, pools in lists.items():
        yield from (((*place, position), name) for position, name in enumerate(pools))


def _suffixes(name: bytes) -> Iterator[bytes]:
    """The name and its parents up to the root."""
    while name != b"\0":
        yield name
        name = name[1 + name[0] :]
    yield name
