"""Settings: the configuration of waypost, from TOML; all or nothing.

The Structs are the first half of the rules: `steering.reading` walks a document along them and finds every
key that is missing, unknown, of the wrong type or out of range. The second half are the CHECKS at the end
of this file: rules between keys, one small function each. Both halves always run, so that a file is told
all that is wrong with it at once.

What is in a Settings can no longer be wrong: DNS names are wire format in lower case, addresses and
networks are in canonical form, paths are absolute, durations are seconds, records are rdata. It can travel
as msgpack.

`config/reference.md` says what every key means; a test keeps it equal to the Structs.
"""

import os
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, KeysView
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, field

from monitors.address import AddressOrName, is_host_name, join_endpoint
from monitors.http_message import HostHeader, HttpFields
from monitors.monitor import Monitor, Port
from monitors.notify import AnyNotifier
from monitors.notify.notifier import Notifier
from monitors.probes import AnyMonitor
from steering.beside import AnyExport, AnyUpdate
from steering.beside.dns_update import DnsUpdate
from steering.beside.export import Export
from steering.beside.update import Update
from steering.problems import Key, Problem, SettingsError, did_you_mean, locate_problems, show, show_key
from steering.ratelimit import RateLimit
from steering.reading import Document, read_document
from steering.records import RECORDS, RECORDS_BY_TYPE
from steering.records.a import A
from steering.records.aaaa import AAAA
from steering.records.cname import CNAME
from steering.values import (
    CharacterString,
    Country,
    FileMode,
    FilePath,
    Identifier,
    Listen,
    Name,
    Network,
    Owner,
    Records,
    RecordType,
    Region,
    Resolver,
    Secret,
    Subdivision,
    Token,
    Weight,
)
from steering.wire import is_below, name_to_text

__all__ = ["Problem", "Settings", "SettingsError", "load_settings", "parse_settings"]


def load_settings(path: Path) -> "Settings":
    """The settings in a file; raises `SettingsError` with every problem, or that it cannot be read."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise SettingsError((Problem(str(path), 0, "", "", "", f"cannot be read: {reason}"),)) from None
    return parse_settings(text, path)


def parse_settings(text: str, file: Path) -> "Settings":
    """The settings in the text of `file`, whose directory relative paths start at; raises `SettingsError`."""
    try:
        content = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        place = re.search(r"at line (\d+)", str(error))
        problem = Problem(str(file), int(place[1]) if place else 0, "", "", "", f"not TOML: {error}")
        raise SettingsError((problem,)) from None
    document = Document(file, content)
    settings = read_document(Settings, document)
    for check in CHECKS:
        document.problems += check(document)
    if settings is None or document.problems:
        raise SettingsError(locate_problems(file, text, content, document.problems, document.secrets))
    return settings


class Server(msgspec.Struct, frozen=True, omit_defaults=True):
    """[server]: where questions arrive, and where everything is kept that must survive.

    Defaults do not travel: an empty `listen` is none that may be written.
    """

    state: FilePath
    """The state directory."""
    listen: Annotated[tuple[Listen, ...], Meta(min_length=1)] = ()
    """Canonical "192.0.2.1:53" or "[2001:db8::1]:53": UDP and TCP on each. Nothing where nothing is to be answered."""
    workers: Annotated[int, Meta(ge=1)] = 1
    """Worker processes."""
    identity: CharacterString = ""
    """The name of this server, told to who asks with NSID or for id.server; empty: not told."""
    version: CharacterString = ""
    """What is told to who asks for version.bind; empty: nothing."""
    cookie_secrets: FilePath | None = None
    """A file of secrets for DNS cookies that servers of one address share; without it, waypost makes its own."""
    rate_limit: RateLimit = RateLimit()
    proxy_from: tuple[Network, ...] = ()
    """Networks of proxies that say with the PROXY protocol for whom they ask; they must."""
    resolvers: tuple[Resolver, ...] = ()
    """Address and port of the name servers that look up the host names of origins; without any, the system's."""


