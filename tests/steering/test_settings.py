"""Tests of settings: one good file, one bad file for each rule, and no other outcome of any text."""

import os
import random
import tomllib
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitors.notify.email import EmailNotifier
from monitors.notify.webhook import WebhookNotifier
from monitors.probes.icmp import IcmpMonitor
from monitors.probes.smtp import SmtpMonitor
from steering.health.guard import Guard
from steering.health.maintenance import Maintenance
from steering.problems import SettingsError
from steering.settings import (
    CatalogMembers,
    GeoSource,
    LoadBalancer,
    Member,
    MonitorGroup,
    Origin,
    Pool,
    RandomSteering,
    Server,
    Settings,
    SharedKey,
    UpdatePermission,
    Zone,
)
from steering.settings_file import load_settings, parse_settings
from steering.values import Peer, Permission
from tests.steering.support import SERVER

HERE = Path(__file__).parent
GOOD = HERE / "good_settings.toml"
BAD = sorted((HERE / "bad_settings").glob("*.toml"))

EXAMPLE = b"\x07example\x03com\x00"
MINIMAL = """
[server]
listen = ["127.0.0.1:53"]
state = "state"
"""


def problems_of(text: str, file: str = "/etc/waypost.toml") -> list[str]:
    with pytest.raises(SettingsError) as caught:
        parse_settings(text, Path(file))
    return [str(problem).removeprefix(f"{file}:") for problem in caught.value.problems]


def test_a_good_file() -> None:
    mx1 = Origin(
        name="mx1",
        address="192.0.2.10",
        weight=0.5,
        records={
            1: (b"\xc0\x00\x02\x0a",),
            15: (b"\x00\x0a\x03mx1\x07Example\x03com\x00",),
            16: (b"\x0asite=paris", b"\x09two words"),
        },
    )
    mx2 = Origin(
        name="mx2",
        address="2001:db8::10",
        enabled=False,
        records={28: (bytes.fromhex("20010db8000000000000000000000010"),)},
    )
    mx3 = Origin(
        name="mx1",
        address="198.51.100.10",
        records={
            1: (b"\xc6\x33\x64\x0b", b"\xc6\x33\x64\x0c"),
            15: (b"\x00\x14\x03mx3\x07example\x03com\x00",),
        },
    )
    spare = Origin(name="spare", address="203.0.113.10", enabled=False)
    assert load_settings(GOOD) == Settings(
        server=Server(listen=("127.0.0.1:5300", "[::1]:5300"), state=str(HERE.absolute() / "state"), workers=2),
        regions=str(HERE.absolute() / "my-regions.csv"),
        geo=(
            GeoSource(type="maxmind", path="/var/lib/GeoLite2-City.mmdb"),
            GeoSource(type="networks", path=str(HERE.absolute() / "offices.csv")),
        ),
        monitors=(
            SmtpMonitor(
                name="smtp",
                interval=60,
                timeout=2.5,
                retries=1,
                consecutive_up=2,
                consecutive_down=3,
                port=25,
            ),
            IcmpMonitor(name="ping", interval=10.0, damping_flips=5, damping_window=1200.0),
        ),
        monitor_groups=(
            MonitorGroup("deep", (Member("smtp", must_be_healthy=True), Member("ping", monitoring_only=True))),
        ),
        guard=Guard(("198.51.100.1",), "ping", 0.8, 0),
        maintenance=(
            Maintenance(
                name="disks",
                pools=("mail-*",),
                start=1_796_158_800.0,
                duration=7200.0,
                repeat="weekly",
                drain=600.0,
                reason="new disks",
            ),
        ),
        pools=(
            Pool(name="mail-paris", origins=(mx1, mx2), monitor="deep"),
            Pool(name="mail-newyork", origins=(mx3,), monitor="ping"),
            Pool(name="spare", origins=(spare,), enabled=False),
        ),
        notifiers=(
            EmailNotifier(
                name="ops",
                pools=("mail-*",),
                origins=("mx[12]",),
                events=("down", "up"),
                group_for=60,
                repeat_every=43_200,
                give_up_after=7_200,
                server="mail.example.com",
                username="waypost",
                password_file=str(HERE.absolute() / "password"),
                sender="waypost@example.com",
                to=("ops@example.com",),
            ),
            WebhookNotifier(name="chat", url_file="/etc/chat", format="slack", headers={"X-Team": "dns"}),
        ),
        zones=(
            Zone(name=EXAMPLE, file=str(HERE.absolute() / "zones/example.com.zone")),
            Zone(
                name=b"\x04gslb" + EXAMPLE,
                nameservers=(b"\x03ns1" + EXAMPLE, b"\x03ns2" + EXAMPLE),
                allow_update=(
                    UpdatePermission(
                        key=b"\3xfr\0",
                        names=(b"\x0f_acme-challenge\2**\0", b"\1*\3dyn\4gslb" + EXAMPLE),
                        types=(16, 65280),
                        network="192.0.2.0/24",
                    ),
                    UpdatePermission(key=b"\3xfr\0", names=(b"\1a\4gslb" + EXAMPLE,)),
                ),
            ),
            Zone(
                name=b"\x07example\x03net\0",
                primaries=(
                    Peer("192.0.2.53", 53, b"\3xfr\0"),
                    Peer("2001:db8::53", 5353),
                    Peer("192.0.2.54", 5300),
                ),
                allow_notify=(Permission("192.0.2.99/32"),),
                allow_transfer=(
                    Permission("192.0.2.0/24"),
                    Permission(None, b"\3xfr\0"),
                    Permission("2001:db8::/32", b"\3xfr\0"),
                ),
                notify=(Peer("2001:db8::9", 53),),
                journal=1000,
                member_of=b"\4ours\7example\0",
            ),
            Zone(name=b"\4ours\7example\0", catalog="producer"),
            Zone(
                name=b"\6theirs\7example\0",
                catalog="consumer",
                primaries=(Peer("192.0.2.53", 53),),
                members=CatalogMembers(
                    primaries=(Peer("192.0.2.54", 53, b"\3xfr\0"),),
                    allow_transfer=(Permission("192.0.2.0/24"),),
                    journal=10,
                ),
            ),
        ),
        keys=(SharedKey(b"\3xfr\0", "hmac-sha512", b"secretsecret"),),
        load_balancers=(
            LoadBalancer(
                name=EXAMPLE,
                types=(15,),
                default_pools=("mail-paris", "mail-newyork"),
                fallback_pool="mail-paris",
                steering_policy="geo",
                region_pools={"WEU": ("mail-paris",), "ENAM": ("mail-newyork",)},
                country_pools={"CA": ("mail-newyork",)},
                subdivision_pools={"US-CA": ("mail-newyork", "mail-paris")},
                network_pools={"192.0.2.0/24": ("mail-paris",), "2001:db8::/48": ("mail-newyork",)},
                ttl=300,
                fixed_ttl=True,
            ),
            LoadBalancer(
                name=b"\x01*\x03www\x04gslb" + EXAMPLE,
                types=(1,),
                default_pools=("mail-paris", "mail-newyork", "spare"),
                fallback_pool="mail-newyork",
                steering_policy="random",
                random_steering=RandomSteering(default_weight=0.5, pool_weights={"mail-paris": 1.0}),
            ),
        ),
    )


