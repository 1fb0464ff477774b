"""Catalogs (RFC 9432): zones that list zones, so that name servers learn from each other which zones there are.

    version.<catalog>         TXT "2"
    <label>.zones.<catalog>   PTR <member>

A producer's catalog is made from the configuration: `member_of` names it. What a consumer's catalog lists becomes zones
with primaries, as `members` of the catalog says. The store is what is known of members: they are those of the catalogs
in it, and a broken catalog does not get there.

Rules
- The label of a member is made from its name: it stays, whatever else changes. A member whose label changes at its
  producer begins anew (section 5.4).
- Who is configured is no member, nor is a zone that would take a load balancer from its zone. Of two catalogs with
  the same member, the one has it that has it already (section 5.2): `owner` says which, as the store knows it. If that
  is neither, it is the one that stands first in the configuration.
- A member moves to another catalog when that is transferred and lists it, and the catalog that has it says so by `coo`
  (section 4.4.1). It begins anew unless its label is the same in both. No other property of a member counts.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple

import msgspec

from steering.settings import Settings, Zone
from steering.wire import NS, SOA, TXT, name_to_text
from steering.zones.zonefile import Record

MEMBER_LIMIT: Final = 10_000
"""Members of one catalog that a consumer takes."""
TIMERS: Final = (3600, 900, 1_209_600, 0)
"""Refresh, retry, expire and negative TTL of the SOA of a catalog, in seconds."""

_PTR: Final = 12
_COO: Final = b"\3coo"
_VERSION: Final = b"\x012"
_NOWHERE: Final = b"\7invalid\0"


class CatalogError(Exception):
    """A catalog that says nothing, as it is broken (section 5.1)."""


class Member(msgspec.Struct, frozen=True):
    """A zone that is there since a catalog lists it."""

    zone: Zone
    catalog: bytes
    label: bytes
    """As it is in the catalog; another one means that the zone begins anew."""


class Listed(NamedTuple):
    """What a catalog says of a member."""

    label: bytes
    new_owner: bytes | None = None
    """The catalog that it may move to."""


Catalogs = Mapping[bytes, Mapping[bytes, Listed]]
"""Catalog → member."""


def make_catalog(apex: bytes, members: Iterable[bytes], serial: int) -> list[Record]:
    """The records of a producer's catalog; nobody asks for them but consumers, so all TTLs are 0."""
    numbers = b"".join(number.to_bytes(4, "big") for number in (serial, *TIMERS))
    listed = [(make_label(member) + b"\5zones" + apex, _PTR, 0, member) for member in sorted(members)]
    return [
        (apex, SOA, 0, _NOWHERE + _NOWHERE + numbers),
        (apex, NS, 0, _NOWHERE),
        (b"\7version" + apex, TXT, 0, _VERSION),
        *listed,
    ]


def make_label(member: bytes) -> bytes:
    """The label of a member in a producer's catalog, in wire format."""
    text = hashlib.sha256(member).hexdigest()[:32].encode()
    return bytes((len(text),)) + text


def members_of_producer(settings: Settings, apex: bytes) -> tuple[bytes, ...]:
    """The zones that the configuration puts into a catalog."""
    return tuple(sorted(zone.name for zone in settings.zones if zone.member_of == apex))


def read_catalog_untrusted(apex: bytes, records: Iterable[Record]) -> dict[bytes, Listed]:
    """The members of a consumer's catalog; raises CatalogError."""
    version, zones = b"\7version" + apex, b"\5zones" + apex
    versions: list[bytes] = []
    labels: set[bytes] = set()
    members: dict[bytes, bytes] = {}
    new_owners: dict[bytes, bytes] = {}
    """By label."""
    for owner, rrtype, _, rdata in records:
        if owner == version and rrtype == TXT:
            versions.append(rdata)
        elif rrtype == _PTR and owner[owner[0] + 1 :] == zones:
            label, member = owner[: owner[0] + 1], rdata.lower()
            if label in labels:
                raise CatalogError(f"{name_to_text(owner)} has more than one PTR record")
            if member in members:
                raise CatalogError(f"{name_to_text(member)} is listed twice")
            if len(members) == MEMBER_LIMIT:
                raise CatalogError(f"it has more than {MEMBER_LIMIT} members")
            labels.add(label)
            members[member] = label
        elif rrtype == _PTR and owner.startswith(_COO) and (node := owner[len(_COO) :])[node[0] + 1 :] == zones:
            label = node[: node[0] + 1]
            if label in new_owners:
                raise CatalogError(f"{name_to_text(owner)} has more than one PTR record")
            new_owners[label] = rdata.lower()
    if versions != [_VERSION]:
        raise CatalogError('it does not have "2", and nothing else, as its version')
    return {member: Listed(label, new_owners.get(label)) for member, label in members.items()}