class PowerDns(msgspec.Struct, frozen=True):
    """[powerdns]: where PowerDNS asks, which has us as its backend `remote`."""

    socket: FilePath | None = None
    mode: FileMode = "0660"
    listen: Listen | None = None
    """HTTP, with `post_json`."""


class Http(msgspec.Struct, frozen=True):
    """[http]: metrics, health, history and results of other checkers, over HTTP."""

    listen: Listen = "127.0.0.1:8053"
    token: Token = ""
    """What a client must show to write; without it, or a file that holds it, nobody may."""
    token_file: FilePath | None = None
    token_for_reading: bool = False


class GeoSource(msgspec.Struct, frozen=True):
    """[[geo]]: a source of places of clients."""

    type: Literal["maxmind", "networks"]
    path: FilePath


class OriginHeader(msgspec.Struct, frozen=True):
    """[pool.origin.header]: what an origin is asked for by http and https."""

    Host: HostHeader | None = None
    """Instead of that of the monitor."""


class Origin(msgspec.Struct, frozen=True):
    """[[pool.origin]]: one thing that can take traffic."""

    name: Identifier
    address: AddressOrName
    """What is probed; a host name, at all of its addresses."""
    weight: Weight = 1.0
    enabled: bool = True
    records: Records = {}
    """Rdata by type; after construction with the A or AAAA of `address`, unless that type was given, or the address is
    a host name: its addresses are a matter of health."""
    port: Port | None = None
    """Instead of that of the monitor."""
    header: OriginHeader = OriginHeader()

    def __post_init__(self) -> None:
        if not self.is_host:
            msgspec.structs.force_setattr(self, "records", address_records((self.address,)) | self.records)

    @property
    def is_host(self) -> bool:
        """Whether the address is a host name."""
        return is_host_name(self.address)

    @property
    def endpoint(self) -> str:
        """What the rows of its health are found by, beside the monitor: `Target.endpoint`."""
        return join_endpoint(self.address, self.port, self.header.Host)


def address_records(addresses: Iterable[str]) -> dict[int, tuple[bytes, ...]]:
    """The records, by type, that IP addresses are."""
    records: dict[int, tuple[bytes, ...]] = {}
    for address in addresses:
        for kind in RECORDS.values():
            if rdata := kind.from_address(address):
                records[kind.type] = (*records.get(kind.type, ()), rdata)
    return records


class Pool(msgspec.Struct, frozen=True):
    """[[pool]]: origins with the same job."""

    name: Identifier
    origins: Annotated[tuple[Origin, ...], Meta(min_length=1)] = field(name="origin")
    enabled: bool = True
    monitor: str | None = None
    """The name of a monitor; without one, health is ignored."""
    minimum_origins: Annotated[int, Meta(ge=1)] = 1
    """With fewer healthy origins the pool is down."""


class SharedKey(msgspec.Struct, frozen=True):
    """[[key]]: a key for TSIG (RFC 8945) that is shared with other name servers."""

    name: Name
    algorithm: Literal["hmac-sha1", "hmac-sha224", "hmac-sha256", "hmac-sha384", "hmac-sha512"] = "hmac-sha256"
    secret: Secret | None = None
    secret_file: FilePath | None = None
    """Its first line is the secret."""

    def __repr__(self) -> str:
        return f"SharedKey({self.name!r}, {self.algorithm!r})"


class Zone(msgspec.Struct, frozen=True):
    """[[zone]]: a zone that waypost is authoritative for: from a file, or of load balancers alone."""

    name: Name
    file: FilePath | None = None
    nameservers: tuple[Name, ...] = ()


PoolNames = Annotated[tuple[str, ...], Meta(min_length=1)]


class RandomSteering(msgspec.Struct, frozen=True):
    """[load_balancer.random_steering]: how much each pool gets."""

    default_weight: Weight = 1.0
    pool_weights: dict[str, Weight] = {}