def test_settings_travel_as_msgpack() -> None:
    settings = load_settings(GOOD)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(settings), type=Settings) == settings


def test_the_least_file() -> None:
    settings = parse_settings(MINIMAL, Path("/etc/waypost.toml"))
    assert settings == Settings(server=Server(listen=("127.0.0.1:53",), state="/etc/state"))
    assert settings.server.workers == 1


@pytest.mark.parametrize("file", BAD, ids=lambda file: file.stem)
def test_a_bad_file(file: Path) -> None:
    """The file begins with the problems it has, each in a comment `#! problem`."""
    text = file.read_text(encoding="utf-8")
    expected = [line.removeprefix("#! ") for line in text.splitlines() if line.startswith("#! ")]
    with pytest.raises(SettingsError) as caught:
        parse_settings(text, Path(file.name))
    assert list(map(str, caught.value.problems)) == expected
    assert str(caught.value) == "\n".join(expected)


def test_no_bad_file_was_lost() -> None:
    assert len(BAD) > 60
    assert all(file.read_text(encoding="utf-8").startswith("#! ") for file in BAD)


def test_the_parts_of_a_problem() -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(HERE / "bad_settings" / "weight.toml")
    (problem,) = caught.value.problems
    assert problem.file == str(HERE / "bad_settings" / "weight.toml")
    assert problem.line == 16
    assert problem.path == "pool[0].origin[0].weight"
    assert problem.within == 'pool "paris", origin "web1"'
    assert problem.value == "1.5"
    assert problem.message == "expected a number from 0 to 1"


