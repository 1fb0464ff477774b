"""cloudflare: load balancers, pools and monitors of Cloudflare, from answers of its API or a Terraform state. Pure.

Most words are the same there and here. What is otherwise:
- Pools and monitors are named by identifiers there and by names here.
- A load balancer there answers A and AAAA with what its pools have. Here it steers the types that its fallback pool can
  answer; where only host names are left to answer, that is CNAME.
- Where clients are is said there for each load balancer, here for the server.
- What needs a proxy (session affinity, rules, counts of connections) is nothing that DNS can do.
"""

from collections.abc import Callable, Iterable, Sequence

from monitors.address import is_host_name, parse_address_or_name
from steering.imports.cloudflare_shapes import Item, find_items
from steering.imports.source import Fields, File, Names, Place, Report, Source, SourceError, Table, is_empty
from steering.problems import SECRET, show
from steering.values import parse_country, parse_region

MONITOR_TYPES = {"icmp_ping": "icmp"}
"""Names of types that are others here."""
PROXY = "needs a proxy: waypost answers DNS"
METADATA = ("id", "account_id", "zone_id", "zone_name", "created_on", "modified_on", "disabled_at", "healthy")
LEAST = ("least_outstanding_requests", "least_connections")


def carry(files: Sequence[File], report: Report) -> Table:
    """All load balancers with their zones, all pools and all monitors; SourceError if there are none."""
    items = find_items(files, report)
    if all(item.kind == "zone" for item in items):
        raise SourceError("no load balancer, pool or monitor in these files")
    import_ = _Import(files[0].path, report)
    for kind, carry_one in import_.kinds.items():
        for item in items:
            if item.kind == kind:
                carry_one(item)
    return import_.finish()


