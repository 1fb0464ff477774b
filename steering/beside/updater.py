"""TRIO: the writer of answers into other DNS servers: when health changes what a load balancer answers by default.

Failover without geo: a static zone has one answer for everybody, that of `default_pools`. All changes of a zone that
come within WRITE_INTERVAL go together. What fails is logged once, shown in the status, and tried again later and later.

What we know of each RRset is kept in the state directory before and after each write:
    there       what was there when we last wrote or read: what the next write demands
    settled     the answer that we have dealt with, written or, after a conflict, left to somebody else
    pending     what was being written: after a crash, or when no reply came, it may be there or not
So two writers never fight: when something else is there than we know of, that is a conflict. With "adopt" it stays
until health next changes the answer, with "stop" until the next reload.
"""

import logging
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.tsig
import msgspec
import trio

from steering.balance.plans import make_plan
from steering.balance.pools import Health, judge_pool
from steering.balance.rules import default_route
from steering.beside import AnyUpdate, open_target
from steering.beside.update import Change, Rdatas, Target, UpdateError
from steering.files import replace_file
from steering.messages import UpdateStatus
from steering.secret_files import SecretError, read_secret
from steering.settings import LoadBalancer, Settings, SharedKey
from steering.wire import is_below, name_to_text, split_records, type_to_text

WRITE_INTERVAL = 1.0
"""Seconds between two writes to one zone."""
FIRST_RETRY, LAST_RETRY = 1.0, 60.0
"""Seconds until the first and between the later attempts after one that failed, doubled in between; less by chance."""
ATTEMPTS = 3
"""Writes in a row of which each meets something else, before that counts as a failure."""
STATE_FILE = "updates.msgpack"

logger = logging.getLogger("waypost.update")

Place = tuple[bytes, int]
"""Owner and type of an RRset."""


class Answer(msgspec.Struct, frozen=True, array_like=True):
    """What an RRset should be."""

    ttl: int
    rdatas: Rdatas


class Known(msgspec.Struct, frozen=True, array_like=True):
    """What we know of an RRset: see above."""

    there: Rdatas
    settled: Answer | None = None
    pending: Answer | None = None


class Updater:
    """What is to be written where, and what was."""

    def __init__(self, state: Path, read_health: Callable[[], Health]) -> None:
        self._path = state / STATE_FILE
        self._read_health = read_health
        self._settings: Settings | None = None
        self._known: dict[str, dict[Place, Known]] | None = None
        """By update; None: not read yet."""
        self._saving = trio.Lock()
        self._stopped: set[tuple[str, Place]] = set()
        self._states: dict[str, UpdateStatus] = {}
        self._replaced = trio.Event()
        self._changed: list[trio.Event] = []

    def replace(self, settings: Settings) -> None:
        """Write the updates of these settings from now on."""
        self._settings = settings
        self._replaced.set()

    def mark_changed(self) -> None:
        """Health is another than before."""
        for event in self._changed:
            event.set()

    def status(self) -> tuple[UpdateStatus, ...]:
        """How each update fares, in the order of the configuration."""
        return tuple(self._states.values())

    async def run(self) -> None:
        """Write what changes, until cancelled."""
        while True:
            await self._replaced.wait()
            self._replaced = trio.Event()
            settings = self._settings
            assert settings is not None, "it is replaced before"
            # Only now, as what wrote by the settings before has ended.
            self._stopped = set()
            fresh = {_key(each): UpdateStatus(name_to_text(each.zone), each.where) for each in settings.updates}
            self._states = {key: self._states.get(key, status) for key, status in fresh.items()}
            if settings.updates and self._known is None:
                self._known = await trio.to_thread.run_sync(_read_state, self._path)
            self._changed = [trio.Event() for _ in settings.updates]
            async with trio.open_nursery() as nursery:
                for position, update in enumerate(settings.updates):
                    nursery.start_soon(self._keep, position, update, settings)
                await self._replaced.wait()
                nursery.cancel_scope.cancel()

    async def _keep(self, position: int, update: AnyUpdate, settings: Settings) -> None:
        """Keep one zone as it should be, until cancelled."""
        failures = 0
        while True:
            self._changed[position] = changed = trio.Event()
            problem = ""
            try:
                keys = await trio.to_thread.run_sync(_load_keys, settings.keys)
                target = open_target(update, keys)
                for _ in range(ATTEMPTS):
                    if await self._write(update, target, find_answers(update, settings, self._read_health())):
                        break
                else:
                    raise UpdateError("it says that something else is there, and then shows what we know of")
            except UpdateError as error:
                problem = str(error)
            self._note(update, problem)
            failures = failures + 1 if problem else 0
            if failures:
                pause = min(FIRST_RETRY * 2.0 ** min(failures - 1, 16), LAST_RETRY) * random.uniform(0.5, 1)
                await trio.sleep(pause)
            else:
                await changed.wait()
                await trio.sleep(WRITE_INTERVAL)

    async def _write(self, update: AnyUpdate, target: Target, wanted: Mapping[Place, Answer]) -> bool:
        """Write what is not as it should be; False when that is to be looked at again. UpdateError."""
        key = _key(update)
        assert self._known is not None, "it was read before"
        known = self._known.setdefault(key, {})
        for place in wanted:
            if place not in known or known[place].pending:
                await self._look(update, target, place, wanted[place])
        changes = []
        for place, answer in wanted.items():
            entry = known[place]
            if entry.settled == answer or (key, place) in self._stopped:
                continue
            if entry.settled is None and entry.there == answer.rdatas:
                known[place] = Known(entry.there, answer)
                continue
            changes.append(Change(*place, answer.ttl, entry.there, answer.rdatas))
        if not changes:
            await self._save()
            return True
        for change in changes:
            known[_place(change)] = msgspec.structs.replace(known[_place(change)], pending=wanted[_place(change)])
        await self._save()
        written = await target.write(changes)
        for change in changes:
            if written:
                known[_place(change)] = Known(change.after, wanted[_place(change)])
                logger.info("%s: %s", update.where, _describe(_place(change), change.after))
            else:
                await self._look(update, target, _place(change), wanted[_place(change)])
        await self._save()
        return written

    async def _look(self, update: AnyUpdate, target: Target, place: Place, wanted: Answer) -> None:
        """See what is there, and whether that is what we know of. UpdateError."""
        key = _key(update)
        assert self._known is not None, "it was read before"
        known = self._known[key]
        before = known.get(place)
        there = await target.read(*place)
        if before is None:
            known[place] = Known(there)
        elif before.pending and there == before.pending.rdatas:
            known[place] = Known(there, before.pending)
        elif there == before.there:
            known[place] = Known(there, before.settled)
        else:
            known[place] = Known(there, wanted)
            if there == wanted.rdatas:
                return
            text = "%s: somebody else has written %s, where there was %s of ours; it stays until %s"
            until = "health changes the answer"
            if update.on_conflict == "stop":
                self._stopped.add((key, place))
                until = "waypost reloads"
            logger.error(text, update.where, _describe(place, there), _describe_data(place[1], before.there), until)
            self._states[key] = msgspec.structs.replace(self._states[key], conflicts=self._states[key].conflicts + 1)

    async def _save(self) -> None:
        """Keep what we know; UpdateError when that is impossible, as then nothing may be written."""
        async with self._saving:
            known = self._known or {}
            # Not in the thread, as others go on to change it.
            state: State = {key: [(*place, each) for place, each in entries.items()] for key, entries in known.items()}
            try:
                await trio.to_thread.run_sync(_write_state, self._path, msgspec.msgpack.encode(state))
            except OSError as error:
                raise UpdateError(f"{self._path}: {error.strerror or error}") from error

    def _note(self, update: AnyUpdate, problem: str) -> None:
        before = self._states[_key(update)]
        zone = name_to_text(update.zone)
        if problem and problem != before.problem:
            logger.error("cannot update %s at %s; trying again: %s", zone, update.where, problem)
        elif before.problem and not problem:
            logger.info("%s at %s is up to date again", zone, update.where)
        self._states[_key(update)] = msgspec.structs.replace(before, problem=problem)


