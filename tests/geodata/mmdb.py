"""A writer of small MaxMind databases: every record size, and trees that no honest writer makes."""

import ipaddress
import struct
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

_STRING, _DOUBLE, _UINT16, _UINT32, _MAP, _UINT64, _ARRAY = 2, 3, 5, 6, 7, 9, 11

Child = tuple[str, int] | None
"""Where a record leads: ("node", number), ("data", number), ("byte", offset in the data), or nowhere."""


def write_networks(
    path: Path,
    networks: dict[str, object],
    *,
    record_size: int = 24,
    aliases: tuple[str, ...] = (),
    metadata: Mapping[str, object] = MappingProxyType({}),
) -> Path:
    """An IPv6 tree with IPv4 networks below ::/96; `aliases` are IPv6 networks that lead there, too."""
    nodes: list[list[Child]] = [[None, None]]
    data = list(networks.values())
    for number, text in enumerate(networks):
        _insert(nodes, _bits(text), ("data", number))
    root = _insert(nodes, "0" * 96, None) if aliases else None
    for text in aliases:
        _insert(nodes, _bits(text), root)
    return write_tree(path, nodes, data, record_size=record_size, metadata=metadata)


def write_tree(
    path: Path,
    nodes: list[list[Child]],
    data: list[object],
    *,
    record_size: int = 24,
    ip_version: int = 6,
    metadata: Mapping[str, object] = MappingProxyType({}),
) -> Path:
    """The tree as it is given; `metadata` replaces fields, and the file says that it has them."""
    offsets, section = [], b""
    for record in data:
        offsets.append(len(section))
        section += encoded(record)

    def record_of(child: Child) -> int:
        if child is None:
            return len(nodes)
        kind, number = child
        return number if kind == "node" else len(nodes) + 16 + (offsets[number] if kind == "data" else number)

    tree = b"".join(_node(record_of(left), record_of(right), record_size) for left, right in nodes)
    path.write_bytes(tree + bytes(16) + section + metadata_of(len(nodes), record_size, ip_version, metadata))
    return path


def metadata_of(
    node_count: int, record_size: int, ip_version: int, changes: Mapping[str, object] = MappingProxyType({})
) -> bytes:
    """The end of a file."""
    about = {
        "node_count": _uint(_UINT32, node_count),
        "record_size": _uint(_UINT16, record_size),
        "ip_version": _uint(_UINT16, ip_version),
        "database_type": "Test-City",
        "languages": ["en"],
        "binary_format_major_version": _uint(_UINT16, 2),
        "binary_format_minor_version": _uint(_UINT16, 0),
        "build_epoch": _uint(_UINT64, 1_700_000_000),
        "description": {"en": "a test"},
    }
    return b"\xab\xcd\xefMaxMind.com" + encoded(about | dict(changes))


def _bits(text: str) -> str:
    network = ipaddress.ip_network(text)
    bits = f"{int(network.network_address):0{network.max_prefixlen}b}"[: network.prefixlen]
    return bits if network.version == 6 else "0" * 96 + bits


def _insert(nodes: list[list[Child]], bits: str, child: Child) -> Child:
    """Hang the child where the bits lead, below which there is nothing; without one, give what is there."""
    node = 0
    for bit in map(int, bits[:-1]):
        below = nodes[node][bit]
        if below is None or below[0] == "data":  # a wider network's data goes on in both new children
            nodes.append([below, below])
            below = nodes[node][bit] = ("node", len(nodes) - 1)
        node = below[1]
    last = int(bits[-1])
    if child is not None:
        nodes[node][last] = child
    return nodes[node][last]


def _node(left: int, right: int, record_size: int) -> bytes:
    if record_size == 28:
        middle = (left >> 24) << 4 | right >> 24
        return (left & 0xFFFFFF).to_bytes(3, "big") + bytes((middle,)) + (right & 0xFFFFFF).to_bytes(3, "big")
    return left.to_bytes(record_size // 8, "big") + right.to_bytes(record_size // 8, "big")


def encoded(value: object) -> bytes:
    """A value in the data section; bytes are encoded already, a pointer for example."""
    match value:
        case dict():
            items = b"".join(encoded(key) + encoded(item) for key, item in value.items())
            return _control(_MAP, len(value)) + items
        case list():
            return _control(_ARRAY, len(value)) + b"".join(map(encoded, value))
        case str():
            return _control(_STRING, len(value.encode())) + value.encode()
        case int():
            return _uint(_UINT32, value)
        case float():
            return _control(_DOUBLE, 8) + struct.pack(">d", value)
        case bytes():
            return value
    raise TypeError(value)


def _uint(kind: int, value: int) -> bytes:
    size = -(-value.bit_length() // 8)
    return _control(kind, size) + value.to_bytes(size, "big")


def _control(kind: int, size: int) -> bytes:
    assert size < 285
    extended = bytes((kind - 7,)) if kind > 7 else b""
    first = (0 if kind > 7 else kind) << 5 | min(size, 29)
    return bytes((first,)) + extended + (bytes((size - 29,)) if size >= 29 else b"")