class _Import:
    """What is carried over so far."""

    def __init__(self, path: str, report: Report) -> None:
        self.kinds: dict[str, Callable[[Item], None]] = {
            "monitor": self._carry_monitor,
            "pool": self._carry_pool,
            "zone": self._note_zone,
            "load_balancer": self._carry_load_balancer,
        }
        self._report = report
        self._content = Table(Place(path))
        self._content["server"] = Table(Place(path))
        for name in ("monitor", "pool", "notifier", "zone", "load_balancer"):
            self._content[name] = []
        self._names = {"monitor": Names(), "pool": Names()}
        self._monitors: dict[str, Table] = {}
        self._pools: dict[str, Table] = {}
        self._pools_by_name: dict[str, Table] = {}
        self._zones: dict[str, str] = {}
        """Names of zones by identifier, as far as the source tells."""
        self._in_zone: dict[str, list[str]] = {}
        """Names of load balancers by identifier of their zone."""
        self._unflattened: set[str] = set()
        """Pools that there answer with a CNAME."""
        self._mail: dict[tuple[tuple[str, ...], tuple[str, ...]], Table] = {}
        """Notifiers by recipients and events."""
        self._prefer_ecs: list[tuple[Place, str]] = []
        """What decides where clients are: "always" or "never", of those load balancers that ask."""

    def finish(self) -> Table:
        """The configuration, with zones, and what is of the whole server."""
        for table in self._zone_tables():
            self._content.tables("zone").append(table)
        values = {value for _, value in self._prefer_ecs}
        if values == {"never"}:
            server = self._content["server"]
            assert isinstance(server, Table)
            location = Table(self._prefer_ecs[0][0])
            location["prefer_ecs"] = "never"
            server["location"] = location
        elif "never" in values:
            for place, value in self._prefer_ecs:
                if value == "never":
                    reason = 'is here for the whole server, and other load balancers ask for "always"'
                    self._report.leave(place.at("prefer_ecs"), value, reason)
        return self._content

    def _carry_monitor(self, item: Item) -> None:
        fields = Fields(item.fields, item.place, self._report)
        identifier, comment = fields.text("id"), fields.text("description")
        kind = fields.text("type")
        table = Table(item.place, comment)
        table["name"] = self._names["monitor"].make(comment or f"{kind}-{identifier[:8]}", kind)
        table["type"] = MONITOR_TYPES.get(kind, kind)
        for name in ("interval", "timeout", "retries", "consecutive_up", "consecutive_down"):
            table.put(name, fields.number(name))
        interval, timeout = table.get("interval", 60), table.get("timeout", 5)
        if isinstance(interval, int | float) and isinstance(timeout, int | float) and timeout > interval > 0:
            self._report.leave(item.place.at("timeout"), timeout, f"does not fit into the interval, and is {interval}")
            table["timeout"] = interval
        if kind == "icmp_ping":
            fields.leave("port", "a ping has no port", unless=(0,))
        else:
            table.put("port", fields.number("port") or None)
        if kind in ("http", "https"):
            table.put("method", fields.text("method") or None)
            for name in ("path", "expected_codes", "expected_body"):
                table.put(name, fields.text(name) or None)
            table.put("headers", _headers(fields.table("header")) or None)
            for name in ("follow_redirects", "allow_insecure"):
                table.put(name, fields.flag(name, default=False), default=False)
        else:
            fields.ignore("method")
            for name in ("path", "expected_codes", "expected_body", "follow_redirects", "allow_insecure"):
                fields.leave(name, "only for http and https", unless=(False,))
            if not is_empty(fields.take("header")):
                self._report.leave(item.place.at("header"), SECRET, "only for http and https")
        fields.leave("probe_zone", "is about the probes of Cloudflare")
        fields.ignore(*METADATA)
        fields.close()
        self._content.tables("monitor").append(table)
        self._monitors[identifier] = table

    def _carry_pool(self, item: Item) -> None:
        fields = Fields(item.fields, item.place, self._report)
        identifier, name = fields.text("id"), fields.text("name")
        table = Table(item.place, fields.text("description"))
        table["name"] = self._names["pool"].make(name, "pool")
        table.put("enabled", fields.flag("enabled", default=True), default=True)
        monitor = fields.text("monitor")
        if monitor in self._monitors:
            table["monitor"] = self._monitors[monitor]["name"]
        elif monitor:
            self._report.leave(item.place.at("monitor"), monitor, "is not in these files: health would be ignored")
        table.put("minimum_origins", fields.number("minimum_origins"), default=1)
        latitude, longitude = fields.number("latitude"), fields.number("longitude")
        if latitude is not None and longitude is not None:
            table["latitude"], table["longitude"] = latitude, longitude
        elif latitude is not None or longitude is not None:
            self._report.leave(item.place.at("latitude"), latitude, "only together with longitude")
        self._carry_origin_steering(fields, table)
        self._carry_load_shedding(fields.table("load_shedding"), table)
        self._carry_origins(fields, table)
        self._carry_notification(fields, table)
        fields.leave("check_regions", "waypost checks from where it runs")
        fields.leave("monitor_group", "a pool has one monitor")
        fields.leave("networks", "is about networks of Cloudflare")
        fields.ignore(*METADATA)
        fields.close()
        if not table["origin"]:
            self._report.leave(item.place.at("origins"), None, "the pool is left out: it has no origin")
            return
        self._limit_minimum(table)
        self._content.tables("pool").append(table)
        self._pools[identifier or name] = self._pools_by_name[str(table["name"])] = table

    def _limit_minimum(self, pool: Table) -> None:
        """A pool that cannot have enough healthy origins never gets traffic there."""
        enabled = sum(origin.get("enabled", True) is True for origin in pool.tables("origin"))
        least = pool.get("minimum_origins", 1)
        if enabled == 0:
            pool["enabled"] = False
        elif isinstance(least, int | float) and least > enabled:
            reason = f"only {enabled} of its origins are enabled, so that it could never be up; it is {enabled}"
            self._report.leave(pool.place.at("minimum_origins"), least, reason)
            pool.pop("minimum_origins")
            pool.put("minimum_origins", enabled, default=1)

    def _carry_origin_steering(self, fields: Fields, table: Table) -> None:
        steering = fields.table("origin_steering")
        policy = steering.text("policy")
        if policy in LEAST:
            self._report.leave(steering.place.at("policy"), policy, f"{PROXY}; the origins are drawn by weight")
        elif policy == "hash":
            table["origin_steering"] = {"policy": "hash"}
        elif policy not in ("", "random"):
            self._report.leave(steering.place.at("policy"), policy, "not known")
        steering.close()

    def _carry_load_shedding(self, shedding: Fields, table: Table) -> None:
        percent, policy = shedding.number("default_percent"), shedding.text("default_policy")
        if percent:
            table["load_shedding"] = {"default_percent": percent}
            if policy not in ("", "random"):
                table["load_shedding"] = {"default_percent": percent, "default_policy": policy}
        shedding.leave("session_percent", PROXY, unless=(0,))
        shedding.ignore("session_policy")
        shedding.close()

    def _carry_origins(self, fields: Fields, pool: Table) -> None:
        names = Names()
        origins: list[object] = []
        for fields_of_origin in fields.tables("origins"):
            place = fields_of_origin.place
            address = fields_of_origin.text("address")
            table = Table(place)
            table["name"] = names.make(fields_of_origin.text("name") or address, "origin")
            try:
                table["address"] = host = parse_address_or_name(address)
            except ValueError as error:
                self._report.leave(place.at("address"), address, f"the origin is left out: {error}")
                continue
            weight = fields_of_origin.number("weight")
            if weight is not None and not 0 <= weight <= 1:
                self._report.leave(place.at("weight"), weight, "expected a number from 0 to 1; it is 1")
                weight = None
            table.put("weight", weight, default=1)
            table.put("enabled", fields_of_origin.flag("enabled", default=True), default=True)
            table.put("port", fields_of_origin.number("port") or None)
            header = _headers(fields_of_origin.table("header"))
            for name, value in header.items():
                if name.lower() == "host":
                    table["header"] = {"Host": value}
                else:
                    self._report.leave(place.at("header", name), SECRET, "an origin has no header field but Host")
            if is_host_name(host):
                table["records"] = {"CNAME": f"{host}."}
            if not fields_of_origin.flag("flatten_cname", default=True) and is_host_name(host):
                self._unflattened.add(str(pool["name"]))
            fields_of_origin.leave("virtual_network_id", "is about networks of Cloudflare")
            fields_of_origin.ignore("disabled_at")
            fields_of_origin.close()
            origins.append(table)
        pool["origin"] = origins

    def _carry_notification(self, fields: Fields, pool: Table) -> None:
        recipients = [part.strip() for part in fields.text("notification_email").split(",") if part.strip()]
        wanted = fields.table("notification_filter")
        events: dict[str, tuple[str, ...]] = {}
        for kind in ("pool", "origin"):
            of_kind = wanted.table(kind)
            healthy = of_kind.take("healthy")
            both = ("down", "up") if healthy is None else ("up",) if healthy else ("down",)
            events[kind] = () if of_kind.flag("disable", default=False) else both
            of_kind.close()
        wanted.close()
        chosen = tuple(event for event in ("down", "up") if event in events["pool"] + events["origin"])
        if not recipients or not chosen:
            return
        if events["pool"] != events["origin"]:
            reason = f"news of pools and of origins is told alike here: {' and '.join(chosen)} of both"
            self._report.leave(wanted.place, None, reason)
        key = (tuple(recipients), chosen)
        if key not in self._mail:
            number = len(self._mail) + 1
            self._mail[key] = notifier = Table(pool.place.at("notification_email"))
            notifier |= {"name": "email" if number == 1 else f"email-{number}", "type": "email", "pools": []}
            notifier |= {"server": "localhost", "starttls": "offered", "from": recipients[0], "to": recipients}
            notifier["events"] = list(chosen)
            self._content.tables("notifier").append(notifier)
            self._report.ask(f"notifier {notifier['name']}: server, starttls, from: who takes the mail, and its sender")
        listed = self._mail[key]["pools"]
        assert isinstance(listed, list)
        listed.append(pool["name"])

    def _note_zone(self, item: Item) -> None:
        identifier, name = item.fields.get("id"), item.fields.get("name")
        if isinstance(identifier, str) and isinstance(name, str):
            self._zones[identifier] = name

    def _carry_load_balancer(self, item: Item) -> None:
        fields = Fields(item.fields, item.place, self._report)
        name = fields.text("name").removesuffix(".").lower()
        if not fields.flag("enabled", default=True):
            self._report.leave(item.place, None, f"load balancer {show(name)} is disabled, and left out")
            return
        zone = fields.text("zone_id")
        self._zones.setdefault(zone, fields.text("zone_name"))
        table = Table(item.place, fields.text("description"))
        table |= {"name": name, "types": []}
        default, fallback = self._names_of_pools(fields, "default_pools"), self._name_of_pool(fields, "fallback_pool")
        table["default_pools"] = default or ([fallback] if fallback else [])
        table["fallback_pool"] = fallback
        self._carry_policy(fields, table)
        table.put("ttl", fields.number("ttl") or None)
        for map_name in ("region_pools", "country_pools"):
            places = fields.table(map_name)
            pools = {code: self._names_of_pools(places, code) for code, _ in places.places()}
            table.put(map_name, {code: names for code, names in pools.items() if names} or None)
        for pop, place in (pops := fields.table("pop_pools")).places():
            self._report.leave(place, pops.take(pop), "a data center of Cloudflare is no place of a client")
        self._carry_location(fields.table("location_strategy"), table)
        self._carry_pool_sets(fields, table)
        self._leave_what_needs_a_proxy(fields)
        fields.leave("networks", "is about networks of Cloudflare")
        fields.ignore(*METADATA)
        fields.close()
        if self._choose_types(table):
            self._in_zone.setdefault(zone or f"of {name}", []).append(name)
            self._content.tables("load_balancer").append(table)

    def _name_of_pool(self, fields: Fields, name: str) -> str:
        """The name of the pool whose identifier stands there; "" if it is none of these files."""
        identifier = fields.text(name)
        if identifier in self._pools:
            return str(self._pools[identifier]["name"])
        if identifier:
            self._report.leave(fields.place.at(name), identifier, "this pool is not carried over")
        return ""

    def _names_of_pools(self, fields: Fields, name: str) -> list[str]:
        names = []
        for position, identifier in enumerate(fields.texts(name)):
            if identifier in self._pools:
                names.append(str(self._pools[identifier]["name"]))
            else:
                self._report.leave(fields.place.at(name, position), identifier, "this pool is not carried over")
        return names

    def _carry_policy(self, fields: Fields, table: Table) -> None:
        policy = self._policy(fields, table["default_pools"])
        table.put("steering_policy", policy, default="")
        steering = fields.table("random_steering")
        default_weight = steering.number("default_weight")
        weights = self._weights(steering.table("pool_weights"))
        steering.close()
        if weights or default_weight not in (None, 1):
            table["random_steering"] = _random_steering(default_weight, weights)

    def _policy(self, fields: Fields, pools: object) -> str:
        """The steering policy, or the one that comes nearest."""
        policy = fields.text("steering_policy")
        place = fields.place.at("steering_policy")
        if policy in LEAST:
            self._report.leave(place, policy, f'{PROXY}; it is "random", by the same weights')
            return "random"
        if policy == "proximity":
            listed = pools if isinstance(pools, list) else []
            lost = [name for name in listed if "latitude" not in self._pools_by_name[name]]
            if lost:
                self._report.leave(place, policy, f'it is "off": pools without coordinates: {", ".join(lost)}')
                return "off"
        return policy

    def _weights(self, fields: Fields) -> dict[str, object]:
        """Weights by name of pool."""
        weights: dict[str, object] = {}
        for identifier, place in fields.places():
            weight = fields.number(identifier)
            if identifier in self._pools:
                if weight is not None:
                    weights[str(self._pools[identifier]["name"])] = weight
            else:
                self._report.leave(place, weight, "this pool is not carried over")
        return weights

    def _carry_location(self, location: Fields, table: Table) -> None:
        mode, prefer_ecs = location.text("mode"), location.text("prefer_ecs")
        if mode not in ("", "resolver_ip"):
            self._report.leave(location.place.at("mode"), mode, "without ECS, clients are where their resolver is")
        location.close()
        policy = table.get("steering_policy", "")
        if prefer_ecs in ("geo", "proximity"):
            is_meant = policy == prefer_ecs or (policy == "" and prefer_ecs == "geo")
            prefer_ecs = "always" if is_meant else "never"
        if prefer_ecs in ("always", "never"):
            self._prefer_ecs.append((location.place, prefer_ecs))
        elif prefer_ecs:
            self._report.leave(location.place.at("prefer_ecs"), prefer_ecs, "not known")

    def _carry_pool_sets(self, fields: Fields, table: Table) -> None:
        """Pool sets up to the one that is for everybody, which takes the place of what is said outside of them."""
        names = Names()
        sets: list[object] = []
        is_over = False
        for each in fields.tables("pool_sets"):
            name = each.text("name")
            if is_over:
                self._report.leave(each.place, None, f"pool set {show(name)} comes after one that is for everybody")
                continue
            if each.flag("disabled", default=False):
                self._report.leave(each.place, None, f"pool set {show(name)} is disabled, and left out")
                continue
            made = Table(each.place)
            made["name"] = names.make(name, "set")
            is_complete, is_over = self._carry_match(each, made)
            is_complete &= self._carry_overrides(each, made)
            each.close()
            if not is_complete:
                is_over = False
                self._report.leave(each.place, None, f"pool set {show(name)} is left out")
            elif is_over:
                self._replace_default(table, made)
            else:
                sets.append(made)
        table.put("pool_set", sets or None)

    def _carry_match(self, fields: Fields, table: Table) -> tuple[bool, bool]:
        """Whether all of the match could be carried over, and whether everybody is meant."""
        match = fields.table("match")
        topology = match.table("topology")
        is_complete = True
        for name, parse in (("regions", parse_region), ("countries", parse_country)):
            known = []
            wanted = topology.texts(name)
            for position, code in enumerate(wanted):
                try:
                    known.append(parse(code))
                except ValueError as error:
                    self._report.leave(topology.place.at(name, position), code, str(error))
            table.put(name, known or None)
            is_complete &= bool(known) or not wanted
        pops = topology.texts("pops")
        if pops:
            self._report.leave(topology.place.at("pops"), pops, "a data center of Cloudflare is no place of a client")
            is_complete = False
        match.flag("default", default=False)
        match.close()
        topology.close()
        return is_complete, is_complete and not {"regions", "countries"} & table.keys()

    def _carry_overrides(self, fields: Fields, table: Table) -> bool:
        """Whether there are pools, so that the set has something to say."""
        if not is_empty(fields.take("fixed_response")):
            self._report.leave(fields.place.at("fixed_response"), None, PROXY)
        overrides = fields.table("overrides")
        pools = self._names_of_pools(overrides, "pools")
        table["pools"] = pools
        table["steering_policy"] = self._policy(overrides, pools) or "off"
        table.put("fallback_pool", self._name_of_pool(overrides, "fallback_pool") or None)
        weights = self._weights(overrides.table("pool_weights"))
        default_weight = overrides.number("pool_default_weight")
        if table["steering_policy"] == "random":
            table["random_steering"] = _random_steering(default_weight, weights)
        overrides.close()
        return bool(pools)

    def _replace_default(self, table: Table, everybody: Table) -> None:
        """What is said outside of the sets is for nobody any more."""
        for name in ("region_pools", "country_pools"):
            if name in table:
                reason = f"pool set {show(everybody['name'])} goes before it, and is for everybody"
                self._report.leave(table.place.at(name), table.pop(name), reason)
        table["default_pools"], table["steering_policy"] = everybody["pools"], everybody["steering_policy"]
        table["fallback_pool"] = everybody.get("fallback_pool", table["fallback_pool"])
        table.pop("random_steering", None)
        table.put("random_steering", everybody.get("random_steering"))

    def _leave_what_needs_a_proxy(self, fields: Fields) -> None:
        fields.leave("proxied", PROXY, unless=(False,))
        affinity = fields.text("session_affinity")
        if affinity not in ("", "none"):
            self._report.leave(fields.place.at("session_affinity"), affinity, PROXY)
        fields.ignore("session_affinity_ttl", "session_affinity_attributes")
        adaptive = fields.table("adaptive_routing")
        adaptive.leave("failover_across_pools", PROXY, unless=(False,))
        adaptive.close()
        for rule in fields.tables("rules"):
            self._report.leave(rule.place, None, f"rule {show(rule.text('name'))}: {PROXY}")

    def _choose_types(self, table: Table) -> bool:
        """Set the types to what the fallback pool can answer, or choose another one that can; False if none can."""
        place = table.place.at("fallback_pool")
        pools = self._pools_by_name
        default = table["default_pools"]
        candidates = [str(table["fallback_pool"]), *map(str, reversed(default if isinstance(default, list) else []))]
        answers = {name: _types_of(pools[name]) for name in candidates if name in pools}
        chosen = next((name for name in answers if answers[name] & {"A", "AAAA"}), "") or next(
            (name for name in answers if answers[name]), ""
        )
        if not chosen:
            reason = "the load balancer is left out: none of its pools can always answer"
            self._report.leave(place, table["fallback_pool"], reason)
            return False
        if chosen != table["fallback_pool"]:
            reason = f"it is {show(chosen)}: this pool is missing or disabled, or has no address"
            self._report.leave(place, table["fallback_pool"], reason)
            table["fallback_pool"] = chosen
        types = sorted(answers[chosen] & {"A", "AAAA"}) or ["CNAME"]
        table["types"] = types
        used = {name: pools[name] for name in _pools_of(table) if name in pools}
        if types == ["CNAME"]:
            self._report.leave(
                table.place, None, "its pools have host names: it answers CNAME, and not their addresses"
            )
        else:
            for name, pool in sorted(used.items()):
                if "monitor" not in pool and "CNAME" in _types_of(pool):
                    reason = (
                        f"host names of pool {show(name)} are not answered: checks look them up, and it has no monitor"
                    )
                    self._report.leave(table.place, None, reason)
        lost = {name: lost for name, pool in used.items() if (lost := _types_of(pool) - {*types, "CNAME"})}
        for name, missing in sorted(lost.items()):
            listed = ", ".join(sorted(missing))
            reason = f"pool {show(name)} has {listed}, which its fallback pool {show(chosen)} has not: not answered"
            self._report.leave(place, None, reason)
        for name in sorted(used.keys() & self._unflattened) if types != ["CNAME"] else ():
            reason = f"flatten_cname = false of pool {show(name)}: it answers addresses, and no CNAME"
            self._report.leave(table.place, None, reason)
        for pool_set in table.tables("pool_set") if "pool_set" in table else ():
            own = pool_set.get("fallback_pool")
            if own is not None and not _types_of(pools[str(own)]) >= set(types):
                reason = f"cannot answer {', '.join(types)}; it is that of the load balancer, {show(chosen)}"
                self._report.leave(
                    pool_set.place.at("overrides", "fallback_pool"), pool_set.pop("fallback_pool"), reason
                )
        return True

    def _zone_tables(self) -> Iterable[Table]:
        """The zones of the load balancers, each once."""
        made: dict[str, Table] = {}
        for identifier, names in self._in_zone.items():
            zone = self._zones.get(identifier, "").removesuffix(".").lower()
            if not zone:
                zone = _guess_zone(names)
                self._report.ask(f"zone {zone}: its name is guessed, from {', '.join(sorted(names)[:5])}")
            if zone not in made:
                made[zone] = table = Table(self._content.place)
                table |= {"name": zone, "nameservers": [f"ns1.{zone}"]}
                self._report.ask(f"zone {zone}: nameservers, or the file of the zone")
        return made.values()


