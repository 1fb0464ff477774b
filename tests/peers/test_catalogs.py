"""Catalogs (RFC 9432) with Knot and BIND in both roles: zones come and go at the consumer as at the producer."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.peers.programs import Server, need_program
from tests.peers.test_transfers import both_logs
from tests.peers.transfers import BESIDE, PROGRAMS, has_serial, reload, running_server, waypost_settings
from tests.steering.running import TAKEN, Waypost, eventually, free_port, zone_text

ANY = pytest.mark.parametrize("name", ["knot", "named"])


@pytest.fixture
def waypost(tmp_path: Path) -> Iterator[Waypost]:
    made = Waypost(tmp_path / "waypost", "")
    yield made
    made.destroy()


@ANY
def test_waypost_is_producer(tmp_path: Path, waypost: Waypost, name: str) -> None:
    need_program(PROGRAMS[name])
    port = free_port()
    settings = waypost_settings("producer", port)
    one, two = (
        settings.rindex("[[zone]]"),
        settings[settings.rindex("[[zone]]") :].replace("example.com", "example.net"),
    )
    for apex, serial in (("example.com", 7), ("example.net", 8)):
        (tmp_path / "waypost" / f"{apex}.zone").write_text(zone_text(serial, "ns1 A 192.0.2.53"))
    waypost.configure(settings)
    waypost.start()
    with running_server(name, "consumer", tmp_path / name, port, waypost.port) as server:
        has_serial(port, 7, lambda: both_logs(waypost, server))
        waypost.configure(settings + two)
        waypost.reload(TAKEN)
        has_serial(port, 8, lambda: both_logs(waypost, server), "example.net")
        waypost.configure(settings[:one] + two)
        waypost.reload(TAKEN)
        has_serial(port, None, lambda: both_logs(waypost, server))
        has_serial(port, 8, lambda: both_logs(waypost, server), "example.net")


class Producer:
    """Adds and removes zones at a server with a catalog."""

    def __init__(self, name: str, server: Server) -> None:
        self._name, self._server = name, server
        self._settings = (server.folder / f"{name}.conf").read_text()

    def list_zones(self, serial: int, *apexes: str) -> None:
        """Have these zones in the catalog; the others are there no longer."""
        text = self._settings[: self._settings.rindex('zone "' if self._name == "named" else "  - domain")]
        for apex in apexes:
            if self._name == "named":
                text += f'zone "{apex}" {{ type primary; file "{apex}.zone"; }};\n'
            else:
                text += f"  - domain: {apex}\n    template: member\n    file: {apex}.zone\n"
        (self._server.folder / f"{self._name}.conf").write_text(text)
        catalog = (
            (BESIDE / "catalog_in" / "catalog.example.zone").read_text().replace("invalid. 1 ", f"invalid. {serial} ")
        )
        head = catalog[: catalog.rindex("first.zones")]
        lines = [f"{apex.replace('.', '-')}.zones 0 PTR {apex}.\n" for apex in apexes]
        (self._server.folder / "catalog.example.zone").write_text(head + "".join(lines))
        reload(self._server)


@ANY
def test_waypost_is_consumer(tmp_path: Path, waypost: Waypost, name: str) -> None:
    need_program(PROGRAMS[name])
    folder = tmp_path / name
    folder.mkdir()
    for apex, serial in (("example.com", 7), ("example.net", 8)):
        (folder / f"{apex}.zone").write_text(zone_text(serial, "ns1 A 192.0.2.53"))
    (folder / "catalog.example.zone").write_text((BESIDE / "catalog_in" / "catalog.example.zone").read_text())
    port = free_port()
    waypost.configure(waypost_settings("consumer", port))
    waypost.start()

    def shown() -> list[tuple[str, int | None]]:
        status = waypost.status()
        return [(zone.name, zone.serial) for zone in status.zones[1:]] if status is not None else []

    with running_server(name, "producer", folder, port, waypost.port) as server:
        has_serial(waypost.port, 7, lambda: both_logs(waypost, server))
        eventually(lambda: shown() == [("example.com.", 7)], lambda: f"{shown()}")
        producer = Producer(name, server)
        producer.list_zones(2, "example.com", "example.net")
        has_serial(waypost.port, 8, lambda: both_logs(waypost, server), "example.net")
        producer.list_zones(3, "example.net")
        has_serial(waypost.port, None, lambda: both_logs(waypost, server))
        eventually(lambda: shown() == [("example.net.", 8)], lambda: f"{shown()}")
    waypost.stop()
    waypost.start()
    has_serial(waypost.port, 8, waypost.log, "example.net")
    eventually(lambda: shown() == [("example.net.", 8)], lambda: f"{shown()}\n{waypost.log()}")
    waypost.reload(TAKEN)
    has_serial(waypost.port, 8, waypost.log, "example.net")
    has_serial(waypost.port, None, waypost.log)
