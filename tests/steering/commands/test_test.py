"""waypost test: the example's expectations, differences, JUnit, and a real server."""

import json
import socket
import threading
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest

from geodata.classes import ClassMap
from steering.offline import answers as offline
from steering.prepare import compile_maps
from steering.respond import respond
from steering.settings_file import load_settings
from steering.world import make_world
from tests.steering.running import Run

from .conftest import CONFIG

EXPECTATIONS = CONFIG / "expectations.toml"


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return tmp_path / "expect.toml"


def test_the_example_keeps_to_its_expectations(waypost: Run, example: Path) -> None:
    assert waypost("test", example, EXPECTATIONS) == (0, "7 expectations, 0 not kept\n", "")


def test_a_difference_says_where_what_and_why(waypost: Run, example: Path, table: Path, tmp_path: Path) -> None:
    table.write_text('[[expect]]\nnote = "no!"\nname = "www.example.com"\ncountry = "FR"\nmust_get = ["pool:tokyo"]\n')
    junit = tmp_path / "report.xml"
    status, out, error = waypost("test", example, table, EXPECTATIONS, "--junit", junit)
    assert (status, error) == (1, "8 expectations, 1 not kept\n")
    assert out.splitlines() == [
        f"DIFFERENT {table}:1: www.example.com. A for FR  (no!)",
        "    expected 203.0.113.30, got 192.0.2.10",
        "    got 192.0.2.10",
        "    www.example.com. A by geo, rule region_pools.WEU: pool paris up 100%, pool newyork up 0%",
    ]
    suites = ET.parse(junit).getroot()
    assert [(suite.get("tests"), suite.get("failures")) for suite in suites] == [("1", "1"), ("7", "0")]
    status, out, _ = waypost("test", example, table, "--json")
    assert (status, json.loads(out)[0]["differences"]) == (1, ["expected 203.0.113.30, got 192.0.2.10"])


def test_mistakes_are_told_all_at_once(waypost: Run, example: Path, table: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.csv"
    other.write_text("name,must_get\nwww.example.com,pool:oslo\n")
    table.write_text('[[expect]]\nname = "www.example.com"\ncountry = "XX"\n')
    status, out, error = waypost("test", example, table, other, tmp_path / "missing.toml")
    assert (status, out) == (1, "")
    assert [line.partition(": ")[0] for line in error.splitlines()] == [
        f"{table}:3",
        f"{tmp_path / 'missing.toml'}",
        f"{other}:2",
    ]


def test_what_is_down_must_exist(waypost: Run, example: Path, table: Path) -> None:
    table.write_text('[[expect]]\nname = "www.example.com"\ndown = ["pairs"]\n')
    status, out, _ = waypost("test", example, table)
    assert status == 1
    assert "no origin or pool is called 'pairs'; did you mean \"paris\"?" in out


@pytest.fixture
def server(example: Path, tmp_path: Path) -> Iterator[str]:
    """The example, with everything up, behind a socket."""
    settings = load_settings(example)
    server = msgspec.structs.replace(settings.server, state=str(tmp_path))
    settings = msgspec.structs.replace(settings, server=server)
    with ExitStack() as stack:
        zones = stack.enter_context(offline.open_zones(settings))
        maps = {each.rules: ClassMap.open(Path(each.path)) for each in compile_maps(settings)}
        world = make_world(settings, zones, maps, {})
        listener = stack.enter_context(socket.socket(type=socket.SOCK_DGRAM))
        listener.bind(("127.0.0.1", 0))

        def serve() -> None:
            packet, client = listener.recvfrom(512)
            while packet:
                if reply := respond(packet, client[0], False, time.time(), lambda: 0.5, world):
                    listener.sendto(reply, client)
                packet, client = listener.recvfrom(512)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.sendto(b"", listener.getsockname())
            thread.join()


def test_a_server_is_asked_with_the_subnet_of_the_place(waypost: Run, example: Path, table: Path, server: str) -> None:
    table.write_text("""
expect = [
    { name = "www.example.com", country = "FR", must_get = ["pool:paris"], scope_at_least = 8 },
    { name = "www.example.com", country = "JP", must_get = ["pool:tokyo"] },
    { name = "www.example.com", region = "WEU", must_get = ["pool:paris"] },
    { name = "www.example.com", subnet = "200.147.0.0/24", must_get = ["pool:newyork"] },
    { name = "www.example.com", from = "2a01:cb00::1", must_get = ["pool:paris"] },
    { name = "shop.example.com", type = "A", country = "FR", must_get = ["paris.shop.example.net."] },
    { name = "nothing.example.com", rcode = "NXDOMAIN" },
]
""")
    assert waypost("test", example, table, "--server", server, "--rate", 10_000) == (
        0, "7 expectations, 0 not kept\n", "",
    )  # fmt: skip
    table.write_text('[[expect]]\nname = "www.example.com"\ndown = ["paris"]\n')
    status, _, error = waypost("test", example, table, "--server", server)
    assert (status, "nobody can tell a server that" in error) == (1, True)


def test_a_server_that_does_not_reply_is_a_difference(waypost: Run, example: Path, table: Path) -> None:
    table.write_text('[[expect]]\nname = "www.example.com"\n')
    with socket.socket(type=socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        status, out, _ = waypost("test", example, table, "--server", address, "--timeout", 0.01)
    assert status == 1
    assert "timed out" in out


def test_a_server_is_an_address(waypost: Run, example: Path) -> None:
    status, _, error = waypost("test", example, EXPECTATIONS, "--server", "ns1.example.com")
    assert (status, "argument --server" in error) == (2, True)
