"""Dynamic updates: the messages that are sent, and what a name server may reply."""

import socket
import struct
from collections.abc import Callable

import dns.message
import dns.rcode
import dns.rrset
import dns.tsig
import dns.update
import pytest
import trio
import trio.testing

from steering.beside.dns_update import DnsTarget, DnsUpdate
from steering.beside.update import Change, UpdateError
from steering.values import Peer
from steering.wire import A
from tests.steering.support import name

ONE, TWO = bytes((192, 0, 2, 1)), bytes((192, 0, 2, 2))
CHANGE = Change(name("www"), A, 30, (ONE,), (TWO,))
KEY = dns.tsig.Key("k", b"secret of the test", "hmac-sha256")
Reply = Callable[[dns.message.Message], bytes]


async def ask(reply: Reply, do: str, *arguments: object, key: dns.tsig.Key | None = None) -> object:
    """What a target at a server with these replies says."""

    async def serve(stream: trio.SocketStream) -> None:
        length = await stream.receive_some(2)
        packet = await stream.receive_some(struct.unpack("!H", length)[0])
        message = dns.message.from_wire(packet, keyring=False if key is None else {key.name: key})
        made = reply(message)
        await stream.send_all(struct.pack("!H", len(made)) + made if made else b"")

    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, serve, [listener])
        server = Peer("127.0.0.1", listener.socket.getsockname()[1])
        try:
            return await getattr(DnsTarget(DnsUpdate(zone=name("@"), server=server), key), do)(*arguments)
        except UpdateError as error:
            return str(error)
        finally:
            nursery.cancel_scope.cancel()
    raise AssertionError("not reached")


def says(rcode: int) -> Reply:
    def reply(message: dns.message.Message) -> bytes:
        made = dns.message.make_response(message)
        made.set_rcode(dns.rcode.Rcode.make(rcode))
        return made.to_wire()

    return reply


async def test_a_change_demands_what_was_there_and_makes_all_of_it_anew() -> None:
    seen: list[dns.message.Message] = []

    def reply(message: dns.message.Message) -> bytes:
        seen.append(message)
        return says(0)(message)

    fresh = Change(name("new"), A, 60, (), (ONE, TWO))
    assert await ask(reply, "write", [CHANGE, fresh], key=KEY) is True
    (message,) = seen
    assert isinstance(message, dns.update.UpdateMessage)
    assert message.had_tsig
    assert [rrset.name.to_text() for rrset in message.zone] == ["example.com."]
    required = sorted(rrset.to_text() for rrset in message.prerequisite)
    assert any("www" in text and "192.0.2.1" in text for text in required)
    assert any("new" in text and "NONE" in text for text in required)
    written = "\n".join(rrset.to_text() for rrset in message.update)
    assert "192.0.2.2" in written


@pytest.mark.parametrize("rcode", ["NXRRSET", "YXRRSET", "NXDOMAIN", "YXDOMAIN"])
async def test_a_prerequisite_that_fails_is_no_error(rcode: str) -> None:
    assert await ask(says(dns.rcode.from_text(rcode)), "write", [CHANGE]) is False


@pytest.mark.parametrize(
    ("rcode", "text"),
    [
        ("REFUSED", "does not allow this key"),
        ("NOTAUTH", "no primary"),
        ("NOTIMP", "not do dynamic"),
        ("SERVFAIL", "SERVFAIL"),
    ],
)
async def test_a_refusal_is_told(rcode: str, text: str) -> None:
    assert text in str(await ask(says(dns.rcode.from_text(rcode)), "write", [CHANGE]))


@pytest.mark.parametrize("made", [b"", b"\0", bytes(12), bytes(100)])
async def test_any_bytes_are_a_reason(made: bytes) -> None:
    assert isinstance(await ask(lambda _: made, "write", [CHANGE]), str)
    assert isinstance(await ask(lambda _: made, "read", *CHANGE_PLACE), str)


CHANGE_PLACE = (name("www"), A)


async def test_a_reply_without_a_signature_counts_for_nothing() -> None:
    def reply(message: dns.message.Message) -> bytes:
        made = dns.message.make_response(message)
        made.tsig = None
        return made.to_wire()

    assert "its reply is not signed" in str(await ask(reply, "read", *CHANGE_PLACE, key=KEY))


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (dns.rcode.BADSIG, "it has another secret for our key"),
        (dns.rcode.BADKEY, "it does not know our key"),
        (dns.rcode.BADTIME, "its clock and ours differ"),
    ],
)
async def test_what_is_wrong_with_the_key_is_told(error: int, text: str) -> None:
    def reply(message: dns.message.Message) -> bytes:
        made = dns.message.make_response(message)
        made.set_rcode(dns.rcode.NOTAUTH)
        made.use_tsig(KEY, tsig_error=error)
        return made.to_wire()

    assert text in str(await ask(reply, "write", [CHANGE], key=KEY))


async def test_who_resets_the_connection_is_one_that_ends_it() -> None:
    """Closing while there is something to be read is a reset."""
    async with trio.open_nursery() as nursery:

        async def serve(stream: trio.SocketStream) -> None:
            await trio.testing.wait_all_tasks_blocked(0.01)
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            await stream.aclose()

        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, serve, [listener])
        update = DnsUpdate(zone=name("@"), server=Peer("127.0.0.1", listener.socket.getsockname()[1]))
        for _ in range(3):
            with pytest.raises(UpdateError, match="it ends the connection"):
                await DnsTarget(update, None).read(*CHANGE_PLACE)
        nursery.cancel_scope.cancel()


async def test_what_is_there_is_in_canonical_form() -> None:
    def reply(message: dns.message.Message) -> bytes:
        made = dns.message.make_response(message)
        made.answer = [dns.rrset.from_text("WWW.example.com.", 5, "IN", "A", "192.0.2.2", "192.0.2.1")]
        return made.to_wire()

    assert await ask(reply, "read", *CHANGE_PLACE) == (ONE, TWO)
    assert await ask(says(0), "read", *CHANGE_PLACE) == ()
    assert await ask(says(3), "read", *CHANGE_PLACE) == ()
    assert "REFUSED" in str(await ask(says(5), "read", *CHANGE_PLACE))
