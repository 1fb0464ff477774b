"""What the tests of the answer core share: names, queries as dnspython makes them, stores, settings and worlds."""

import string
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import dns.edns
import dns.flags
import dns.message
import dns.name
from hypothesis import strategies as st

from steering.balance.pools import Health
from steering.balance.rules import Rules
from steering.settings import Settings
from steering.settings_file import parse_settings
from steering.wire import NS, SOA, Query, parse_query_untrusted, render_rrset
from steering.world import AddressMap, World, make_world
from steering.zones.load import stage_zones
from steering.zones.node import CutTracker, key_labels, pack_node
from steering.zones.store import Store, StoreReader, Version, ZoneWriter

APEX = b"\7example\3com\0"
SOA_RDATA = b"\2ns\0\4host\0" + bytes(20)
SERVER = '[server]\nlisten = ["127.0.0.1:53"]\nstate = "state"\n'
FIRST = 0.0
"""The dice that always draws the first."""


def wire_of(name: dns.name.Name) -> bytes:
    """A name's wire bytes, its case kept."""
    wire = name.to_wire()
    assert wire is not None
    return wire


def name(text: str) -> bytes:
    """The key form of a name: wire, lower case; relative text is below example.com."""
    return wire_of(dns.name.from_text(text, dns.name.from_wire(APEX, 0)[0])).lower()


def parsed(text: str, rrtype: str, **options: object) -> Query:
    """A Query as it comes from the wire, with EDNS unless `use_edns=False`."""
    message = dns.message.make_query(text, rrtype, **({"use_edns": 0} | options))  # type: ignore[arg-type] # test keywords
    return parse_query_untrusted(message.to_wire())


ANY_OCTET = st.integers(0, 255)


def labels(octets: st.SearchStrategy[int] = ANY_OCTET, longest: int = 63) -> st.SearchStrategy[bytes]:
    """Labels of these octets."""
    return st.lists(octets, min_size=1, max_size=longest).map(bytes)


ANY_LABEL = labels()


def names(label: st.SearchStrategy[bytes] = ANY_LABEL) -> st.SearchStrategy[dns.name.Name]:
    """Absolute names of up to 255 octets, of any octets unless another strategy makes the labels."""
    return (
        st.lists(label, max_size=8)
        .filter(lambda made: sum(len(each) + 1 for each in made) < 255)
        .map(lambda made: dns.name.Name([*made, b""]))
    )


@st.composite
def spelt(draw: st.DrawFn, made: dns.name.Name) -> dns.name.Name:
    """A name with the case of each letter drawn."""
    lottery = draw(st.randoms(use_true_random=False))

    def spell(label: bytes) -> bytes:
        return bytes(
            ord(chr(octet).swapcase()) if chr(octet) in string.ascii_letters and lottery.random() < 0.5 else octet
            for octet in label
        )

    return dns.name.Name([spell(label) for label in made.labels])


def subnets() -> st.SearchStrategy[dns.edns.ECSOption]:
    """Client subnets of both families and every length; dnspython clears the bits behind the prefix."""
    ipv4 = st.builds(
        lambda address, length: dns.edns.ECSOption(str(address), length),
        st.ip_addresses(v=4),
        st.integers(0, 32),
    )
    ipv6 = st.builds(
        lambda address, length: dns.edns.ECSOption(str(address), length),
        st.ip_addresses(v=6),
        st.integers(0, 128),
    )
    return ipv4 | ipv6


def make_nodes(zone: Mapping[tuple[bytes, ...], Iterable[int]]) -> dict[bytes, bytes]:
    """Nodes in canonical order, from the labels of each owner (topmost first) and its types; the rdata names both."""
    tracker = CutTracker()
    keys = {b"".join(key_labels(wire_below(owner), b"\0")): owner for owner in zone}
    nodes = {}
    for key in sorted(keys):
        owner, types = keys[key], sorted(zone[keys[key]])
        cut, flags = tracker.visit(key, len(owner), types)
        nodes[key] = pack_node(cut, flags, [render_rrset(rrtype, 300, [key[:200] + b"!"]) for rrtype in types])
    return nodes


def wire_below(owner: tuple[bytes, ...]) -> bytes:
    """The wire form of labels that are given topmost first, below the root."""
    return b"".join(bytes((len(label),)) + label for label in reversed(owner)) + b"\0"


def version(serial: int) -> Version:
    """A Version whose other values do not matter."""
    return Version(serial, SOA_RDATA, 60, b"stamp %d" % serial)


def stage(writer: ZoneWriter, apex: bytes, nodes: Mapping[bytes, bytes], serial: int = 1, *, anew: bool = False) -> int:
    """Stage what differs, or all of a zone that is not served, or `anew`; how many nodes that are."""
    if anew or apex not in writer.served:
        return writer.stage(apex, version(serial), nodes.items())
    with writer.open_served(apex) as served:
        difference: dict[bytes, bytes | None] = {key: None for key in served if key not in nodes}
        difference |= {key: value for key, value in nodes.items() if served.get(key) != value}
    return writer.stage_difference(apex, version(serial), difference)


@contextmanager
def snapshot(reader: StoreReader) -> Iterator[StoreReader]:
    """The newest snapshot."""
    reader.begin()
    try:
        yield reader
    finally:
        reader.end()


@contextmanager
def opened_store(directory: Path) -> Iterator[Store]:
    """A store for writing."""
    store = Store(directory, write=True)
    try:
        yield store
    finally:
        store.close()


def write_settings(directory: Path, text: str, zones: Mapping[str, str]) -> Settings:
    """Settings with a file for each zone; a zone whose content is empty has no file but a name server."""
    for zone, content in zones.items():
        if content:
            (directory / f"{zone}.zone").write_text(content)
            text += f'[[zone]]\nname = "{zone}"\nfile = "{zone}.zone"\n'
        else:
            text += f'[[zone]]\nname = "{zone}"\nnameservers = ["ns1.{zone}"]\n'
    return parse_settings(SERVER + text, directory / "waypost.toml")


class HalvesMap:
    """An AddressMap: the lower half of the addresses is of class 0, the upper one of class 1."""

    def find4(self, address: int, /) -> tuple[int, int]:
        """Class and scope."""
        return address >> 31, 1

    def find6(self, address: int, /) -> tuple[int, int]:
        """Class and scope."""
        return address >> 127, 1


class HalvesMaps(dict[Rules, AddressMap]):
    """The same map for all Rules."""

    def __missing__(self, key: Rules) -> AddressMap:
        return HalvesMap()


def load_world(settings: Settings, store: Store, health: Health | None = None) -> World:
    """The world of these settings, whose zones are in the store afterwards."""
    stage_zones(settings, store, 1_800_000_000)()
    return make_world(settings, StoreReader(store), HalvesMaps(), health or {})


APEX_TYPES = (NS, SOA)
