"""Strict checks of zones: one small zone for each warning, with its exact text; a clean zone has none; no zone that
loads makes the checks raise."""

import tracemalloc
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steering.cli import main
from steering.settings import Settings
from steering.zones.check import WARNING_LIMIT, Sieve, ZoneWarning, check_zone
from steering.zones.load import ZonesError, stage_zones
from steering.zones.store import StoreReader
from steering.zones.zonefile import read_zone
from tests.steering.support import SERVER, opened_store, snapshot, write_settings

APEX = """\
$TTL 300
@ SOA ns1 host 1 3600 900 604800 60
@ NS ns1
@ NS ns.example.net.
ns1 A 192.0.2.53
"""
CLEAN = (
    APEX
    + """\
www A 192.0.2.1
www A 192.0.2.2
www AAAA 2001:db8::1
alias CNAME www
chain CNAME alias
away CNAME www.example.net.
mail MX 10 www
mail MX 20 any.wild
mail MX 30 host.sub
null MX 0 .
_sip._tcp SRV 10 5 5060 www
_none._tcp SRV 0 0 0 .
svc HTTPS 0 alias
self HTTPS 1 . alpn=h2
self SVCB 0 .
*.wild A 192.0.2.77
a.b.c TXT "deep"
sub NS ns.sub
sub NS ns.sibling
sub NS sub
sub DS 12345 13 2 0000000000000000000000000000000000000000000000000000000000000000
sub A 192.0.2.63
ns.sub A 192.0.2.60
ns.sub AAAA 2001:db8::60
sibling NS www.example.net.
ns.sibling A 192.0.2.62
old DNAME new
www.new A 192.0.2.80
moved CNAME www.old
rrsig RRSIG A 13 3 300 20300101000000 20200101000000 1 example.com. AAAA
rrsig 600 RRSIG TXT 13 3 300 20300101000000 20200101000000 1 example.com. AAAA
rrsig A 192.0.2.5
rrsig TXT "signed"
"""
)


def check(folder: Path, zones: Mapping[str, str], configuration: str = "", *, state: str = "state") -> list[str]:
    """The warnings of all zones, as text."""
    return [str(warning) for warning in check_settings(folder, write_settings(folder, configuration, zones), state)]


def check_settings(folder: Path, configured: Settings, state: str = "state") -> list[ZoneWarning]:
    steered: dict[bytes, set[int]] = {}
    for balancer in configured.load_balancers:
        steered.setdefault(balancer.name, set()).update(balancer.types)
    with opened_store(folder / state) as store:
        stage_zones(configured, store, 1_800_000_000)()
        with snapshot(StoreReader(store)) as reader:
            return [
                warning
                for zone in configured.zones
                for warning in check_zone(
                    reader,
                    reader.zones[zone.name],
                    partial(read_zone, Path(zone.file), zone.name) if zone.file else tuple,
                    steered,
                )
            ]


def test_a_clean_zone_has_none(tmp_path: Path) -> None:
    assert check(tmp_path, {"example.com": CLEAN}) == []


ZONE_A = "add it to the zone example.com., or name another"
NO_ADDRESSES = "has no addresses: add its A or AAAA records, or name another"
RFC_2181 = "(RFC 2181 section 10.3): name the host that it leads to"


