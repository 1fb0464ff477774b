"""octodns: the dynamic records, and the old geo records, in octoDNS's YAML files of zones. Pure.

A record becomes a load balancer: its pools are pools, its rules pool sets (those for subnets first, as there they
always win), the rule for everybody else is the default, and the plain values are the fallback pool, not checked.
A pool's chain of fallbacks is the order of the pools of the set.

A rule there is for whoever is in one of its geos or subnets. A pool set is for who is in all of its lists, so that a
rule becomes one for its networks, one for its continents, one for its countries and one for its subdivisions.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePath

from geodata.continents import CONTINENTS
from monitors.address import parse_address, parse_address_or_name
from steering.imports.source import Fields, File, Names, Place, Report, Source, SourceError, Table
from steering.values import parse_country, parse_network, parse_subdivision

DEFAULT_TTL = "3600"
"""octoDNS's, of records that have none of their own."""
TYPES = ("A", "AAAA", "CNAME")
"""Of records that can be dynamic."""
PROTOCOLS = {"HTTP": "http", "HTTPS": "https", "TCP": "tcp", "ICMP": "icmp", "UDP": "udp_icmp"}
GEO_LISTS = {1: "continents", 2: "countries", 3: "subdivisions"}
"""What a code is by the number of its parts: `NA`, `NA-US`, `NA-US-CA`."""


def carry(files: Sequence[File], report: Report) -> Table:
    """All dynamic records with their zones; SourceError if there are none."""
    try:
        from steering.imports.yaml_document import read_yaml
    except ImportError:
        raise SourceError("octoDNS's files need PyYAML: pip install 'waypost[octodns]'") from None
    import_ = _Import(files[0].path, report)
    for file in files:
        document = read_yaml(file.content, file.path)
        if not isinstance(document, dict):
            raise SourceError(f"{file.path}: expected a table of records by name")
        if {"providers", "zones"} <= document.keys():
            raise SourceError(f"{file.path}: octoDNS's own configuration; the records are in the files of the zones")
        import_.carry_zone(_zone_of(file.path), document, Place(file.path))
    return import_.finish()


def _zone_of(path: str) -> str:
    """The zone that a file is for: `example.com.yaml`, or of split zones `example.com./www.yaml`."""
    parent, stem = PurePath(path).parent.name, PurePath(path).stem
    zone = parent if parent.endswith(".") and parent.strip(".") else stem.removeprefix("$")
    return zone.rstrip(".").lower()


