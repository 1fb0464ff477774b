"""Packet to packet: the one function that answers for every transport.

Pure: packet, client, transport, time, dice and world in; the reply out, or None for silence. No await, and no I/O but
look-ups in the world's snapshot of the zone store.

There are two roads to an answer. The short one: the question was met before in this world, and what it came to is
remembered. The long one composes it (compose.py).
"""

from collections.abc import Mapping
from typing import Final, TypeVar

from steering.balance.lottery import Dice
from steering.compose import EXPIRED, NOT_OURS, TRANSFER, Location, compose
from steering.cookies import Trust
from steering.later import Later
from steering.peers import Peers
from steering.ratelimit import Decision
from steering.wire import (
    ANY,
    BADVERS,
    CH,
    COOKIE,
    ERROR,
    EXTENDED_ERROR,
    IN,
    NODE,
    NOERROR,
    NOTIMP,
    NSID,
    OWNER,
    PLAIN_UDP_SIZE,
    TCP_IDLE,
    TCP_KEEPALIVE,
    TCP_SIZE,
    TXT,
    UDP_PAYLOAD,
    Answer,
    BadPacket,
    Edns,
    PeerPacket,
    Query,
    parse_query_untrusted,
    render_error,
    render_option,
    render_record,
)
from steering.world import World

_BADVERS: Final = Answer(BADVERS, False, (0, 0, 0), b"", kind=ERROR)
_NOT_AUTHORITATIVE: Final = render_option(EXTENDED_ERROR, b"\0\x14")
"""RFC 8914 section 4.21."""
_INVALID_DATA: Final = render_option(EXTENDED_ERROR, b"\0\x18")
"""RFC 8914 section 4.25."""


def respond(
    packet: bytes, client: str, over_tcp: bool, now: float, dice: Dice, world: World, room: int = 0
) -> bytes | None:
    """The reply to a packet.

    `client` is the source address as text (a scope id may follow a %), `now` is in Unix seconds. `room` octets are left
    free for the signature of a reply to who has proved who it is.
    """
    limit = None if over_tcp or room else world.limit  # over TCP, nobody's address is forged
    options = b""
    try:
        query = parse_query_untrusted(packet)
        edns = query.edns
        if edns is not None and edns.options:
            options, genuine = _answer_options_untrusted(query, edns.options, client, over_tcp, now, world)
            if genuine:
                limit = None
    except BadPacket as bad:
        if isinstance(bad, PeerPacket) and world.peers is not None:
            return _respond_peer(packet, client, over_tcp, now, dice, world, world.peers)
        if bad.rcode is None or (limit is not None and limit(client, ERROR, now) is not Decision.SEND):
            return None
        return render_error(packet, bad.rcode, bad.question, b"" if bad.edns else None)
    answer, scope = _find_answer(query, client, dice, world)
    if answer is TRANSFER and world.peers is not None:
        return _respond_peer(packet, client, over_tcp, now, dice, world, world.peers)
    if limit is not None:
        decision = limit(client, answer.kind, now)
        if decision is not Decision.SEND:
            return answer.render_truncated(query, scope, options) if decision is Decision.SLIP else None
    if not query.question:
        return render_error(packet, NOERROR, options=options)
    if answer is NOT_OURS and edns is not None:
        options += _NOT_AUTHORITATIVE
    elif answer is EXPIRED and edns is not None:
        options += _INVALID_DATA
    return answer.render(query, _reply_size(edns, over_tcp) - room, scope, options)


def respond_update(packet: bytes, client: str, over_tcp: bool, now: float, world: World) -> bytes | Later | None:
    """The same for a packet that `is_update`, whose reply may come later."""
    if world.peers is None:
        return render_error(packet, NOTIMP)
    return _limit(world.peers.update_untrusted(packet, client, now, world.zones), client, over_tcp, now, world)


def _respond_peer(
    packet: bytes, client: str, over_tcp: bool, now: float, dice: Dice, world: World, peers: Peers
) -> bytes | None:
    """The reply to what a name server says; the rate limit counts what is refused."""

    def answer(question: bytes, room: int) -> bytes | None:
        return respond(question, client, over_tcp, now, dice, world, room)

    return _limit(peers.reply_untrusted(packet, client, now, world.zones, answer), client, over_tcp, now, world)


Reply = TypeVar("Reply", bytes | None, bytes | Later | None)


def _limit(reply: Reply, client: str, over_tcp: bool, now: float, world: World) -> Reply:
    if isinstance(reply, bytes) and reply[3] & 15 and not over_tcp and world.limit is not None:
        return reply if world.limit(client, ERROR, now) is Decision.SEND else None
    return reply


def _reply_size(edns: Edns | None, over_tcp: bool) -> int:
    if over_tcp:
        return TCP_SIZE
    if edns is None:
        return PLAIN_UDP_SIZE
    return min(max(edns.size, PLAIN_UDP_SIZE), UDP_PAYLOAD)


def _find_answer(query: Query, client: str, dice: Dice, world: World) -> tuple[Answer, int]:
    """The answer and its ECS scope: by the short road if that is known, else by the long one."""
    if query.edns is not None and query.edns.version:
        return _BADVERS, 0
    if query.rrclass != IN:
        return _describe_server(query, world), 0
    known = world.memo.get((query.name, query.rrtype))
    if isinstance(known, Answer):
        return known, 0
    location = Location(query, client, world.trusts)
    if known is None:
        answer = compose(query, location, dice, world)
    else:
        plan = known.plans[location.find_class(known)]
        answer = plan.answers[plan.draw(dice, location)]
    return answer, location.scope


def _answer_options_untrusted(
    query: Query, asked: Mapping[int, bytes], client: str, over_tcp: bool, now: float, world: World
) -> tuple[bytes, bool]:
    """The EDNS options to answer with, and whether a cookie proves the client's address; raises BadPacket."""
    options, genuine = b"", False
    try:
        if COOKIE in asked and world.cookies is not None:
            verdict = world.cookies.judge_untrusted(asked[COOKIE], client, now)
            options += render_option(COOKIE, verdict.option)
            genuine = verdict.trust is Trust.GOOD
    except BadPacket as bad:
        bad.question, bad.edns = query.question, True
        raise
    if TCP_KEEPALIVE in asked and over_tcp:
        options += render_option(TCP_KEEPALIVE, (TCP_IDLE * 10).to_bytes(2, "big"))
    if NSID in asked and world.identity.name:
        options += render_option(NSID, world.identity.name)
    return options, genuine


def _describe_server(query: Query, world: World) -> Answer:
    """Class CH: who this server is (RFC 4892), if its operator wants that told; any other class is refused."""
    text = {
        b"\x02id\x06server\0": world.identity.name,
        b"\x08hostname\x04bind\0": world.identity.name,
        b"\x07version\x06server\0": world.identity.version,
        b"\x07version\x04bind\0": world.identity.version,
    }.get(query.name)
    if query.rrclass != CH or not text or query.rrtype not in (TXT, ANY):
        return NOT_OURS
    record = render_record(OWNER, TXT, 0, bytes((len(text),)) + text, CH)
    return Answer(NOERROR, True, (1, 0, 0), record, kind=NODE + query.name)
