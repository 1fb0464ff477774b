"""A waypost that takes its zone from another: the whole program at both ends, and what happens when parts of it die."""

import os
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import dns.message
import dns.query
import dns.rcode
import dns.rrset
import dns.xfr
import dns.zone
import pytest

from steering.messages import ZoneStatus
from tests.steering.running import TAKEN, Waypost, eventually, free_port, run_command
from tests.steering.zones.test_load import POOLS, balancer

KEY = '[[key]]\nname = "transfer"\nsecret = "c2VjcmV0"\n'


def zone_file(serial: int, records: str, refresh: int = 3600, expire: int = 86400) -> str:
    soa = f"@ SOA ns1.example.net. host.example.net. {serial} {refresh} 1 {expire} 60"
    return f"$TTL 300\n{soa}\n@ NS ns1.example.net.\n{records}\n"


class Pair:
    """A primary, and a secondary with its zone."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "primary" / "com.zone"
        self.primary = Waypost(folder / "primary", "")
        self.secondary = Waypost(folder / "secondary", "")
        self.secondary.port = free_port()
        self.primary.configure(
            '[[zone]]\nname = "example.com"\nfile = "com.zone"\nallow_transfer = ["key:transfer"]\n'
            f'notify = ["127.0.0.1:{self.secondary.port} key:transfer"]\n{KEY}'
        )
        self.secondary.configure(
            f'[[zone]]\nname = "example.com"\nprimaries = ["127.0.0.1:{self.primary.port} key:transfer"]\n{KEY}'
        )

    def start(self, records: str = "www A 192.0.2.1", **timers: int) -> None:
        self.file.write_text(zone_file(1, records, **timers))
        self.primary.start()
        self.secondary.start()
        self.secondary.answers("192.0.2.1")

    def change(self, serial: int, records: str) -> None:
        self.file.write_text(zone_file(serial, records))
        self.primary.reload(TAKEN)

    def zone(self) -> ZoneStatus:
        """As the secondary's `waypost status` has it."""
        return eventually(self.secondary.status, self.secondary.log).zones[0]

    def child(self) -> int:
        """The process that keeps its zones fresh."""

        def find() -> int | None:
            for process in self.secondary.processes():
                if b"steering.secondaries" in Path(f"/proc/{process}/cmdline").read_bytes():
                    return process
            return None

        return eventually(find, self.secondary.log)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    made = Pair(tmp_path)
    yield made
    made.primary.destroy()
    made.secondary.destroy()


def test_members_of_a_catalog_are_zones_like_others(pair: Pair) -> None:
    """NOTIFY, transfers onwards, and what is known after control, and the process of the zones, died."""
    told = f'allow_transfer = ["key:transfer"]\nnotify = ["127.0.0.1:{pair.secondary.port} key:transfer"]\n'
    listed = f'[[zone]]\nname = "example.com"\nfile = "com.zone"\nmember_of = "catalog.example"\n{told}'
    pair.primary.configure(f'[[zone]]\nname = "catalog.example"\ncatalog = "producer"\n{told}{listed}{KEY}')
    pair.secondary.configure(
        '[[zone]]\nname = "catalog.example"\ncatalog = "consumer"\n'
        f'primaries = ["127.0.0.1:{pair.primary.port} key:transfer"]\n'
        f'[zone.members]\nallow_transfer = ["127.0.0.1"]\n{KEY}'
    )
    pair.start()
    pair.change(2, "www A 192.0.2.2")
    pair.secondary.answers("192.0.2.2")

    def shown() -> bool:
        status = pair.secondary.status()
        return status is not None and [zone.serial for zone in status.zones if zone.name == "example.com."] == [2]

    def passed_on() -> bool:
        zone = dns.zone.Zone("example.com")
        try:
            dns.query.inbound_xfr("127.0.0.1", zone, port=pair.secondary.port, timeout=5)
        except dns.xfr.TransferError:
            return False
        return str(zone["www"].get_rdataset(1, 1)) == "300 IN A 192.0.2.2"

    def gone(process: int) -> bool:
        return process not in pair.secondary.processes()

    eventually(shown, pair.secondary.log)
    eventually(passed_on, pair.secondary.log)
    for process in (pair.child(), pair.secondary.control()):
        os.kill(process, signal.SIGKILL)
        eventually(partial(gone, process), pair.secondary.log)
        eventually(shown, pair.secondary.log)
        eventually(passed_on, pair.secondary.log)
    pair.secondary.reload(TAKEN)
    assert shown()
    assert pair.secondary.answer() == "192.0.2.2"