class _Import:
    """What is carried over so far."""

    def __init__(self, path: str, report: Report) -> None:
        self._report = report
        self._content = Table(Place(path))
        self._content["server"] = Table(Place(path))
        for name in ("monitor", "pool", "zone", "load_balancer"):
            self._content[name] = []
        self._names = {"monitor": Names(), "pool": Names()}
        self._monitors: dict[str, str] = {}
        """Names of monitors by what they do."""
        self._zones: dict[str, Table] = {}

    def finish(self) -> Table:
        if not self._content["load_balancer"]:
            raise SourceError("no dynamic and no geo record in these files")
        for name, zone in self._zones.items():
            if "nameservers" not in zone:
                zone["nameservers"] = [f"ns1.{name}"]
                self._report.ask(f"zone {name}: nameservers, or the file of the zone")
        return self._content

    def carry_zone(self, zone: str, records: dict[str, object], place: Place) -> None:
        """The records of a file."""
        if zone not in self._zones:
            self._zones[zone] = table = Table(place)
            table["name"] = zone
            self._content.tables("zone").append(table)
        for label, value in records.items():
            listed = value if isinstance(value, list) else [value]
            for position, each in enumerate(listed):
                here = place.at(label, position) if isinstance(value, list) else place.at(label)
                self._carry_record(zone, label, Fields(each, here, self._report))

    def _carry_record(self, zone: str, label: str, fields: Fields) -> None:
        kind = fields.text("type")
        dynamic, geo = fields.table("dynamic"), fields.table("geo")
        is_dynamic, is_geo = bool(list(dynamic.places())), bool(list(geo.places()))
        if kind == "NS" and not label:
            names = [value.text.rstrip(".") for value in self._values(fields)]
            self._zones[zone].put("nameservers", names or None)
            fields.leave("ttl", "waypost chooses that of the NS records of a zone without a file")
            fields.close()
            return
        if kind not in TYPES or not (is_dynamic or is_geo):
            reason = "neither dynamic nor geo: it belongs into the file of the zone"
            self._report.leave(fields.place, kind or None, reason)
            return
        options = fields.table("octodns")
        if options.text("ignored").lower() in ("true", "yes", "on"):
            self._report.leave(fields.place, kind, "is ignored there, and left out")
            return
        record = _Record(kind, f"{label}.{zone}" if label else zone, fields.place)
        monitor = self._carry_healthcheck(options.table("healthcheck"), record)
        options.ignore("lenient")
        options.close()
        table = Table(fields.place)
        table |= {"name": record.owner, "types": [kind]}
        ttl = fields.text("ttl") or DEFAULT_TTL
        if ttl.isascii() and ttl.isdigit() and len(ttl) < 10:
            table["ttl"] = int(ttl)
        else:
            self._report.leave(fields.place.at("ttl"), ttl, "expected a number of seconds")
        values = self._values(fields)
        fallback = self._add_pool(record, "values", values, fields.place, "", "all")
        if not fallback:
            self._report.leave(fields.place, kind, "is left out: it has no values that could answer when all is down")
            return
        if is_dynamic:
            self._carry_dynamic(dynamic, record, table, fallback, monitor)
            for code, where in geo.places():
                self._report.leave(where, geo.take(code), "the record is dynamic, too, which goes before")
        else:
            self._carry_geo(geo, record, table, fallback, monitor)
        table["fallback_pool"] = fallback
        fields.close()
        self._content.tables("load_balancer").append(table)

    def _values(self, fields: Fields) -> "list[_Value]":
        """What the record is without being dynamic."""
        return [
            _Value(text, fields.place.at(name, position))
            for name in ("values", "value")
            for position, text in enumerate(fields.texts(name))
        ]

    def _carry_healthcheck(self, fields: Fields, record: "_Record") -> str:
        """The name of the monitor, which is made if there is none that does the same."""
        protocol = fields.text("protocol") or "HTTPS"
        if protocol not in PROTOCOLS:
            self._report.leave(fields.place.at("protocol"), protocol, "not known; it is HTTPS")
            protocol = "HTTPS"
        if protocol == "UDP":
            self._report.leave(fields.place.at("protocol"), protocol, "a ping goes before each check, and has to pass")
        table = Table(fields.place)
        name = self._names["monitor"].make(record.owner.replace(".", "-"), "monitor")
        table |= {"name": name, "type": PROTOCOLS[protocol]}
        says_host = any(name == "host" for name, _ in fields.places())
        port, path, host = fields.text("port"), fields.text("path"), fields.text("host")
        if protocol != "ICMP":
            table["port"] = int(port) if port.isascii() and port.isdigit() and len(port) < 6 else 443
            if port and port != str(table["port"]):
                self._report.leave(fields.place.at("port"), port, "expected a port; it is 443")
        if protocol in ("HTTP", "HTTPS"):
            table["path"] = "/" + (path or "_dns").removeprefix("/")
            if host or not says_host:  # null there means the address
                table["headers"] = {"Host": host or record.owner}
        fields.close()
        same = repr(sorted((key, str(value)) for key, value in table.items() if key != "name"))
        if same not in self._monitors:
            self._monitors[same] = name
            self._content.tables("monitor").append(table)
        return self._monitors[same]

    def _add_pool(
        self, record: "_Record", name: str, values: "Sequence[_Value]", place: Place, monitor: str, policy: str
    ) -> str:
        """The name of a pool that is made of values; "" if none of them is good."""
        table = Table(place)
        origins: list[object] = []
        names = Names()
        heaviest = max((value.weight for value in values), default=1)
        for value in values:
            origin = Table(value.place)
            origin["name"] = names.make(value.text.rstrip("."), "origin")
            try:
                origin["address"] = record.parse(value.text)
            except ValueError as error:
                self._report.leave(origin.place, value.text, str(error))
                continue
            origin.put("weight", round(value.weight / heaviest, 6), default=1)
            origin.put("enabled", value.status != "down", default=True)
            if record.kind == "CNAME":
                origin["records"] = {"CNAME": f"{origin['address']}."}
            origins.append(origin)
        if not origins:
            return ""
        statuses = {value.status for value in values} - {"down"}
        if "up" in statuses and "obey" in statuses:
            for value in values:
                if value.status == "up":
                    reason = "health is ignored for whole pools: it is checked"
                    self._report.leave(value.place.at("status"), value.status, reason)
        table["name"] = self._names["pool"].make(f"{record.owner.replace('.', '-')}-{record.kind}-{name}", "pool")
        table.put("enabled", bool(statuses), default=True)
        table.put("monitor", monitor if "obey" in statuses or not statuses else None, default="")
        if policy == "random" and len(origins) > 1:
            table["origin_steering"] = {"policy": "random"}
        table["origin"] = origins
        self._content.tables("pool").append(table)
        return str(table["name"])

    def _carry_dynamic(self, dynamic: Fields, record: "_Record", table: Table, fallback: str, monitor: str) -> None:
        pools, next_pool = self._carry_pools(dynamic.table("pools"), record, monitor)
        names = Names()
        by_network: list[object] = []
        by_place: list[object] = []
        default: list[str] | None = None
        for number, rule in enumerate(dynamic.tables("rules"), 1):
            pool, geos, subnets = rule.text("pool"), rule.texts("geos"), rule.texts("subnets")
            rule.close()
            if default is not None:
                self._report.leave(rule.place, pool, "comes after the rule for everybody: nobody gets there")
                continue
            chain = _follow(pool, next_pool)
            listed = [pools[each] for each in chain if each in pools]
            if not listed:
                self._report.leave(rule.place.at("pool"), pool, "no such pool: the rule is left out")
                continue
            if not geos and not subnets:
                default = listed
                continue
            lists = self._lists_of({geo: rule.place.at("geos", n) for n, geo in enumerate(geos)})
            networks = [self._parse(parse_network, each, rule.place.at("subnets", n)) for n, each in enumerate(subnets)]
            lists["networks"] = [network for network in networks if network]
            for kind, codes in lists.items():
                if codes:
                    made = Table(rule.place)
                    made |= {"name": names.make(f"rule-{number}-{kind}", "rule"), kind: codes, "pools": listed}
                    (by_network if kind == "networks" else by_place).append(made)
        dynamic.close()
        table["default_pools"] = default or [fallback]
        table.put("pool_set", [*by_network, *by_place] or None)

    def _carry_pools(self, fields: Fields, record: "_Record", monitor: str) -> tuple[dict[str, str], dict[str, str]]:
        """Our names of the pools, and the fallbacks of each, both by their names there."""
        pools, next_pool = {}, {}
        for name, place in list(fields.places()):
            pool = fields.table(name)
            next_pool[name] = pool.text("fallback")
            values = [self._carry_value(each) for each in pool.tables("values")]
            pool.close()
            made = self._add_pool(record, name, values, place, monitor, "random")
            if made:
                pools[name] = made
            else:
                self._report.leave(place, None, "the pool is left out: it has no values")
        for name, following in next_pool.items():
            if following and following not in pools and following != "default":
                self._report.leave(fields.place.at(name, "fallback"), following, "no such pool")
        return pools, next_pool

    def _carry_value(self, fields: Fields) -> "_Value":
        text, weight, status = fields.text("value"), fields.text("weight") or "1", fields.text("status") or "obey"
        if not (weight.isascii() and weight.isdigit() and 1 <= int(weight[:9]) <= 100):
            self._report.leave(fields.place.at("weight"), weight, "expected a whole number from 1 to 100; it is 1")
            weight = "1"
        if status not in ("up", "down", "obey"):
            self._report.leave(fields.place.at("status"), status, "expected up, down or obey; it is obey")
            status = "obey"
        fields.close()
        return _Value(text, fields.place, int(weight), status)

    def _carry_geo(self, geo: Fields, record: "_Record", table: Table, fallback: str, monitor: str) -> None:
        """The old kind: the most specific code wins, wherever it stands."""
        names = Names()
        sets: dict[int, list[object]] = {3: [], 2: [], 1: []}
        for code, place in geo.places():
            values = [_Value(text, place.at(n), status="obey") for n, text in enumerate(geo.texts(code))]
            pool = self._add_pool(record, code, values, place, monitor, "all")
            if not pool:
                self._report.leave(place, None, "is left out: it has no values")
            for kind, codes in self._lists_of({code: place}).items():
                if codes and pool:
                    made = Table(place)
                    made |= {"name": names.make(code, "geo"), kind: codes, "pools": [pool]}
                    sets[code.count("-") + 1].append(made)
        table["default_pools"] = [fallback]
        table.put("pool_set", [*sets[3], *sets[2], *sets[1]] or None)

    def _lists_of(self, geos: Mapping[str, Place]) -> dict[str, list[str]]:
        """What a pool set calls the geos, which stand at these places, by the name of its lists."""
        lists: dict[str, list[str]] = {name: [] for name in GEO_LISTS.values()}
        for geo, where in geos.items():
            parts = geo.split("-")
            parse = {1: _parse_continent, 2: parse_country, 3: parse_subdivision}.get(len(parts))
            if parse is None:
                self._report.leave(where, geo, "expected a continent, country or subdivision, like NA-US-CA")
            elif code := self._parse(parse, "-".join(parts[1:]) or geo, where):
                lists[GEO_LISTS[len(parts)]].append(code)
        lists = {name: list(dict.fromkeys(codes)) for name, codes in lists.items()}
        if lists["subdivisions"]:
            self._report.ask(
                "[[geo]]: a City database, as the country data that waypost ships with has no subdivisions"
            )
        return lists

    def _parse(self, parse: Callable[[str], str], text: str, place: Place) -> str:
        """The value, or "" for a text that is reported."""
        try:
            return parse(text)
        except ValueError as error:
            self._report.leave(place, text, str(error))
            return ""


