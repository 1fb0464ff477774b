"""waypost test CONFIG EXPECTATIONS…: whether everybody gets what they must, offline or at a server."""

import argparse
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import msgspec
from rich.console import Console
from rich.text import Text

from steering.balance.pools import Health
from steering.commands.command import (
    BAD,
    GOOD,
    Command,
    add_config,
    add_json,
    open_console,
    parse_server,
    print_json,
    write_file,
)
from steering.offline import answers as offline
from steering.offline.answers import Client, Offline, OfflineError
from steering.offline.expectations import (
    Expectation,
    Listed,
    Outcome,
    Pools,
    Reply,
    describe_client,
    find_unknown_pools,
    judge_replies,
    read_expectations,
    render_junit,
    show_rdata,
)
from steering.problems import Problem, SettingsError
from steering.records import RECORDS_BY_TYPE
from steering.settings import Settings
from steering.settings_file import load_settings

OFFLINE_SAMPLES, OFFLINE_SHARE_SAMPLES = 20, 5_000
SERVER_SAMPLES, SERVER_SHARE_SAMPLES = 3, 300
"""How often a question is asked, where the expectation does not say."""
TRIES = 3
"""Of one question to a server."""

Asker = Callable[[Expectation], tuple[Sequence[Reply], tuple[str, ...]]]
"""Asks once for each sample; gives the replies, and why they are as they are."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its grammar."""
    add_config(parser)
    parser.add_argument("expectations", nargs="+", type=Path, metavar="EXPECTATIONS", help="TOML or CSV files")
    parser.add_argument("--server", type=parse_server, metavar="ADDRESS[:PORT]", help="ask this DNS server instead")
    parser.add_argument("--timeout", type=float, default=2.0, help="seconds for a reply of the server (default 2)")
    parser.add_argument("--rate", type=float, default=200.0, help="questions a second to the server (default 200)")
    parser.add_argument("--junit", type=Path, metavar="FILE", help="write JUnit XML, for CI systems")
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """waypost test CONFIG EXPECTATIONS…"""
    settings = load_settings(arguments.config)
    listed, problems = _read_all(arguments.expectations)
    pools = list_records(settings)
    problems += find_unknown_pools(listed, pools)
    if arguments.server:
        problems += [
            Problem(each.file, each.line, "down", "", "", "nobody can tell a server that")
            for each in listed
            if each.expectation.down
        ]
    if problems:
        raise SettingsError(tuple(problems))
    with offline.open_zones(settings) as zones:
        if arguments.server:
            ask = _ask_server(arguments, Offline(settings, zones, {}))
        else:
            ask = _ask_offline(settings, lambda health: Offline(settings, zones, health, seed=0))
        outcomes = [judge(each, ask, pools) for each in listed]
    if arguments.junit:
        write_file(arguments.junit, render_junit(outcomes))
    if arguments.json:
        print_json(outcomes)
    else:
        _show(outcomes, open_console())
    return BAD if any(outcome.differences for outcome in outcomes) else GOOD


def judge(listed: Listed, ask: Asker, pools: Pools) -> Outcome:
    """What became of one expectation; not to be asked, or to get no reply, is a difference too."""
    try:
        replies, why = ask(listed.expectation)
    except (OfflineError, dns.exception.DNSException, OSError) as error:
        return Outcome(listed, (str(error) or type(error).__name__,), ())
    return judge_replies(listed, replies, pools, why)


def list_records(settings: Settings) -> Pools:
    """The records of each pool, as they are compared."""
    pools: dict[str, dict[str, frozenset[str]]] = {}
    for pool in settings.pools:
        records: dict[str, set[str]] = {}
        for origin in pool.origins:
            for rrtype, rdatas in origin.records.items():
                texts = (offline.show_record(rrtype, rdata) for rdata in rdatas)
                records.setdefault(RECORDS_BY_TYPE[rrtype].name, set()).update(texts)
        pools[pool.name] = {name: frozenset(texts) for name, texts in records.items()}
    return pools


def _read_all(files: Iterable[Path]) -> tuple[list[Listed], list[Problem]]:
    listed: list[Listed] = []
    problems: list[Problem] = []
    for file in files:
        try:
            listed += read_expectations(file)
        except SettingsError as error:
            problems += error.problems
    return listed, problems


