"""config/reference.md says exactly what the Structs of the settings say: every key, default and range."""

import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import dns.rcode
import dns.rdatatype
import msgspec
import pytest
from msgspec.inspect import Field, StructType, type_info

from monitors.monitor import Monitor
from monitors.notify import NOTIFIERS
from monitors.notify.notifier import Notifier
from monitors.probes import PROBES
from steering.beside import EXPORTS, UPDATES
from steering.beside.export import Export
from steering.beside.update import Update
from steering.health.guard import Guard
from steering.health.maintenance import Maintenance
from steering.ratelimit import RateLimit
from steering.reading import expected
from steering.records import RECORDS_BY_TYPE
from steering.settings import (
    CatalogMembers,
    ClientLocation,
    GeoSource,
    Http,
    LoadBalancer,
    LoadShedding,
    Member,
    MonitorGroup,
    Origin,
    OriginHeader,
    OriginSteering,
    Pool,
    PoolSet,
    PowerDns,
    RandomSteering,
    Server,
    Settings,
    SharedKey,
    UpdatePermission,
    Zone,
)

REFERENCE = Path(__file__).parents[2] / "config" / "reference.md"

TABLES: dict[str, type[msgspec.Struct]] = {
    "Top level": Settings,
    "`[server]`": Server,
    "`[server.rate_limit]`": RateLimit,
    "`[http]`": Http,
    "`[server.location]`": ClientLocation,
    "`[powerdns]`": PowerDns,
    "`[[geo]]`": GeoSource,
    "`[[monitor]]`": Monitor,
    "`[[monitor_group]]`": MonitorGroup,
    "`[[monitor_group.members]]`": Member,
    "`[guard]`": Guard,
    "`[[pool]]`": Pool,
    "`[[pool.origin]]`": Origin,
    "`[pool.origin.header]`": OriginHeader,
    "`[[maintenance]]`": Maintenance,
    "`[pool.origin_steering]`": OriginSteering,
    "`[pool.load_shedding]`": LoadShedding,
    "`[[notifier]]`": Notifier,
    "`[[zone]]`": Zone,
    "`[zone.members]`": CatalogMembers,
    "`[[zone.allow_update]]`": UpdatePermission,
    "`[[export]]`": Export,
    "`[[update]]`": Update,
    "`[[key]]`": SharedKey,
    "`[[load_balancer]]`": LoadBalancer,
    "`[load_balancer.random_steering]`": RandomSteering,
    "`[[load_balancer.pool_set]]`": PoolSet,
    **{f'`type = "{name}"`': kind.monitor for name, kind in PROBES.items()},
    **{f'`type = "{name}"`': kind.notifier for name, kind in NOTIFIERS.items()},
    **{f'`type = "{name}"`': kind.export for name, kind in EXPORTS.items()},
    **{f'`type = "{name}"`': kind for name, (kind, _) in UPDATES.items()},
}

WRITTEN: dict[str, Callable[[Any], object]] = {
    "expected_codes": lambda ranges: ",".join(str(low) for low, _ in ranges),
    "expected_rcode": lambda number: dns.rcode.to_text(number),
    "query_type": lambda number: dns.rdatatype.to_text(number),
    "types": lambda numbers: [RECORDS_BY_TYPE[number].name for number in numbers],
}
"""How a default is written that is kept as something better than text."""

KINDS: dict[type[msgspec.Struct], Iterable[str]] = {
    Monitor: PROBES,
    Notifier: NOTIFIERS,
    Export: EXPORTS,
    Update: UPDATES,
}
"""What all kinds share → their types."""

Row = tuple[str, str]
"""Default and what is allowed."""


def written() -> dict[str, dict[str, Row]]:
    """Heading → key → row, from the page."""
    tables: dict[str, dict[str, Row]] = {}
    heading = ""
    for line in REFERENCE.read_text(encoding="utf-8").splitlines():
        if match := re.match(r"##+ (.*)", line):
            heading = match[1]
            tables[heading] = {}
        elif line.startswith("| `"):
            key, default, allowed, meaning = (cell.strip() for cell in line.strip("|").split("|"))
            assert meaning.endswith("."), f"{heading} {key}: a sentence ends with a dot"
            assert key.strip("`") not in tables[heading], f"{heading} {key} is there twice"
            tables[heading][key.strip("`")] = default, allowed
    return tables


def fields_of(kind: type[msgspec.Struct]) -> dict[str, Row]:
    """Key → row, from a Struct; what all kinds share is not repeated for each."""
    info = type_info(kind)
    assert isinstance(info, StructType)
    shared = {
        field.name
        for base in KINDS
        if kind is not base and issubclass(kind, base)
        for field in msgspec.structs.fields(base)
    }
    return {
        field.encode_name: (default_of(field), expected(field.type))
        for field in info.fields
        if field.name not in shared
    }


def default_of(field: Field) -> str:
    """The default as the page writes it: `TOML`, required or none."""
    if field.required:
        return "required"
    value = field.default_factory() if field.default is msgspec.NODEFAULT else field.default
    if value is None or (value == () and field.encode_name != "nameservers"):
        return "none"
    if field.encode_name in WRITTEN:
        value = WRITTEN[field.encode_name](value)
    if isinstance(value, msgspec.Struct):
        value = {}
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return f"`{json.dumps(value)}`"


def test_every_table_is_there() -> None:
    assert set(written()) == set(TABLES)


@pytest.mark.parametrize("heading", TABLES)
def test_a_table_says_what_the_struct_says(heading: str) -> None:
    rows = written()[heading]
    if types := KINDS.get(TABLES[heading]):
        assert rows.pop("type") == ("required", "one of " + ", ".join(map(json.dumps, sorted(types))))
    assert rows == fields_of(TABLES[heading])