def _headers(fields: Fields) -> dict[str, str]:
    """Header fields; several values of one are one list (RFC 9110 section 5.2). Terraform writes lower case."""
    headers = {}
    for name, _ in fields.places():
        values = fields.texts(name)
        if values:
            headers["Host" if name.lower() == "host" else name] = ", ".join(values)
    return headers


def _random_steering(default_weight: float | None, weights: dict[str, object]) -> dict[str, object]:
    steering: dict[str, object] = {}
    if default_weight not in (None, 1):
        steering["default_weight"] = default_weight
    if weights:
        steering["pool_weights"] = weights
    return steering


def _types_of(pool: Table) -> set[str]:
    """What a pool can answer; CNAME stands for its host names."""
    if pool.get("enabled") is False:
        return set()
    types = set()
    for origin in pool.tables("origin"):
        if origin.get("enabled", True) and origin.get("weight", 1):
            address = str(origin["address"])
            types.add("CNAME" if is_host_name(address) else "AAAA" if ":" in address else "A")
    return types


def _pools_of(table: Table) -> set[str]:
    """The names of all pools of a load balancer."""
    lists: list[object] = [table["default_pools"], [table["fallback_pool"]]]
    for name in ("region_pools", "country_pools"):
        pools = table.get(name, {})
        lists += pools.values() if isinstance(pools, dict) else []
    for pool_set in table.tables("pool_set") if "pool_set" in table else ():
        lists += [pool_set["pools"], [pool_set.get("fallback_pool")]]
    return {str(name) for listed in lists if isinstance(listed, list) for name in listed}


def _guess_zone(names: Sequence[str]) -> str:
    """The zone that names probably lie in: what they have in common, or one label less if that is itself a name."""
    split = [name.split(".")[::-1] for name in names]
    common = []
    for labels in zip(*split, strict=False):
        if len(set(labels)) > 1 or labels[0] == "*":
            break
        common.append(labels[0])
    if len(common) > 2 and any(len(labels) == len(common) for labels in split):
        common.pop()
    return ".".join(reversed(common)) or "example.com"


SOURCE = Source(
    "Load balancers, pools and monitors of Cloudflare, as answers of its API or a Terraform state show them (JSON).",
    carry,
)