def find_members(
    settings: Settings, catalogs: Catalogs, owner: Callable[[bytes], bytes], transferred: bytes = b""
) -> tuple[dict[bytes, Member], list[str]]:
    """The zones that the catalogs of a configuration add, by name; and in words, those that are refused.

    `owner` has the catalog that a zone came from so far, `transferred` is the catalog that has just come.
    """
    in_order = {zone.name: catalogs[zone.name] for zone in settings.zones if zone.name in catalogs}
    owners = _find_owners(in_order, owner, transferred)
    configured = {zone.name for zone in settings.zones}
    steered = _names_below_zones(settings, configured)
    members: dict[bytes, Member] = {}
    refused: list[str] = []
    for catalog in settings.zones:
        for name, listed in in_order.get(catalog.name, {}).items():
            if name in configured:
                reason = "is a zone of the configuration"
            elif name in steered:
                reason = "would have load balancers that are in a zone of the configuration"
            elif owners.get(name, catalog.name) != catalog.name:
                reason = f"is a member of {name_to_text(owners[name])}"
            else:
                members[name] = Member(_make_zone(catalog, name), catalog.name, listed.label)
                continue
            refused.append(f"{name_to_text(name)} in the catalog {name_to_text(catalog.name)} {reason}")
    return members, refused


def goes_on(catalogs: Catalogs, name: bytes, before: Member, after: Member) -> bool:
    """Whether a member goes on with all its state; if it does not, it begins anew."""
    if before.label != after.label or before.catalog == after.catalog:
        return before.label == after.label
    listed = catalogs.get(before.catalog, {}).get(name)
    return listed is not None and listed.new_owner == after.catalog


def _find_owners(catalogs: Catalogs, owner: Callable[[bytes], bytes], transferred: bytes) -> dict[bytes, bytes]:
    """The catalog that has a zone, of those that several list."""
    listing: dict[bytes, list[bytes]] = {}
    for catalog, members in catalogs.items():
        for name in members:
            listing.setdefault(name, []).append(catalog)
    owners = {}
    for name, several in listing.items():
        if len(several) > 1:
            found = owner(name)
            owners[name] = found if found in several else several[0]
            if transferred in several and catalogs[owners[name]][name].new_owner == transferred:
                owners[name] = transferred
    return owners


def add_members(settings: Settings, members: Mapping[bytes, Member]) -> Settings:
    """The configuration with the zones that its catalogs add."""
    return msgspec.structs.replace(settings, zones=settings.zones + tuple(each.zone for each in members.values()))


def _make_zone(catalog: Zone, name: bytes) -> Zone:
    template = catalog.members
    return Zone(
        name=name,
        primaries=template.primaries or catalog.primaries,
        allow_notify=template.allow_notify,
        allow_transfer=template.allow_transfer,
        notify=template.notify,
        journal=template.journal,
    )


def _names_below_zones(settings: Settings, configured: set[bytes]) -> set[bytes]:
    """The names from load balancers up to their zones, without these; one may lie in none (`[[update]]`)."""
    names: set[bytes] = set()
    for balancer in settings.load_balancers:
        name, below = balancer.name, set[bytes]()
        while name and name not in configured:
            below.add(name)
            name = name[name[0] + 1 :]
        names |= below if name else set()
    return names
