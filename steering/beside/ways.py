"""The ways of living beside another DNS server, each with the configuration of both sides: WAYS.

The configurations are the files of config/beside, which the tests run with the real servers; for one's own names and
addresses the texts that stand for them are replaced.
"""

import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import msgspec

EXAMPLES = (Path(__file__).parents[2] / "config" / "beside", Path(__file__).parent / "examples")
"""Where the files are: in the tree, or where it is installed."""


class Text(msgspec.Struct, frozen=True):
    """A text of the example, and how one's own name or address is put in its place.

    {text}, and of a name {parent}; of an address {host}, {port}, {type}, {bits}, and where the port 53 goes without
    saying {host_at} (192.0.2.1@5300), {host_port} (192.0.2.1 port 5300), {host_colon} (192.0.2.1:5300).
    """

    option: str
    """zone, waypost, server or secret."""
    example: str
    pattern: str = "{text}"


class Way(msgspec.Struct, frozen=True):
    """A way: what it is, its files, and the texts in them that are examples."""

    summary: str
    files: tuple[str, ...]
    """That of waypost comes last."""
    texts: tuple[Text, ...]


_ZONE = Text("zone", "gslb.example.com")
_OVER_ZONE = Text("zone", "example.com", "{parent}")
_PARENT = Text("zone", "example.com")
_WAYPOST = Text("waypost", "127.0.0.1:5300")
_SERVER = Text("server", "127.0.0.1:5353")
_AT_WAYPOST = Text("waypost", "192.0.2.1", "{host}")
_AT_SERVER = Text("server", "192.0.2.2", "{host}")
_NSD_ASKS = Text("waypost", "request-xfr: 192.0.2.1", "request-xfr: {host_at}")
_NSD_TELLS = Text("waypost", " notify: 192.0.2.1", " notify: {host_at}")
_KNOT_REMOTE = Text("waypost", "address: 192.0.2.1", "address: {host_at}")
_BIND_ASKS = Text("waypost", "primaries { 192.0.2.1", "primaries {{ {host_port}")
_BIND_TELLS = Text("waypost", "also-notify { 192.0.2.1", "also-notify {{ {host_port}")
_POWERDNS_ASKS = Text("waypost", "masters { 192.0.2.1", "masters {{ {host_colon}")
_POWERDNS_TELLS = Text("waypost", "also-notify=192.0.2.1", "also-notify={host_colon}")
_WAYPOST_ASKS = Text("server", 'primaries = ["192.0.2.2', 'primaries = ["{host_colon}')
_WAYPOST_TELLS = Text("server", 'notify = ["192.0.2.2', 'notify = ["{host_colon}')
_KNOT = Text("server", "127.0.0.1@5353", "{host}@{port}")
_SECRET = Text("secret", "c2VjcmV0IG9mIHRoZSBleGFtcGxlLCBub3QgeW91cnM=")
_TRANSFERS = (_PARENT, _AT_WAYPOST, _AT_SERVER, _SECRET, _KNOT_REMOTE)