class LoadBalancer(msgspec.Struct, frozen=True):
    """[[load_balancer]]: a name and its record types, steered."""

    name: Owner
    default_pools: PoolNames
    fallback_pool: str
    types: Annotated[tuple[RecordType, ...], Meta(min_length=1)] = (A.type, AAAA.type)
    steering_policy: Literal["off", "random", "geo", ""] = ""
    """Never "" after construction: that means "geo" if there is any map of pools, else "off"."""
    region_pools: dict[Region, PoolNames] = {}
    country_pools: dict[Country, PoolNames] = {}
    subdivision_pools: dict[Subdivision, PoolNames] = {}
    network_pools: dict[Network, PoolNames] = {}
    random_steering: RandomSteering = RandomSteering()
    ttl: Annotated[int, Meta(ge=1, le=86400)] = 30
    fixed_ttl: bool = False
    """Whether the TTL stays as it is however soon health could change the answer."""

    def __post_init__(self) -> None:
        if not self.steering_policy:
            maps = any(getattr(self, name) for name in MAPS)
            msgspec.structs.force_setattr(self, "steering_policy", "geo" if maps else "off")


MAPS = ("network_pools", "subdivision_pools", "country_pools", "region_pools")
"""The maps from places to pools, the most specific first."""


class Settings(msgspec.Struct, frozen=True):
    """A whole configuration; tables in the order of the file."""

    server: Server
    regions: FilePath | None = None
    """A table of regions instead of the one that waypost ships with."""
    http: Http | None = None
    """Without it, nothing is served over HTTP."""
    powerdns: PowerDns | None = None
    """Without it, we are no backend of PowerDNS."""
    geo: tuple[GeoSource, ...] = ()
    """The first source that knows a place wins; without any, the country data that waypost ships with."""
    monitors: tuple[AnyMonitor, ...] = field(name="monitor", default=())
    pools: tuple[Pool, ...] = field(name="pool", default=())
    notifiers: tuple[AnyNotifier, ...] = field(name="notifier", default=())
    keys: tuple[SharedKey, ...] = field(name="key", default=())
    zones: tuple[Zone, ...] = field(name="zone", default=())
    load_balancers: tuple[LoadBalancer, ...] = field(name="load_balancer", default=())
    exports: tuple[AnyExport, ...] = field(name="export", default=())
    updates: tuple[AnyUpdate, ...] = field(name="update", default=())


# Rules between keys. Each sees the tables that could be read and yields the problems of their keys. A name
# counts as known wherever it is written, and what an unreadable table could answer ("nothing uses this")
# waits until it can be read: one mistake is one problem.

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
    identities += [((*key, "name"), (Pool, pool.name)) for key, pool in document.all(Pool)]
    identities += [((*key, "name"), (key[:-1], origin.name)) for key, origin in document.all(Origin)]
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
    """A timeout fits into its interval, the fields of a kind go together, and some pool uses the monitor."""
    used = {pool.monitor for _, pool in document.all(Pool)} - {None}
    all_known = _all_read(document, "pool", Pool) and used <= _names(document, "monitor")
    for key, monitor in document.all(Monitor):
        if monitor.timeout > monitor.interval:
            yield (
                (*key, "timeout"),
                f"{monitor.timeout:g} s do not fit into an interval of {monitor.interval:g} s",
            )
        yield from (((*key, field), message) for field, message in monitor.problems())
        if all_known and monitor.name not in used:
            yield (*key, "name"), "no pool uses this monitor"