@pytest.mark.parametrize(
    ("records", "warnings"),
    [
        ("x MX 10 gone", [f"x.example.com.: the MX target gone.example.com. does not exist: {ZONE_A}"]),
        ("x SRV 1 1 1 gone", [f"x.example.com.: the SRV target gone.example.com. does not exist: {ZONE_A}"]),
        ("x CNAME Gone", [f"x.example.com.: the CNAME target gone.example.com. does not exist: {ZONE_A}"]),
        ("x HTTPS 0 gone", [f"x.example.com.: the HTTPS target gone.example.com. does not exist: {ZONE_A}"]),
        ("x SVCB 1 gone", [f"x.example.com.: the SVCB target gone.example.com. does not exist: {ZONE_A}"]),
        ("@ NS gone", [f"the NS target gone.example.com. does not exist: {ZONE_A}"]),
        ("x NS gone", [f"x.example.com.: the NS target gone.example.com. does not exist: {ZONE_A}"]),
        (
            "x MX 10 b\na.b A 192.0.2.1",
            ["x.example.com.: the MX target b.example.com. has no records: add some, or name another"],
        ),
        (
            'x MX 10 t\nt TXT "no address"',
            [f"x.example.com.: the MX target t.example.com. {NO_ADDRESSES}"],
        ),
        (
            "x MX 10 *.w\n*.w CNAME ns1\ny MX 10 a.w",
            [
                f"x.example.com.: the MX target *.w.example.com. is a CNAME {RFC_2181}",
                f"y.example.com.: the MX target a.w.example.com. is a CNAME {RFC_2181}",
            ],
        ),
        ("@ NS c\nc CNAME ns1", [f"the NS target c.example.com. is a CNAME {RFC_2181}"]),
        ("x NS c\nc CNAME ns1", [f"x.example.com.: the NS target c.example.com. is a CNAME {RFC_2181}"]),
        (
            "x SRV 1 1 1 c\nc CNAME ns1",
            ["x.example.com.: the SRV target c.example.com. is a CNAME (RFC 2782): name the host that it leads to"],
        ),
        (
            "x MX 1 a.old\nold DNAME new\na.new A 192.0.2.1",
            [f"x.example.com.: the MX target a.old.example.com. is below a DNAME {RFC_2181}"],
        ),
        (
            "x CNAME y\ny CNAME x",
            [
                (
                    "x.example.com.: the CNAME target y.example.com. leads back to where it came from: "
                    "name the host that is meant"
                ),
                (
                    "y.example.com.: the CNAME target x.example.com. leads back to where it came from: "
                    "name the host that is meant"
                ),
            ],
        ),
        (
            "x CNAME y\ny CNAME z\nz CNAME y",
            [
                f"{owner}.example.com.: the CNAME target {target}.example.com. leads back to where it came from: "
                "name the host that is meant"
                for owner, target in ("xy", "yz", "zy")
            ],
        ),
        *(
            (
                f"x {data}",
                [
                    (
                        f"x.example.com.: the {data.split()[0]} target {name} is an IP address written as a name: "
                        "name a host that has this address"
                    )
                ],
            )
            for data, name in (
                ("NS 192.0.2.1.", "192.0.2.1."),
                ("MX 10 192.0.2.1", "192.0.2.1.example.com."),
                ("MX 10 2001:db8::1", "2001:db8::1.example.com."),
            )
        ),
        (
            "x 300 A 192.0.2.1\nx 600 A 192.0.2.2\nx 900 A 192.0.2.3",
            [
                (
                    "x.example.com.: A records with the TTLs 300 and 600 s, of which 300 s is served "
                    "(RFC 2181 section 5.2): give all the same"
                )
            ],
        ),
        (
            "x A 192.0.2.1\ny A 192.0.2.1\nx A 192.0.2.1",
            ["x.example.com.: A records are repeated once (RFC 2181 section 5): delete the copies"],
        ),
        (
            "x MX 1 ns1\nX MX 1 NS1\nx MX 1 Ns1\nx TXT Ns1\nx TXT ns1",
            ["x.example.com.: MX records are repeated 2 times (RFC 2181 section 5): delete the copies"],
        ),
        ("@ 300 SOA ns1 host 1 3600 900 604800 60", []),  # as a transfer ends
        (
            "x NS ns.x",
            [
                (
                    "x.example.com.: no glue for the name server ns.x.example.com. inside the delegation (RFC 9471): "
                    "add its A or AAAA records to this zone"
                )
            ],
        ),
        (
            'x NS ns.x\nns.x A 192.0.2.1\nx TXT "at"\nns.x TXT "beside"\nwww.x A 192.0.2.2\na.www.x MX 1 ns1',
            [
                (
                    "x.example.com.: TXT at the delegation of x.example.com. (RFC 1034 section 4.2.1) is never "
                    "answered: move it to the other zone, or delete it"
                ),
                (
                    "ns.x.example.com.: TXT below the delegation of x.example.com. (RFC 1034 section 4.2.1) is never "
                    "answered: move it to the other zone, or delete it"
                ),
                (
                    "www.x.example.com.: A below the delegation of x.example.com. (RFC 1034 section 4.2.1) is never "
                    "answered: move it to the other zone, or delete it"
                ),
                (
                    "a.www.x.example.com.: MX below the delegation of x.example.com. (RFC 1034 section 4.2.1) is never "
                    "answered: move it to the other zone, or delete it"
                ),
            ],
        ),
        (
            "x DNAME y\nx A 192.0.2.1\na.x A 192.0.2.1\na.x AAAA 2001:db8::1",
            [
                (
                    "a.x.example.com.: A, AAAA below the DNAME of x.example.com. (RFC 6672 section 2.4) is never "
                    "answered: move it to the other zone, or delete it"
                )
            ],
        ),
        (
            "*.x NS ns1",
            [
                (
                    "*.x.example.com.: NS records at a wildcard, which nothing defines (RFC 4592 section 4.2): "
                    "delegate each name"
                )
            ],
        ),
    ],
)
def test_warnings(tmp_path: Path, records: str, warnings: list[str]) -> None:
    assert check(tmp_path, {"example.com": APEX + records}) == [
        text if text.startswith("example.com.: ") else f"example.com.: {text}" for text in warnings
    ]


