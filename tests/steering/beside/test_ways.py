"""The ways of living beside another server: nothing is forgotten, and one's own names and addresses are everywhere."""

import pytest

from steering.beside.ways import EXAMPLES, WAYS, render

VALUES = {
    "zone": "steered.test",
    "waypost": "192.0.2.53:5300",
    "server": "[2001:db8::54]:53",
    "secret": "b3duIHNlY3JldA==",
}


def test_every_folder_is_a_way_and_every_file_is_shown() -> None:
    assert {path.name for path in EXAMPLES[0].iterdir()} == set(WAYS)
    for name, way in WAYS.items():
        assert way.files[-1] == "waypost.toml"
        there = {
            str(path.relative_to(EXAMPLES[0] / name)) for path in (EXAMPLES[0] / name).rglob("*") if path.is_file()
        }
        # What a server starts from is the user's; the test has one.
        assert set(way.files) == there - ({"example.com.zone"} if name == "dns_update" else set())


@pytest.mark.parametrize("name", WAYS)
def test_without_values_it_is_the_example(name: str) -> None:
    for file, content in render(WAYS[name], name, {}):
        assert content == (EXAMPLES[0] / name / file).read_text()


@pytest.mark.parametrize("name", WAYS)
def test_ones_own_take_the_place_of_every_example(name: str) -> None:
    content = "".join(content for _, content in render(WAYS[name], name, VALUES))
    for text in WAYS[name].texts:
        assert text.example not in content.replace("steered.test", "")
    if any(text.option == "zone" for text in WAYS[name].texts):
        assert "steered.test" in content


def test_addresses_are_spelt_as_each_server_wants_them() -> None:
    files = dict(render(WAYS["dns_update"], "dns_update", VALUES))
    assert "listen-on port 53 { 2001:db8::54; };" in files["named.conf"]
    assert "listen: 2001:db8::54@53" in files["knot.conf"]
    assert 'server = "[2001:db8::54]:53 key:waypost"' in files["waypost.toml"]
    assert "allow-dnsupdate-from=192.0.2.53" in files["pdns.conf"]
    files = dict(render(WAYS["dnsdist"], "dnsdist", VALUES))
    assert 'proxy_from = ["2001:db8::54/128"]' in files["waypost.toml"]
    swapped = {"waypost": "127.0.0.1:5353", "server": "127.0.0.1:5300"}
    files = dict(render(WAYS["dnsdist"], "dnsdist", swapped))
    assert 'setLocal("127.0.0.1:5300")' in files["dnsdist.conf"]
    assert 'address="127.0.0.1:5353"' in files["dnsdist.conf"]


@pytest.mark.parametrize(
    ("name", "file", "text", "without_port"),
    [
        ("transfers_out", "nsd.conf", "request-xfr: 192.0.2.53@5300 transfer", "request-xfr: 192.0.2.53 transfer"),
        ("transfers_out", "nsd.conf", "allow-notify: 192.0.2.53 transfer", "allow-notify: 192.0.2.53 transfer"),
        ("transfers_out", "knot.conf", "address: 192.0.2.53@5300\n", "address: 192.0.2.53\n"),
        ("transfers_out", "named.conf", "{ 192.0.2.53 port 5300 key transfer; }", "{ 192.0.2.53 key transfer; }"),
        ("transfers_out", "pdns.conf", "masters { 192.0.2.53:5300; }", "masters { 192.0.2.53; }"),
        ("transfers_out", "waypost.toml", '["[2001:db8::54]:5400 key:transfer"]', '["2001:db8::54 key:transfer"]'),
        ("transfers_in", "nsd.conf", " notify: 192.0.2.53@5300 transfer", " notify: 192.0.2.53 transfer"),
        ("transfers_in", "nsd.conf", "provide-xfr: 192.0.2.53 transfer", "provide-xfr: 192.0.2.53 transfer"),
        ("transfers_in", "named.conf", "{ 192.0.2.53 port 5300 key transfer; }", "{ 192.0.2.53 key transfer; }"),
        ("transfers_in", "pdns.conf", "also-notify=192.0.2.53:5300\n", "also-notify=192.0.2.53\n"),
        ("transfers_in", "waypost.toml", '["[2001:db8::54]:5400 key:transfer"]', '["2001:db8::54 key:transfer"]'),
        (
            "catalog_out",
            "named.conf",
            "default-primaries { 192.0.2.53 port 5300 key",
            "default-primaries { 192.0.2.53 key",
        ),
        ("catalog_in", "knot.conf", "address: 192.0.2.53@5300\n", "address: 192.0.2.53\n"),
    ],
)
def test_ports_of_ones_own_are_in_transfers(name: str, file: str, text: str, without_port: str) -> None:
    own = {"waypost": "192.0.2.53:5300", "server": "[2001:db8::54]:5400"}
    assert text in dict(render(WAYS[name], name, own))[file]
    usual = {"waypost": "192.0.2.53:53", "server": "[2001:db8::54]:53"}
    assert without_port in dict(render(WAYS[name], name, usual))[file]


def test_the_zone_over_ones_own_is_the_one_that_delegates() -> None:
    files = dict(render(WAYS["delegation"], "delegation", {"zone": "lb.steered.test"}))
    assert "www.steered.test.        300 IN  CNAME   www.lb.steered.test." in files["steered.test.zone"]
    assert 'nameservers = ["ns-lb.steered.test"]' in files["waypost.toml"]
    assert "example.com" not in "".join(files.values())