class _Value:
    """A value of a pool. Without a status, it is one that nobody checks."""

    def __init__(self, text: str, place: Place, weight: int = 1, status: str = "up") -> None:
        self.text = text
        self.place = place
        self.weight = weight
        self.status = status


class _Record:
    """The type and the whole name of a record, and where it stands."""

    def __init__(self, kind: str, owner: str, place: Place) -> None:
        self.kind = kind
        self.owner = owner.lower()
        self.place = place

    def parse(self, value: str) -> str:
        """The address that a value is; raises ValueError."""
        if self.kind == "CNAME":
            return parse_address_or_name(f"{value.rstrip('.')}.")
        address = parse_address(value)
        if (":" in address) != (self.kind == "AAAA"):
            raise ValueError(f"not an address for {self.kind} records")
        return address


def _follow(pool: str, next_pool: dict[str, str]) -> list[str]:
    """A pool and its fallbacks, each once."""
    chain: dict[str, None] = {}
    while pool and pool not in chain:
        chain[pool] = None
        pool = next_pool.get(pool, "")
    return list(chain)


def _parse_continent(text: str) -> str:
    if text not in CONTINENTS:
        raise ValueError("no such continent")
    return text


SOURCE = Source("Dynamic records, and geo records of the old kind, of octoDNS (YAML files of zones).", carry)