@pytest.mark.parametrize(
    ("zone", "warnings"),
    [
        (
            "@ 300 SOA ns1 host 1 3600 3600 604800 60\n@ NS ns1\n@ NS ns.example.net.\nns1 A 192.0.2.1",
            [
                "the SOA's retry, 3600 s, is not below its refresh, 3600 s (RFC 1912 section 2.2): lower it",
            ],
        ),
        (
            "@ 300 SOA ns1 host 1 3600 900 3600 60\n@ NS ns1\n@ NS ns.example.net.\nns1 A 192.0.2.1",
            [
                (
                    "the SOA's refresh, 3600 s, is not below its expire, 3600 s (RFC 1912 section 2.2): "
                    "secondaries would drop the zone between two refreshes; raise expire"
                ),
            ],
        ),
        (
            "@ 300 SOA Other host 1 3600 900 604800 60\n@ NS ns1\n@ NS ns.example.net.\nns1 A 192.0.2.1",
            [
                (
                    "the SOA's primary server, other.example.com., is none of the zone's name servers "
                    "(RFC 1912 section 2.2): name one of them"
                ),
            ],
        ),
        (
            "@ 300 SOA NS1 host 1 3600 900 604800 60\n@ NS nS1\nns1 A 192.0.2.1",
            ["there is only one name server (RFC 2182 section 5): add one in another network"],
        ),
    ],
    ids=["retry", "expire", "primary", "one"],
)
def test_warnings_of_the_apex(tmp_path: Path, zone: str, warnings: list[str]) -> None:
    assert check(tmp_path, {"example.com": zone}) == [f"example.com.: {text}" for text in warnings]


SAME_IPV4 = (
    "example.com.: the IPv4 addresses of all name servers are inside 192.0.2.0/24, which a single route leak takes "
    "down (RFC 2182 section 3.1): move one to another network"
)
SAME_IPV6 = SAME_IPV4.replace("IPv4", "IPv6").replace("192.0.2.0/24", "2001:db8::/48")


@pytest.mark.parametrize(
    ("records", "warnings"),
    [
        ("ns2 A 192.0.2.254", [SAME_IPV4]),
        ("ns2 A 192.0.3.1", []),
        ("ns2 A 192.0.3.1\nns2 A 192.0.2.1", []),
        ("ns1 AAAA 2001:db8::1\nns2 AAAA 2001:db8:0:ffff::1", [SAME_IPV6]),
        ("ns1 AAAA 2001:db8::1\nns2 AAAA 2001:db8:1::1", []),
        ("ns1 AAAA 2001:db8::1\nns2 A 192.0.2.1\nns2 AAAA 2001:db8::2", [SAME_IPV4, SAME_IPV6]),
        ("ns1 AAAA 2001:db8::1\nns2 A 192.0.3.1", []),
        ("ns2 A 192.0.2.1\n@ NS ns.example.net.", []),
        ("ns2 A 192.0.2.1\n@ NS ns.sub\nsub NS ns.sub\nns.sub A 192.0.2.2", [SAME_IPV4]),
        ("ns2 A 192.0.2.1\n@ NS ns.sub\nsub NS ns.sub\nns.sub A 192.0.3.2", []),
        ("ns2 A 192.0.2.1\n@ NS ns.sub\nsub NS ns.example.net.", []),
    ],
)
def test_networks_of_name_servers(tmp_path: Path, records: str, warnings: list[str]) -> None:
    zone = "$TTL 300\n@ SOA ns1 host 1 3600 900 604800 60\n@ NS ns1\n@ NS ns2\nns1 A 192.0.2.53\n"
    assert check(tmp_path, {"example.com": zone + records}) == warnings