def test_changes_come_by_notify_and_are_seen(pair: Pair) -> None:
    pair.start()
    pair.change(2, "www A 192.0.2.2")
    pair.secondary.answers("192.0.2.2")
    eventually(lambda: pair.zone().serial == 2, pair.secondary.log)
    zone = pair.zone()
    assert not zone.expired
    assert zone.error == ""
    assert zone.last_check is not None
    assert zone.next_try is not None
    assert 3000 < zone.next_try - zone.last_check <= 3600
    assert "serial 2, changes" in pair.secondary.log()
    told = run_command("status", str(pair.secondary.config)).stdout
    assert "serial 2, checked" in told
    assert "next try in" in told
    assert "c2VjcmV0" not in told + pair.secondary.log() + pair.primary.log()
    assert pair.secondary.stop() == 0


def test_without_a_primary_it_goes_on_also_after_a_restart(pair: Pair) -> None:
    pair.start()
    pair.primary.stop()
    pair.secondary.signal(signal.SIGKILL)
    pair.secondary.end()
    pair.secondary.start()
    assert pair.secondary.answer() == "192.0.2.1"
    zone = eventually(lambda: pair.zone() if pair.zone().last_check is not None else None, pair.secondary.log)
    assert (zone.serial, zone.expired) == (1, False)


def test_an_expired_zone_is_servfail_on_every_path_also_after_a_restart(pair: Pair) -> None:
    """Until a primary answers; www is a plain record, and steered one of a load balancer."""
    text = pair.secondary.config.read_text().replace("[[key]]", 'allow_transfer = ["127.0.0.1"]\n[[key]]')
    pair.secondary.config.write_text(text + POOLS + balancer("steered.example.com"))
    pair.start(refresh=1, expire=3)
    pair.secondary.answers("192.0.2.1 192.0.2.2", "steered.example.com")
    pair.primary.stop()

    def check() -> None:
        for owner in ("www", "steered", "missing"):
            for tcp in (False, True):
                assert pair.secondary.answer(f"{owner}.example.com", tcp=tcp) == "SERVFAIL"
        for rrtype in ("AXFR", "IXFR"):
            request = dns.message.make_query("example.com", rrtype)
            if rrtype == "IXFR":
                soa = dns.rrset.from_text("example.com.", 0, "IN", "SOA", "a. b. 1 1 1 1 1")
                request.authority.append(soa)
            reply = dns.query.tcp(request, "127.0.0.1", port=pair.secondary.port, timeout=5)
            assert reply.rcode() == dns.rcode.SERVFAIL

    pair.secondary.answers("SERVFAIL")
    check()
    pair.secondary.signal(signal.SIGKILL)
    pair.secondary.end()
    pair.secondary.start()
    check()
    pair.primary.start()
    pair.secondary.answers("192.0.2.1")


def test_the_process_that_refreshes_comes_back(pair: Pair) -> None:
    pair.start()
    first = pair.child()
    os.kill(first, signal.SIGKILL)
    pair.secondary.logged("starting it again")
    eventually(lambda: pair.child() != first, pair.secondary.log)
    assert pair.secondary.answer() == "192.0.2.1"
    eventually(lambda: pair.zone().last_check is not None, pair.secondary.log)
    pair.change(2, "www A 192.0.2.2")
    pair.secondary.answers("192.0.2.2")


def test_a_reload_changes_where_it_comes_from(pair: Pair) -> None:
    pair.start()
    text = pair.secondary.config.read_text()
    pair.secondary.config.write_text(text.replace("[[key]]", "notify = []\n[[key]]").replace("c2VjcmV0", "AAAA"))
    pair.secondary.reload(TAKEN)
    assert pair.secondary.answer() == "192.0.2.1"
    pair.change(2, "www A 192.0.2.2")
    pair.secondary.config.write_text(text)
    pair.secondary.reload(TAKEN)
    pair.secondary.answers("192.0.2.2")


def test_offline_commands_take_it_as_it_is(pair: Pair) -> None:
    assert run_command("check", str(pair.secondary.config)).returncode == 0
    said = run_command("answer", str(pair.secondary.config), "www.example.com", "A")
    assert said.returncode == 1
    assert "zone        example.com. has its records from its primaries: " in said.stdout