@pytest.mark.parametrize(
    "table",
    [
        '[[key]]\nname = "xfr"\nsecret = "c2VjcmV0 not Base64"',
        '[[key]]\nname = "xfr"\nsecret = ["c2VjcmV0"]',
        '[[key]]\nname = "xfr"\nsecrets = "c2VjcmV0"',
        '[key]\nname = "xfr"\nsecret = "c2VjcmV0"',
        'key = ["c2VjcmV0"]',
        '[[key]]\nname = "xfr"\nsecret = "c2VjcmV0"\nsecret_file = "x"',
        '[[key]]\nname = "xfr"\nalgorithm = "md5"\nsecret = "c2VjcmV0"',
    ],
)
def test_a_secret_is_in_no_problem_and_no_repr(table: str) -> None:
    text = table + "\n" + SERVER if table.startswith("key") else SERVER + table
    with pytest.raises(SettingsError) as caught:
        parse_settings(text, Path("waypost.toml"))
    assert "c2VjcmV0" not in str(caught.value)
    assert "secret" not in repr(SharedKey(b"\1k\0", secret=b"secret"))


def test_more_workers_than_processors_can_run() -> None:
    most = 4 * (os.cpu_count() or 1)
    assert parse_settings(MINIMAL + f"workers = {most}", Path("w.toml")).server.workers == most
    assert problems_of(MINIMAL + f"workers = {most + 1}") == [
        f"5: server.workers = {most + 1}: expected at most 4 for each processor core, here {most}"
    ]


def test_an_unreadable_file(tmp_path: Path) -> None:
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe\x00")
    for path, reason in [
        (tmp_path / "missing.toml", "No such file or directory"),
        (tmp_path, "Is a directory"),
        (binary, "it is not UTF-8 text"),
    ]:
        with pytest.raises(SettingsError) as caught:
            load_settings(path)
        assert str(caught.value) == f"{path}: cannot be read: {reason}"


def test_a_byte_order_mark_is_no_problem(tmp_path: Path) -> None:
    file = tmp_path / "waypost.toml"
    file.write_text(MINIMAL, encoding="utf-8-sig")
    assert load_settings(file).server.state == str(tmp_path / "state")


@pytest.mark.parametrize(
    "text",
    [
        "a = " + "[" * 10_000,
        "a = " + "9" * 5_000,
        "a." * 5_000 + "a = 1",
        "pool = [{ " + "a." * 5_000 + "a = 1 }]",
        f"server.workers = {hex(2**20_000)}",
        "server.workers = inf",
        "[server]\nlisten = [" + "[" * 90 + "]" * 90 + "]",
        "server = 1979-05-27T07:32:00Z\nregions = 07:32:00",
    ],
    ids=lambda text: text[:20],
)
def test_monstrous_files_are_problems(text: str) -> None:
    for problem in problems_of(text):
        assert len(problem) < 300


def test_pools_need_no_load_balancer_when_there_is_none() -> None:
    pool = '[[pool]]\nname = "a"\n[[pool.origin]]\nname = "b"\naddress = "192.0.2.1"\n'
    assert len(parse_settings(MINIMAL + pool, Path("w.toml")).pools) == 1


def test_policy_is_geo_where_a_map_is_set() -> None:
    plain = LoadBalancer(name=EXAMPLE, default_pools=("a",), fallback_pool="a")
    assert plain.steering_policy == "off"
    for name in ("region_pools", "country_pools", "subdivision_pools", "network_pools"):
        assert msgspec.structs.replace(plain, steering_policy="", **{name: {"x": ("a",)}}).steering_policy == "geo"


def test_an_address_gives_its_record_unless_one_is_given() -> None:
    assert Origin(name="a", address="192.0.2.1").records == {1: (b"\xc0\x00\x02\x01",)}
    assert Origin(name="a", address="::1").records == {28: (bytes(15) + b"\x01",)}
    assert Origin(name="a", address="192.0.2.1", records={1: (b"abcd",)}).records == {1: (b"abcd",)}


def test_a_host_name_gives_no_record() -> None:
    assert Origin(name="a", address="www.example.com").records == {}
    assert Origin(name="a", address="www.example.com", records={1: (b"abcd",)}).records == {1: (b"abcd",)}


HOSTS = """
resolvers = ["192.0.2.53", "192.0.2.53:5353", "2001:DB8::53", "[2001:db8::53]:5353"]
[[monitor]]
name = "web"
type = "http"
addresses = "all"
[[pool]]
name = "paris"
monitor = "web"
[[pool.origin]]
name = "web1"
address = "WWW.example.com."
port = 8080
header = { Host = "shop.example.com" }
"""


def test_origins_with_a_name_a_port_and_a_header() -> None:
    settings = parse_settings(MINIMAL + HOSTS, Path("w.toml"))
    ports = (("192.0.2.53", 53), ("192.0.2.53", 5353), ("2001:db8::53", 53), ("2001:db8::53", 5353))
    assert settings.server.resolvers == ports
    (origin,) = settings.pools[0].origins
    assert (origin.address, origin.endpoint) == ("www.example.com", "shop.example.com@www.example.com:8080")
    assert settings.monitors[0].addresses == "all"
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(settings), type=Settings) == settings