def test_glue_that_differs_from_a_zone_of_ours(tmp_path: Path) -> None:
    child = "@ 300 SOA ns host 1 3600 900 604800 60\n@ NS ns\n@ NS ns.example.net.\n"
    parent = APEX + "sub NS ns.sub\nsub NS ns.example.net.\nns.sub A 192.0.2.7\n"
    different = (
        "example.com.: ns.sub.example.com.: the glue differs from the zone sub.example.com.: A 192.0.2.7 here, "
        "192.0.2.8, 192.0.2.9 there; make them equal"
    )
    more = different.replace("A 192.0.2.7 here, 192.0.2.8, 192.0.2.9", "AAAA none here, 2001:db8::1")
    gone = (
        "example.com.: sub.example.com.: the NS target ns.sub.example.com. does not exist: "
        "add it to the zone sub.example.com., or name another"
    )
    for number, (records, warnings) in enumerate(
        {
            "ns A 192.0.2.7": [],
            "ns A 192.0.2.8\nns A 192.0.2.9": [different],
            "ns A 192.0.2.7\nns AAAA 2001:db8::1": [more],
            "": [gone, gone.replace("example.com.: sub.example.com.", "sub.example.com.", 1)],
        }.items()
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        assert check(folder, {"example.com": parent, "sub.example.com": child + records}) == warnings


STEERED = """
[[pool]]
name = "site"
[[pool.origin]]
name = "site-1"
address = "192.0.2.100"
records = { MX = "10 www.example.com." }
[[pool]]
name = "away"
[[pool.origin]]
name = "away-1"
address = "192.0.2.101"
records = { CNAME = "www.example.net.", MX = "10 gone.example.com." }
[[load_balancer]]
name = "geo.example.com"
types = ["A"]
default_pools = ["site"]
fallback_pool = "site"
[[load_balancer]]
name = "alias.example.com"
types = ["CNAME"]
default_pools = ["away"]
fallback_pool = "away"
"""


class TestSteered:
    def test_steered_names_exist(self, tmp_path: Path) -> None:
        records = "x MX 10 geo\nx A 192.0.2.1\ny CNAME geo\nz CNAME alias\n@ NS geo"
        assert check(tmp_path, {"example.com": APEX + records}, STEERED) == []

    def test_where_a_steered_name_server_is_depends(self, tmp_path: Path) -> None:
        zone = "$TTL 300\n@ SOA ns1 host 1 3600 900 604800 60\n@ NS ns1\n@ NS geo\nns1 A 192.0.2.53\n"
        assert check(tmp_path, {"example.com": zone}, STEERED) == []

    def test_glue_is_not_compared_with_a_steered_name(self, tmp_path: Path) -> None:
        parent = "$TTL 300\n@ SOA ns host 1 3600 900 604800 60\n@ NS ns\n@ NS ns.example.net.\nns A 192.0.2.7\n"
        zones = {"com": parent + "example NS geo.example\ngeo.example A 192.0.2.7\n", "example.com": APEX}
        assert check(tmp_path, zones, STEERED) == []

    def test_a_steered_alias_is_one(self, tmp_path: Path) -> None:
        assert check(tmp_path, {"example.com": APEX + "x MX 10 alias"}, STEERED) == [
            f"example.com.: x.example.com.: the MX target alias.example.com. is a CNAME {RFC_2181}"
        ]

    def test_what_a_load_balancer_replaces_is_not_compared(self, tmp_path: Path) -> None:
        records = "geo 60 A 192.0.2.1\ngeo 90 A 192.0.2.1\ngeo 90 TXT a\n"
        assert check(tmp_path, {"example.com": APEX + records}, STEERED) == []
        assert check(tmp_path, {"example.com": APEX + records + "geo 90 TXT a\n"}, STEERED, state="next") == [
            "example.com.: geo.example.com.: TXT records are repeated once (RFC 2181 section 5): delete the copies"
        ]

    def test_default_answers_are_checked(self, tmp_path: Path) -> None:
        configuration = STEERED + (
            '[[load_balancer]]\nname = "mail.example.com"\ntypes = ["MX"]\n'
            'default_pools = ["away"]\nfallback_pool = "away"\n'
        )
        assert check(tmp_path, {"example.com": APEX}, configuration) == [
            f"example.com.: mail.example.com.: the MX target gone.example.com. does not exist: {ZONE_A}"
        ]

    def test_a_zone_of_load_balancers_alone(self, tmp_path: Path) -> None:
        zone = "gslb.example.com"
        assert check(tmp_path, {"example.com": APEX, zone: ""}, STEERED) == [
            f"{zone}.: there is only one name server (RFC 2182 section 5): add one in another network",
            f"{zone}.: the NS target ns1.{zone}. does not exist: add it to the zone {zone}., or name another",
        ]


class TestBounds:
    def test_so_many_warnings_then_their_number(self, tmp_path: Path) -> None:
        records = "".join(f"x{number} CNAME gone{number}\n" for number in range(WARNING_LIMIT + 23))
        found = check(tmp_path, {"example.com": APEX + records})
        assert len(found) == WARNING_LIMIT + 1
        assert found[-1] == "example.com.: and 23 more warnings"

    def test_just_so_many(self, tmp_path: Path) -> None:
        records = "".join(f"x{number} CNAME gone{number}\n" for number in range(WARNING_LIMIT))
        assert "more warnings" not in check(tmp_path, {"example.com": APEX + records})[-1]

    def test_memory_does_not_grow_with_the_zone(self, tmp_path: Path) -> None:
        peaks = []
        for number, size in enumerate((500, 5000)):
            records = "".join(f"x{i} A 192.0.2.1\nx{i} 60 TXT a\nx{i} MX 1 x{i}\n" for i in range(size))
            configured = write_settings(tmp_path, "", {"example.com": APEX + records})
            with opened_store(tmp_path / str(number)) as store:
                stage_zones(configured, store, 1_800_000_000)()
                with snapshot(StoreReader(store)) as reader:
                    [zone] = configured.zones
                    assert zone.file is not None
                    read = list(read_zone(Path(zone.file), zone.name))
                    tracemalloc.start()
                    try:
                        assert check_zone(reader, reader.zones[zone.name], partial(iter, read), {}) == []
                        peaks.append(tracemalloc.get_traced_memory()[1])
                    finally:
                        tracemalloc.stop()
        assert peaks[1] < peaks[0] + 200_000

    def test_progress_has_two_steps_for_each_name(self, tmp_path: Path) -> None:
        records = "".join(f"x{number} A 192.0.2.1\n" for number in range(2345))
        configured = write_settings(tmp_path, "", {"example.com": APEX + records})
        told: list[int] = []
        with opened_store(tmp_path / "state") as store:
            stage_zones(configured, store, 1_800_000_000)()
            with snapshot(StoreReader(store)) as reader:
                [zone] = configured.zones
                assert zone.file is not None
                check_zone(
                    reader, reader.zones[zone.name], partial(read_zone, Path(zone.file), zone.name), {}, told.append
                )
        assert sum(told) == 2 * 2347
        assert len(told) > 2


LABEL = st.sampled_from(["a", "b", "*", "\\000", "\\001", "ns1", "192", "1", "x" * 63])
OWNER = st.lists(LABEL, max_size=4).map(lambda labels: ".".join(labels) or "@")
NAME = OWNER | st.sampled_from([".", "b.example.net."])
DATA = st.one_of(
    st.sampled_from(["A 192.0.2.1", "A 192.0.2.2", "AAAA 2001:db8::1", 'TXT "a"', "TYPE65280 \\# 0", "HTTPS 0 ."]),
    st.tuples(
        st.sampled_from(["NS", "CNAME", "DNAME", "MX 1", "SRV 1 1 1", "HTTPS 0", "HTTPS 1", "SVCB 1", "PTR"]), NAME
    ).map(" ".join),
)
RECORD = st.tuples(OWNER, st.integers(0, 2), DATA)


@given(st.lists(RECORD, max_size=12), st.lists(RECORD, max_size=6))
@settings(max_examples=60)
def test_no_zone_that_loads_makes_it_raise(
    tmp_path_factory: pytest.TempPathFactory,
    parent: list[tuple[str, int, str]],
    child: list[tuple[str, int, str]],
) -> None:
    def text(records: list[tuple[str, int, str]]) -> str:
        return APEX + "".join(f"{name} {ttl} {data}\n" for name, ttl, data in records)

    folder = tmp_path_factory.mktemp("any")
    try:
        found = check(folder, {"example.com": text(parent), "a.example.com": text(child)})
    except ZonesError:
        return
    assert all("\n" not in warning and warning.isprintable() for warning in found)


class TestSieve:
    @given(st.lists(st.integers(0, 2**32 - 1)))
    def test_it_forgets_nothing(self, digests: list[int]) -> None:
        sieve = Sieve()
        for digest in digests:
            sieve.add(digest)
        assert all(digest in sieve and not sieve.add(digest) for digest in digests)

    def test_new_ones_are_new(self) -> None:
        sieve = Sieve()
        assert all(sieve.add(1 << bit) for bit in range(27))


class TestCommand:
    """`waypost check`: where the warnings come out."""

    @pytest.fixture
    def config(self, tmp_path: Path) -> Path:
        config = tmp_path / "waypost.toml"
        config.write_text(f'{SERVER}[[zone]]\nname = "example.com"\nfile = "example.com.zone"\n')
        return config

    @pytest.fixture
    def zone(self, config: Path) -> Path:
        zone = config.parent / "example.com.zone"
        zone.write_text(APEX)
        return zone

    WARNING = f"example.com.: x.example.com.: the MX target gone.example.com. does not exist: {ZONE_A}"

    @pytest.mark.usefixtures("zone")
    @pytest.mark.parametrize("options", [[], ["--strict"]])
    def test_a_clean_zone(self, config: Path, options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["check", str(config), *options]) == 0
        assert capsys.readouterr() == (f"{config}: good (1 zones, 0 load balancers, 0 pools)\n", "")

    def test_warnings_are_good(self, config: Path, zone: Path, capsys: pytest.CaptureFixture[str]) -> None:
        zone.write_text(APEX + "x MX 1 gone\n")
        assert main(["check", str(config)]) == 0
        out, error = capsys.readouterr()
        assert out.splitlines() == [
            f"{config}: good (1 zones, 0 load balancers, 0 pools)",
            f"warning: {self.WARNING}",
        ]
        assert error == ""

    def test_but_not_strictly(self, config: Path, zone: Path, capsys: pytest.CaptureFixture[str]) -> None:
        zone.write_text(APEX + "x MX 1 gone\n")
        assert main(["check", str(config), "--strict"]) == 1
        out, error = capsys.readouterr()
        assert out.splitlines() == [
            f"{config}: not good (1 zones, 0 load balancers, 0 pools)",
            f"warning: {self.WARNING}",
        ]
        assert error == ""

    @pytest.mark.parametrize(("options", "good"), [([], True), (["--strict"], False)])
    def test_json(
        self, config: Path, zone: Path, options: list[str], good: bool, capsys: pytest.CaptureFixture[str]
    ) -> None:
        zone.write_text(APEX + "x MX 1 gone\n")
        assert main(["check", str(config), "--json", *options]) == (0 if good else 1)
        out, error = capsys.readouterr()
        owner, _, message = self.WARNING.removeprefix("example.com.: ").partition(": ")
        assert msgspec.json.decode(out) == {
            "good": good,
            "problems": [],
            "warnings": [{"zone": "example.com.", "owner": owner, "message": message}],
        }
        assert error == ""

    @pytest.mark.usefixtures("zone")
    def test_who_is_told_may_transfer(self, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
        text = config.read_text() + 'notify = ["192.0.2.1"]\n'
        config.write_text(text)
        assert main(["check", str(config), "--strict"]) == 1
        assert "warning: example.com.: it has notify, but no allow_transfer: " in capsys.readouterr().out
        config.write_text(text + 'allow_transfer = ["192.0.2.1"]\n')
        assert main(["check", str(config), "--strict"]) == 0

    def test_json_of_problems(self, config: Path, zone: Path, capsys: pytest.CaptureFixture[str]) -> None:
        zone.write_text(APEX + "x A 1\ny A 2\n")
        assert main(["check", str(config), "--json"]) == 1
        found = msgspec.json.decode(capsys.readouterr().out)
        assert (found["good"], found["warnings"]) == (False, [])
        assert [text.split(": ")[0] for text in found["problems"]] == [f"{zone}:6", f"{zone}:7"]

    def test_json_of_a_broken_configuration(self, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
        config.write_text("[server]\nlisten = 5\n")
        assert main(["check", str(config), "--json"]) == 1
        out, error = capsys.readouterr()
        assert [text.partition(": ")[0] for text in msgspec.json.decode(out)["problems"]] == [
            f"{config}:{line}" for line in (1, 2)
        ]
        assert error == ""