WAYS: Mapping[str, Way] = {
    "delegation": Way(
        "your server delegates a zone to waypost",
        ("example.com.zone", "waypost.toml"),
        (
            Text("waypost", "127.0.0.1:53"),
            Text("waypost", "A       127.0.0.1 ", "{type:<7} {host} "),
            _ZONE,
            _OVER_ZONE,
        ),
    ),
    "powerdns_remote": Way(
        "PowerDNS asks waypost as its backend",
        ("pdns.conf", "waypost.toml"),
        (_ZONE, _OVER_ZONE),
    ),
    "dnsdist": Way(
        "dnsdist asks waypost, and says for whom",
        ("dnsdist.conf", "waypost.toml"),
        (_ZONE, _OVER_ZONE, _WAYPOST, _SERVER, Text("server", "127.0.0.1/32", "{host}/{bits}")),
    ),
    "knot_dnsproxy": Way(
        "Knot DNS passes questions on to waypost",
        ("knot.conf", "waypost.toml"),
        (_ZONE, _OVER_ZONE, _WAYPOST, Text("waypost", "127.0.0.1@5300", "{host}@{port}"), _KNOT),
    ),
    "coredns": Way(
        "CoreDNS passes questions on to waypost",
        ("Corefile", "waypost.toml"),
        (
            _ZONE,
            _OVER_ZONE,
            _WAYPOST,
            Text("server", ":5353 {", ":{port} {{"),
            Text("server", "bind 127.0.0.1", "bind {host}"),
        ),
    ),
    "dns_update": Way(
        "waypost writes into a zone of BIND, Knot DNS or PowerDNS by dynamic updates",
        ("named.conf", "knot.conf", "pdns.conf", "waypost.toml"),
        (
            _PARENT,
            _SERVER,
            _KNOT,
            _SECRET,
            Text("server", "port 5353 { 127.0.0.1; }", "port {port} {{ {host}; }}"),
            Text("waypost", "dnsupdate-from=127.0.0.1", "dnsupdate-from={host}"),
        ),
    ),
    "powerdns_api": Way(
        "waypost writes into a zone of PowerDNS by its HTTP API",
        ("pdns.conf", "waypost.toml"),
        (
            _PARENT,
            Text("secret", "your-own-key"),
            Text("server", "127.0.0.1:8081"),
            Text("server", "webserver-address=127.0.0.1", "webserver-address={host}"),
            Text("server", "webserver-port=8081", "webserver-port={port}"),
        ),
    ),
    "transfers_out": Way(
        "your servers take a zone from waypost",
        ("nsd.conf", "knot.conf", "named.conf", "pdns.conf", "waypost.toml"),
        (*_TRANSFERS, _NSD_ASKS, _BIND_ASKS, _POWERDNS_ASKS, _WAYPOST_TELLS),
    ),
    "transfers_in": Way(
        "waypost takes a zone from your server",
        ("nsd.conf", "knot.conf", "named.conf", "pdns.conf", "waypost.toml"),
        (*_TRANSFERS, _NSD_TELLS, _BIND_TELLS, _POWERDNS_TELLS, _WAYPOST_ASKS),
    ),
    "catalog_out": Way(
        "your servers take all zones that a catalog of waypost lists",
        ("knot.conf", "named.conf", "waypost.toml"),
        (*_TRANSFERS, _BIND_ASKS, _WAYPOST_TELLS),
    ),
    "catalog_in": Way(
        "waypost takes all zones that a catalog of your server lists",
        ("knot.conf", "named.conf", "catalog.example.zone", "waypost.toml"),
        (*_TRANSFERS, _BIND_TELLS, _WAYPOST_ASKS),
    ),
    "gdnsd": Way(
        "gdnsd answers by the health that waypost sees",
        ("config", "zones/example.com", "waypost.toml"),
        (
            Text("server", "dns_port => 5353", "dns_port => {port}"),
            Text("server", "listen => 127.0.0.1", "listen => {host}"),
        ),
    ),
}


def render(way: Way, name: str, values: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Each file of a way and its content.

    `values` are a name without its last dot, addresses as in `listen`, and a secret in Base64.
    """
    own = {text.example: _fill(text.pattern, values[text.option]) for text in way.texts if text.option in values}
    # At once, the longest first: what has been put in is not replaced again.
    found = re.compile("|".join(re.escape(each) for each in sorted(own, key=len, reverse=True)) or r"(?!)")
    put_in = partial(found.sub, lambda match: own[match[0]])
    folder = next(each for each in EXAMPLES if each.is_dir()) / name
    for file in way.files:
        yield put_in(file), put_in((folder / file).read_text("utf-8"))


def options_of(way: Way) -> list[str]:
    """What of it can be one's own."""
    return list(dict.fromkeys(text.option for text in way.texts))


def _fill(pattern: str, value: str) -> str:
    host, _, port = value.rpartition(":")
    host = host.strip("[]")
    family = {"type": "AAAA", "bits": 128} if ":" in host else {"type": "A", "bits": 32}
    spelt = {"host_at": f"{host}@{port}", "host_port": f"{host} port {port}", "host_colon": value}
    if port == "53":
        spelt = dict.fromkeys(spelt, host)
    return pattern.format(text=value, parent=value.partition(".")[2] or value, host=host, port=port, **family, **spelt)
