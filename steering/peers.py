"""What other name servers say, and what they get: signed questions, requests for transfers, NOTIFY, updates.

Pure but for reads of the zone store: packet, client, time and Peers in; a reply, a Transfer or a Later out. Plain
questions never come here (respond.py).

| RFC  | what                                                                                     |
|------|------------------------------------------------------------------------------------------|
| 8945 | any of it, and any question, can be signed; so is the reply then, or it says why not      |
| 5936 | AXFR, over TCP                                                                            |
| 1995 | IXFR, over TCP; over UDP when it fits, else the SOA alone                                 |
| 1996 | NOTIFY for zones that we have from a primary, from who may; it is passed on, and answered |
| 2136 | UPDATE of names that who signs may update; it is passed on, and answered when that is done |

Who may: `allow_transfer` of the zone, its primaries and `allow_notify`, `allow_update`. Without an entry there, nobody.
Where an entry names a key, an address alone is not enough.
"""

import ipaddress
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from steering.later import Later
from steering.messages import Notified
from steering.settings import UpdatePermission, Zone
from steering.values import Permission
from steering.wire import (
    AXFR,
    FORMERR,
    HEADER_SIZE,
    IN,
    IXFR,
    NOERROR,
    NOTAUTH,
    NOTIFY,
    NOTIMP,
    PLAIN_UDP_SIZE,
    QUERY,
    REFUSED,
    SERVFAIL,
    SOA,
    UDP_PAYLOAD,
    UPDATE,
    BadPacket,
    name_to_text,
    render_error,
    type_to_text,
)
from steering.zones import tsig
from steering.zones.message import Message, parse_message_untrusted
from steering.zones.store import Store, StoreReader
from steering.zones.transfer import OPEN_LIMIT, Transfer, answer_over_udp, client_serial
from steering.zones.tsig import Key, SignatureError, Signer, verify_request_untrusted
from steering.zones.update import UpdateError, check_update_untrusted, is_named

TRANSFERS = (AXFR, IXFR)

Answer = Callable[[bytes, int], bytes | None]
"""A plain question, and the octets to be left free for a signature, to its reply."""

AskUpdate = Callable[[bytes, str, Later], bool]
"""An update that may be made, the client's address, and the reply; False if nobody can be asked."""