def find_answers(update: AnyUpdate, settings: Settings, health: Health) -> dict[Place, Answer]:
    """What each RRset of the update should be: all that its load balancer may answer to clients of no special place."""
    pools = {pool.name: pool for pool in settings.pools}
    states = {name: judge_pool(pool, health) for name, pool in pools.items()}
    answers: dict[Place, Answer] = {}
    for balancer in settings.load_balancers:
        if not concerns(update, balancer):
            continue
        for rrtype in balancer.types:
            plan = make_plan(balancer, default_route(balancer), rrtype, pools, states)
            kind = dns.rdatatype.RdataType.make(rrtype)
            rdatas = {
                dns.rdata.from_wire(dns.rdataclass.IN, kind, record, 12, len(record) - 12).to_digestable()
                for rrset in plan.rrsets
                for record in split_records(rrset[2])
            }
            answers[balancer.name, rrtype] = Answer(balancer.ttl, tuple(sorted(rdatas)))
    return answers


def concerns(update: AnyUpdate, balancer: LoadBalancer) -> bool:
    """Whether the answers of a load balancer are to be written."""
    return balancer.name in update.names or (not update.names and is_below(balancer.name, update.zone))


def _key(update: AnyUpdate) -> str:
    return f"{name_to_text(update.zone)} {update.where}"


def _place(change: Change) -> Place:
    return change.owner, change.rrtype


def _describe(place: Place, rdatas: Rdatas) -> str:
    owner, rrtype = place
    return f"{name_to_text(owner)} {type_to_text(rrtype)} {_describe_data(rrtype, rdatas)}"


def _describe_data(rrtype: int, rdatas: Rdatas) -> str:
    kind = dns.rdatatype.RdataType.make(rrtype)
    texts = (dns.rdata.from_wire(dns.rdataclass.IN, kind, each, 0, len(each)).to_text() for each in rdatas)
    return ", ".join(texts) or "nothing"


def _load_keys(keys: Sequence[SharedKey]) -> dict[bytes, dns.tsig.Key]:
    """In a thread: anew for each attempt, so that a file that was replaced counts. UpdateError."""
    loaded = {}
    for key in keys:
        try:
            secret = read_secret(key)
        except SecretError as error:
            raise UpdateError(str(error)) from error
        loaded[key.name] = dns.tsig.Key(dns.name.from_wire(key.name, 0)[0], secret, key.algorithm)
    return loaded


State = dict[str, list[tuple[bytes, int, Known]]]


def _read_state(path: Path) -> dict[str, dict[Place, Known]]:
    try:
        state = msgspec.msgpack.decode(path.read_bytes(), type=State)
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        logger.exception("what was written before cannot be read: looking at what is there")
        return {}
    return {key: {(owner, rrtype): known for owner, rrtype, known in entries} for key, entries in state.items()}


def _write_state(path: Path, content: bytes) -> None:
    if path.exists() and path.read_bytes() == content:
        return
    replace_file(path, content, durable=True)