def check_pools(document: Document) -> Problems:
    """A pool's monitor exists, it can reach its minimum, and some load balancer uses it.

    Without any load balancer, pools are there to be probed, which is a use.
    """
    monitors = _names(document, "monitor")
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
    pools = _names(document, "pool")
    all_known = _all_read(document, "pool", Pool)
    for key, notifier in document.all(Notifier):
        yield from (((*key, name), message) for name, message in notifier.problems())
        for place, glob in enumerate(notifier.pools):
            if glob != "*" and all_known and not any(fnmatchcase(name, glob) for name in pools):
                yield (*key, "pools", place), "matches no pool" + did_you_mean(glob, pools)
        chosen = [
            pool for _, pool in document.all(Pool) if any(fnmatchcase(pool.name, glob) for glob in notifier.pools)
        ]
        origins = {origin.name: None for pool in chosen for origin in pool.origins}.keys()
        for place, glob in enumerate(notifier.origins):
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


def check_keys(document: Document) -> Problems:
    """A key has one secret, and something uses it; every key that is used exists."""
    known = {key.name: name_to_text(key.name) for _, key in document.all(SharedKey)}
    used: set[bytes] = set()
    for place, update in document.all(DnsUpdate):
        if update.server.key is None:
            continue
        used.add(update.server.key)
        if update.server.key not in known and _all_read(document, "key", SharedKey):
            meant = did_you_mean(name_to_text(update.server.key), known.values())
            yield (*place, "server"), "no key has this name" + meant
    for place, key in document.all(SharedKey):
        if (key.secret is None) == (key.secret_file is None):
            yield place, "expected either secret or secret_file"
        if _all_read(document, "update", Update) and used <= known.keys() and key.name not in used:
            yield (*place, "name"), "nothing uses this key"


def check_zones(document: Document) -> Problems:
    """A zone comes from a file or is made of load balancers alone."""
    for key, zone in document.all(Zone):
        if zone.file and zone.nameservers:
            yield (*key, "nameservers"), "only for a zone without a file: the file has the NS records"
        elif not zone.file and not zone.nameservers:
            yield key, "expected file, or nameservers for a zone of load balancers alone"


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
    """No key is set that the steering policy does not use."""
    for key, balancer in document.all(LoadBalancer):
        policy = show(balancer.steering_policy)
        for name in MAPS:
            if getattr(balancer, name) and balancer.steering_policy != "geo":
                yield (*key, name), f'steering_policy {policy} does not use this, "geo" does'
        if balancer.random_steering != RandomSteering() and balancer.steering_policy != "random":
            yield (*key, "random_steering"), f'steering_policy {policy} does not use this, "random" does'
        weights = balancer.random_steering.pool_weights
        if not any(weights.get(name, balancer.random_steering.default_weight) for name in balancer.default_pools):
            yield (*key, "random_steering"), "every pool in default_pools has weight 0: none could be drawn"
        for name in weights:
            if name not in balancer.default_pools:
                place = (*key, "random_steering", "pool_weights", name)
                yield place, "not among default_pools" + did_you_mean(name, balancer.default_pools)


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
        pool = pools.get(balancer.fallback_pool)
        if pool is None:
            continue
        if not pool.enabled:
            yield (
                (*key, "fallback_pool"),
                "this pool is disabled, and would have to answer when all others are down",
            )
        answering = {
            number for origin in pool.origins if origin.enabled and origin.weight > 0 for number in origin.records
        }
        for record in (RECORDS_BY_TYPE[number].name for number in balancer.types if number not in answering):
            missing = f"no enabled origin of this pool has {record} records and a weight above 0"
            if record in (A.__name__, AAAA.__name__) and any(origin.is_host for origin in pool.origins):
                missing += " (a host name has addresses only after a look-up)"
            yield (*key, "fallback_pool"), f"{missing}; give it one, or leave {record} out of types"


CHECKS: tuple[Callable[[Document], Problems], ...] = (
    check_listen,
    check_workers,
    check_powerdns,
    check_http,
    check_duplicates,
    check_monitors,
    check_pools,
    check_origins,
    check_notifiers,
    check_exports,
    check_updates,
    check_keys,
    check_zones,
    check_pool_names,
    check_policies,
    check_owners,
    check_fallbacks,
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