class Peers:
    """The other servers of a configuration."""

    def __init__(
        self,
        store: Store,
        zones: Iterable[Zone],
        keys: Iterable[Key],
        notified: Callable[[Notified], None],
        ask_update: AskUpdate = lambda _packet, _client, _later: False,
        refused: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`notified` hears of every NOTIFY that counts, `ask_update` of every update that may be made, and `refused` in
        words of what is not given or taken."""
        self.store = store
        self.zones: Mapping[bytes, Zone] = {zone.name: zone for zone in zones}
        self.keys: Mapping[bytes, Key] = {key.name: key for key in keys}
        self.notified = notified
        self.ask_update = ask_update
        self.refused = refused

    def reply_untrusted(
        self, packet: bytes, client: str, now: float, reader: StoreReader, answer: Answer
    ) -> bytes | None:
        """The reply to a packet of one message; `answer` answers what turns out to be a plain question."""
        try:
            message, signer = self._open_untrusted(packet, client, now)
        except _AnsweredError as answered:
            return answered.reply
        room = signer.key.room if signer is not None else 0
        if message.opcode == QUERY and message.rrtype not in TRANSFERS:
            reply = answer(_unsigned(packet, message), room)
        elif message.opcode == QUERY:
            reply = self._answer_udp(message, client, signer, room, reader)
        elif message.opcode == NOTIFY:
            reply = _render_rcode(message, self._take_notify(message, client, signer))
        else:
            reply = _render_rcode(message, NOTIMP)
        return reply if reply is None or signer is None else signer.sign(reply, now)

    def open_transfer_untrusted(
        self, packet: bytes, client: str, now: float, reader: StoreReader
    ) -> bytes | Transfer | None:
        """The reply to a request for a transfer that came over TCP, or the transfer, which must be closed."""
        try:
            message, signer = self._open_untrusted(packet, client, now)
        except _AnsweredError as answered:
            return answered.reply
        rcode = self._judge_transfer(message, client, signer, reader)
        if rcode == NOERROR:
            transfer = Transfer.open(self.store, message.name, message, signer)
            if transfer is not None:
                return transfer
            self._refuse("a transfer", message, client, signer, f"{OPEN_LIMIT} are being sent already")
            rcode = SERVFAIL
        reply = _render_rcode(message, rcode)
        return reply if signer is None else signer.sign(reply, now)

    def _open_untrusted(self, packet: bytes, client: str, now: float) -> tuple[Message, Signer | None]:
        """The message, and what signs the reply; raises _AnsweredError for no message, or a signature that proves
        nothing."""
        try:
            message = parse_message_untrusted(packet)
            if message.signature is None:
                return message, None
            try:
                return message, verify_request_untrusted(packet, message.signature, self.keys, now)
            except SignatureError as error:
                self.refused(f"{client}, signed by {name_to_text(message.signature.key)}: {error}")
                reply = error.sign(_render_rcode(message, NOTAUTH), message.signature, now)
                raise _AnsweredError(reply) from error
        except BadPacket as bad:
            raise _AnsweredError(None if bad.rcode is None else render_error(packet, bad.rcode)) from bad

    def _judge_transfer(self, message: Message, client: str, signer: Signer | None, reader: StoreReader) -> int:
        """The RCODE of a request for a transfer; NOERROR if it may have it."""
        if message.rrclass != IN:
            return REFUSED
        zone, settings = reader.zones.get(message.name), self.zones.get(message.name)
        if zone is None:
            return NOTAUTH
        if settings is None or not is_permitted(settings.allow_transfer, client, signer):
            self._refuse("a transfer", message, client, signer, "allow_transfer has no such entry")
            return REFUSED
        if message.rrtype == IXFR and client_serial(message) is None:
            return FORMERR
        return SERVFAIL if zone.expired else NOERROR

    def _answer_udp(
        self, message: Message, client: str, signer: Signer | None, room: int, reader: StoreReader
    ) -> bytes:
        rcode = self._judge_transfer(message, client, signer, reader)
        if message.rrtype == AXFR and rcode == NOERROR:
            rcode = FORMERR  # RFC 5936 section 4.2: not over UDP
        if rcode != NOERROR:
            return _render_rcode(message, rcode)
        size = PLAIN_UDP_SIZE if message.edns_size is None else min(max(message.edns_size, PLAIN_UDP_SIZE), UDP_PAYLOAD)
        return answer_over_udp(self.store, message.name, message, size - room) or _render_rcode(message, SERVFAIL)

    def update_untrusted(self, packet: bytes, client: str, now: float, reader: StoreReader) -> bytes | Later | None:
        """Ask for an update, if it is one that may be made; the reply to it."""
        try:
            message, signer = self._open_untrusted(packet, client, now)
        except _AnsweredError as answered:
            return answered.reply

        def render(rcode: int) -> bytes:
            reply = _render_rcode(message, rcode)
            return reply if signer is None else signer.sign(reply, now)

        later = Later(render)
        try:
            self._judge_update_untrusted(message, client, signer, reader)
        except UpdateError as error:
            if error.rcode == REFUSED:
                self._refuse("an update", message, client, signer, str(error))
            return render(error.rcode)
        return later if self.ask_update(packet, client, later) else render(SERVFAIL)

    def _judge_update_untrusted(
        self, message: Message, client: str, signer: Signer | None, reader: StoreReader
    ) -> None:
        """Raise UpdateError for what is no update, or may not be made (RFC 2136 sections 3.1, 3.3 and 3.4.1)."""
        if message.rrtype != SOA:
            raise UpdateError(FORMERR, "not a zone section of one SOA")
        if message.rrclass != IN or message.name not in reader.zones:
            raise UpdateError(NOTAUTH, "not a zone of ours")
        zone = self.zones.get(message.name)
        entries = [each for each in zone.allow_update if is_permitted([each], client, signer)] if zone else []
        if not entries:
            raise UpdateError(REFUSED, "allow_update has no entry for who asks")
        check_update_untrusted(message)
        for owner, rrtype in {(record.owner, record.rrtype) for record in message.authorities}:
            if not any(is_named(owner, each.names) and (not each.types or rrtype in each.types) for each in entries):
                what = f"{name_to_text(owner)} {type_to_text(rrtype)}"
                raise UpdateError(REFUSED, f"allow_update has no entry for {what}")

    def _take_notify(self, message: Message, client: str, signer: Signer | None) -> int:
        """Pass a NOTIFY on, if it counts (RFC 1996 section 3.10); its RCODE."""
        if message.is_response or message.rrtype != SOA or message.rrclass != IN:
            return FORMERR
        zone = self.zones.get(message.name)
        if zone is None or not zone.primaries:
            return NOTAUTH
        primaries = [Permission(str(ipaddress.ip_network(peer.address)), peer.key) for peer in zone.primaries]
        if not is_permitted((*primaries, *zone.allow_notify), client, signer):
            self._refuse("a NOTIFY", message, client, signer, "it is no primary's, nor in allow_notify")
            return REFUSED
        self.notified(Notified(zone.name, client))
        return NOERROR

    def _refuse(self, what: str, message: Message, client: str, signer: Signer | None, reason: str) -> None:
        signed = "not signed" if signer is None else f"signed by {name_to_text(signer.key.name)}"
        self.refused(f"{client}, {signed}: {what} of {name_to_text(message.name)}: {reason}")


def is_transfer_request(packet: bytes) -> bool:
    """Whether a packet asks for a transfer."""
    if len(packet) < HEADER_SIZE or packet[2] & 0xF8 or packet[4:6] != b"\0\1":
        return False
    position = HEADER_SIZE
    while position < len(packet) and packet[position]:
        position += packet[position] + 1
    return int.from_bytes(packet[position + 1 : position + 3], "big") in TRANSFERS


def is_update(packet: bytes) -> bool:
    """Whether a packet asks for an update."""
    return packet[2:3] in _UPDATE_FLAGS


_UPDATE_FLAGS: Final = {bytes((UPDATE << 3 | low,)) for low in range(8)}
"""The first octet of flags; responses are none."""


def is_permitted(permissions: Iterable[Permission | UpdatePermission], client: str, signer: Signer | None) -> bool:
    """Whether any entry is for this client and this signature."""
    address = ipaddress.ip_address(client.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    key = signer.key.name if signer is not None else None
    return any(
        (each.key is None or each.key == key)
        and (each.network is None or address in ipaddress.ip_network(each.network))
        for each in permissions
    )


class _AnsweredError(Exception):
    """There is nothing to do but to send this reply; None is silence."""

    def __init__(self, reply: bytes | None) -> None:
        super().__init__()
        self.reply = reply


def _unsigned(packet: bytes, message: Message) -> bytes:
    """The message without its signature, under the identifier that the reply must have."""
    return packet if message.signature is None else message.identifier + tsig.strip(packet, message.signature)[2:]


def _render_rcode(message: Message, rcode: int) -> bytes:
    header = message.identifier + message.flags.to_bytes(2, "big")
    return render_error(header, rcode, message.question, None if message.edns_size is None else b"")