@pytest.mark.parametrize(
    "text", ["192.0.2.53:0", "192.0.2.53:65536", "[192.0.2.53]:53", "192.0.2.53:", "::1%lo", "a.b:53"]
)
def test_what_is_no_resolver(text: str) -> None:
    (problem,) = problems_of(MINIMAL + f'resolvers = ["{text}"]')
    assert problem.startswith(f'5: server.resolvers[0] = "{text}": expected ')


TOML_LEAVES = (
    st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.datetimes()
    | st.dates()
    | st.times()
    | st.sampled_from(["paris", "web", "A", "60s", "192.0.2.1", "*.example.com", "www.example.com", "US-CA"])
)
TOML_VALUES = st.recursive(
    TOML_LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


def to_toml(value: object) -> str:
    """A value as inline TOML."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{to_toml(key)} = {to_toml(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(to_toml, value)) + "]"
    if isinstance(value, str):
        return '"' + "".join(f"\\U{ord(character):08x}" for character in value) + '"'
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


def settings_or_problems(text: str) -> Settings | None:
    try:
        return parse_settings(text, Path("/etc/waypost.toml"))
    except SettingsError as error:
        assert error.problems
        assert all(str(problem).isprintable() for problem in error.problems)
        return None


@given(st.text())
def test_any_text_is_settings_or_problems(text: str) -> None:
    settings_or_problems(text)


@given(
    st.dictionaries(st.sampled_from(["server", "geo", "monitor", "pool", "zone", "load_balancer", "x"]), TOML_VALUES)
)
def test_any_document_is_settings_or_problems(content: dict[str, object]) -> None:
    settings_or_problems("\n".join(f"{key} = {to_toml(value)}" for key, value in content.items()))


@given(st.randoms(use_true_random=False), st.lists(TOML_VALUES, min_size=1, max_size=4))
def test_a_good_file_with_any_changes_is_settings_or_problems(dice: random.Random, values: list[object]) -> None:
    content = tomllib.loads(GOOD.read_text(encoding="utf-8"))
    for value in values:
        change_somewhere(content, value, dice)
    settings = settings_or_problems("\n".join(f"{to_toml(key)} = {to_toml(item)}" for key, item in content.items()))
    if settings is not None:
        assert msgspec.msgpack.decode(msgspec.msgpack.encode(settings), type=Settings) == settings


def change_somewhere(content: dict[str, object], value: object, dice: random.Random) -> None:
    """Put `value` in the place of some part of the document, or take that part away."""
    here: dict[str, object] | list[object] = content
    while here:
        key = dice.choice(list(here) if isinstance(here, dict) else range(len(here)))
        inner = here[key]  # type: ignore[index, call-overload]  # the key is of this very container
        if isinstance(inner, dict | list) and dice.random() < 0.8:
            here = inner
            continue
        if dice.random() < 0.2:
            del here[key]  # type: ignore[arg-type]
        else:
            here[key] = value  # type: ignore[index, call-overload]
        return


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (MINIMAL + 'colour = "blue"', 5),
        (MINIMAL + '# colour\n\n"colour" = "blue"', 7),
        (MINIMAL + "colour.red = 1\n", 5),
        (MINIMAL + "[server.colour]\nred = 1\n", 5),
        (MINIMAL + "[[colour]]\nred = 1\n", 5),
        (MINIMAL + '[ server . "colour" ] # red\n', 5),
        (MINIMAL.replace("\n", "\r\n") + "colour = 1\r\n", 5),
        (MINIMAL + 'workers = 1\n  colour = """\nworkers = 2\n"""\n', 6),
    ],
)
def test_the_line_of_a_key(text: str, line: int) -> None:
    (problem,) = problems_of(text)
    assert problem.startswith(f"{line}: ")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ('"700ms"', 0.7),
        ('"5s"', 5.0),
        ('"2m"', 120.0),
        ('"1h"', 3600.0),
        ('"1.5s"', 1.5),
        ("7", 7.0),
        ("0.1", 0.1),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    key, other = ("timeout", "interval = 60") if seconds < 1 else ("interval", "timeout = 1")
    monitor = f'[[monitor]]\nname = "a"\ntype = "icmp"\n{other}\n{key} = {text}\n'
    pool = '[[pool]]\nname = "a"\nmonitor = "a"\n[[pool.origin]]\nname = "b"\naddress = "192.0.2.1"\n'
    settings = parse_settings(MINIMAL + monitor + pool, Path("w.toml"))
    assert getattr(settings.monitors[0], key) == seconds