def _ask_offline(settings: Settings, open_world: Callable[[Health], Offline]) -> Asker:
    regions = offline.load_regions(settings)
    worlds: dict[tuple[str, ...], Offline] = {}

    def ask(expectation: Expectation) -> tuple[Sequence[Reply], tuple[str, ...]]:
        if expectation.down not in worlds:
            worlds[expectation.down] = open_world(offline.override_health(settings, expectation.down, {}))
        world = worlds[expectation.down]
        place = (expectation.country, expectation.subdivision, expectation.region)
        if any(place) or expectation.asn is not None:
            client = offline.make_client(*place, regions, expectation.asn)
        else:
            client = Client(expectation.client, subnet=expectation.subnet, resolver=expectation.resolver)
        count = expectation.samples or (OFFLINE_SHARE_SAMPLES if expectation.share else OFFLINE_SAMPLES)
        replies = []
        for _ in range(count):
            message, scope = world.ask(client, expectation.name, expectation.type)
            replies.append(read_reply(message, expectation.type, scope))
        why = [
            f"{reason.load_balancer} {reason.type} by {reason.policy}, rule {reason.rule}: "
            + ", ".join(f"pool {pool.name} {pool.state} {pool.share:.0%}" for pool in reason.pools)
            for reason in world.explain(client, expectation.name, expectation.type)
        ]
        return replies, tuple(why)

    return ask


def _ask_server(arguments: argparse.Namespace, world: Offline) -> Asker:
    host, port = arguments.server
    regions = offline.load_regions(world.settings)

    def ask(expectation: Expectation) -> tuple[Sequence[Reply], tuple[str, ...]]:
        count = expectation.samples or (SERVER_SHARE_SAMPLES if expectation.share else SERVER_SAMPLES)
        subnet = expectation.subnet or expectation.client
        place = (expectation.country, expectation.subdivision, expectation.region)
        if any(place) or expectation.asn is not None:
            wanted = offline.make_client(*place, regions, expectation.asn).place
            client = world.find_client(msgspec.structs.replace(wanted, continent=None))
            if client is None:
                raise OfflineError(f"no address is known of {describe_client(expectation)}")
            subnet = client.address
        options: list[dns.edns.Option] = []
        if subnet is not None:
            address, _, length = subnet.partition("/")
            options.append(dns.edns.ECSOption(address, int(length or (56 if ":" in address else 24))))
        query = dns.message.make_query(expectation.name, expectation.type, use_edns=0, options=options)
        query.flags &= ~dns.flags.RD
        replies = []
        for _ in range(count):
            begin = time.monotonic()
            replies.append(read_reply(_exchange(query, host, port, arguments.timeout), expectation.type, None))
            time.sleep(max(0.0, 1 / arguments.rate - (time.monotonic() - begin)))
        return replies, ((f"asked {host} port {port} with the subnet {subnet}",) if subnet else ())

    return ask


def _exchange(query: dns.message.Message, host: str, port: int, timeout: float) -> dns.message.Message:
    """A reply of the server, over TCP if it is too long for UDP; raises DNSException or OSError."""
    for _ in range(TRIES - 1):
        try:
            return dns.query.udp_with_fallback(query, host, timeout, port)[0]
        except dns.exception.Timeout:
            continue
    return dns.query.udp_with_fallback(query, host, timeout, port)[0]


def read_reply(message: dns.message.Message, rrtype: str, scope: int | None) -> Reply:
    """What a reply says; `scope` for one that was not sent."""
    wanted = dns.rdatatype.from_text(rrtype)
    records = sorted(show_rdata(rdata) for rrset in message.answer if rrset.rdtype == wanted for rdata in rrset)
    aliases = [rrset for rrset in message.answer if rrset.rdtype == dns.rdatatype.CNAME]
    if not records and aliases:
        records = sorted(show_rdata(rdata) for rdata in aliases[-1])
    for option in message.options:
        if isinstance(option, dns.edns.ECSOption):
            scope = option.scopelen
    ttl = min((rrset.ttl for rrset in message.answer), default=None)
    return Reply(dns.rcode.to_text(message.rcode()), tuple(records), ttl, scope)


def _show(outcomes: list[Outcome], console: Console) -> None:
    for outcome in outcomes:
        if not outcome.differences:
            continue
        listed, expectation = outcome.listed, outcome.listed.expectation
        line = Text("DIFFERENT ", "bold red")
        line.append(f"{listed.file}:{listed.line}: ", "default")
        line.append(f"{expectation.name} {expectation.type} for {describe_client(expectation)}", "bold")
        console.print(line + Text(f"  ({expectation.note})" if expectation.note else ""))
        for text in (*outcome.differences, *(f"got {each}" for each in outcome.got), *outcome.why):
            console.print(f"    {text}")
    bad = sum(bool(outcome.differences) for outcome in outcomes)
    print(f"{len(outcomes)} expectations, {bad} not kept", file=sys.stderr if bad else sys.stdout)


COMMAND = Command(
    "Check who gets what against tables of expectations, offline or at any DNS server; exit status 1 on a difference.",
    add_arguments,
    run,
)
