"""TSIG against dnspython's, in both directions; every error of RFC 8945 section 5.2 and its reply of section 5.3.2."""

from collections.abc import Callable

import dns.message
import dns.name
import dns.rcode
import dns.tsig
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steering.wire import NOTAUTH, BadPacket, render_error
from steering.zones.message import parse_message_untrusted
from steering.zones.tsig import (
    BADKEY,
    BADSIG,
    BADTIME,
    BADTRUNC,
    HASHES,
    Key,
    SignatureError,
    Signer,
    Verifier,
    strip,
    verify_request_untrusted,
)

NOW = 1_800_000_000
SECRET = bytes(range(32))
NAME = b"\3key\7example\0"

ALGORITHMS = pytest.mark.parametrize("algorithm", HASHES)


def key(algorithm: str = "hmac-sha256", secret: bytes = SECRET) -> Key:
    return Key(NAME, algorithm, secret)


def peer(algorithm: str = "hmac-sha256", secret: bytes = SECRET) -> dns.tsig.Key:
    return dns.tsig.Key(dns.name.from_text("Key.Example"), secret, algorithm)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """What dnspython takes for the time."""
    monkeypatch.setattr("time.time", lambda: float(NOW))


def request(algorithm: str = "hmac-sha256", secret: bytes = SECRET) -> bytes:
    query = dns.message.make_query("example.com", "SOA", id=7)
    query.use_tsig(peer(algorithm, secret))
    return query.to_wire()


def verify(packet: bytes, *keys: Key, now: float = NOW) -> Signer:
    signature = parse_message_untrusted(packet).signature
    assert signature is not None
    return verify_request_untrusted(packet, signature, {each.name: each for each in keys or [key()]}, now)


def refuse(packet: bytes, *keys: Key, now: float = NOW) -> tuple[SignatureError, dns.message.Message]:
    """The error, and the reply to it, unverified."""
    signature = parse_message_untrusted(packet).signature
    assert signature is not None
    with pytest.raises(SignatureError) as caught:
        verify(packet, *keys, now=now)
    reply = caught.value.sign(render_error(packet, NOTAUTH), signature, now)
    return caught.value, dns.message.from_wire(reply, keyring=False, continue_on_error=True)


@ALGORITHMS
def test_requests_and_replies(algorithm: str) -> None:
    packet = request(algorithm)
    signer = verify(packet, key(algorithm))
    reply = signer.sign(render_error(packet, 0), NOW)
    read = dns.message.from_wire(reply, keyring={peer(algorithm).name: peer(algorithm)}, request_mac=signer_mac(packet))
    assert read.had_tsig
    assert len(reply) - len(render_error(packet, 0)) == key(algorithm).room


def signer_mac(packet: bytes) -> bytes:
    signature = parse_message_untrusted(packet).signature
    assert signature is not None
    return signature.mac


@ALGORITHMS
def test_the_messages_of_a_transfer(algorithm: str) -> None:
    packet = request(algorithm)
    signer = verify(packet, key(algorithm))
    context = None
    for number in range(4):
        message = signer.sign(render_error(packet, number), NOW)
        read = dns.message.from_wire(
            message,
            keyring={peer(algorithm).name: peer(algorithm)},
            request_mac=signer_mac(packet),
            multi=True,
            tsig_ctx=context,
        )
        context = read.tsig_ctx
        assert read.had_tsig


@pytest.mark.parametrize("signed", [(True, True, True), (True, False, True), (True, False, False, True, True)])
def test_a_transfer_from_dnspython_of_which_not_every_message_is_signed(signed: tuple[bool, ...]) -> None:
    asked = Signer(key())
    wire = asked.sign(request()[:10] + b"\0\0" + dns.message.make_query("example.com", "SOA", id=7).to_wire()[12:], NOW)
    verifier = Verifier(asked)
    context = None
    for number, sign in enumerate(signed):
        plain = render_error(wire, number)
        if sign:
            template = dns.message.from_wire(wire, keyring=False).tsig[0]  # type: ignore[index]
            made, context = dns.tsig.sign(  # type: ignore[no-untyped-call] # dnspython has no types here
                plain, peer(), template, NOW, asked_mac(wire), context, multi=True
            )
            message = dns.message.from_wire(plain)
            data = made.to_wire()
            record = NAME + b"\0\xfa\0\xff\0\0\0\0" + len(data).to_bytes(2, "big") + data
            packet = plain[:10] + (int.from_bytes(plain[10:12], "big") + 1).to_bytes(2, "big") + plain[12:] + record
            assert message.id == 7
        else:
            assert context is not None
            context.update(plain)
            packet = plain
        verifier.verify_untrusted(packet, parse_message_untrusted(packet).signature, NOW)
    verifier.finish()


def asked_mac(wire: bytes) -> bytes:
    signature = parse_message_untrusted(wire).signature
    assert signature is not None
    return signature.mac


def test_our_own_messages_one_after_the_other() -> None:
    asked = Signer(key())
    wire = asked.sign(render_error(bytes(12), 0), NOW)
    answering, verifier = verify(wire), Verifier(asked)
    for _ in range(3):
        packet = answering.sign(render_error(bytes(12), 0), NOW)
        verifier.verify_untrusted(packet, parse_message_untrusted(packet).signature, NOW)
    verifier.finish()


def test_what_was_signed_comes_back() -> None:
    plain = dns.message.make_query("example.com", "SOA", id=7).to_wire()
    packet = request()
    signature = parse_message_untrusted(packet).signature
    assert signature is not None
    assert strip(packet, signature) == plain


@pytest.mark.parametrize("keys", [[Key(b"\5other\0", "hmac-sha256", SECRET)], [key("hmac-sha512")]])
def test_a_key_that_is_not_known_is_answered_unsigned(keys: list[Key]) -> None:
    error, reply = refuse(request(), *keys)
    assert error.error == BADKEY
    assert (reply.rcode(), reply.tsig_error, reply.mac) == (dns.rcode.NOTAUTH, BADKEY, b"")


@pytest.mark.parametrize(
    ("known", "reason"),
    [
        (key("hmac-sha512"), "the server says BADKEY: it knows no hmac-sha256 key key.example."),
        (key(secret=bytes(32)), "the server says BADSIG: it has another secret for the key key.example."),
    ],
)
def test_what_the_server_does_not_like_is_told(known: Key, reason: str) -> None:
    _, reply = refuse(request(), known)
    packet = reply.to_wire()
    asked = Signer(key())
    asked.sign(render_error(bytes(12), 0), NOW)
    with pytest.raises(SignatureError, match=reason):
        Verifier(asked).verify_untrusted(packet, parse_message_untrusted(packet).signature, NOW)


def test_a_wrong_mac_is_answered_unsigned() -> None:
    error, reply = refuse(request(secret=bytes(32)))
    assert error.error == BADSIG
    assert (reply.rcode(), reply.tsig_error, reply.mac) == (dns.rcode.NOTAUTH, BADSIG, b"")


@pytest.mark.parametrize("later", [301, -301, 10**6])
def test_a_wrong_time_is_answered_signed_with_our_time(later: int) -> None:
    error, reply = refuse(request(), now=NOW + later)
    assert error.error == BADTIME
    assert reply.tsig is not None
    rdata = reply.tsig[0]
    assert (rdata.time_signed, rdata.error, rdata.other) == (NOW, BADTIME, (NOW + later).to_bytes(6, "big"))
    assert rdata.mac
    with pytest.raises(dns.tsig.PeerBadTime):  # it verifies, and tells
        dns.message.from_wire(error_wire(later), keyring={peer().name: peer()}, request_mac=signer_mac(request()))


def error_wire(later: int) -> bytes:
    packet = request()
    signature = parse_message_untrusted(packet).signature
    assert signature is not None
    with pytest.raises(SignatureError) as caught:
        verify(packet, now=NOW + later)
    return caught.value.sign(render_error(packet, NOTAUTH), signature, NOW + later)


def test_the_fudge_is_inclusive() -> None:
    verify(request(), now=NOW + 300)
    verify(request(), now=NOW - 300)


def shorten(packet: bytes, size: int) -> bytes:
    """With the MAC cut to `size` octets, which is what truncation does."""
    signature = parse_message_untrusted(packet).signature
    assert signature is not None
    start = packet.index(signature.mac, signature.start)
    cut = len(signature.mac) - size
    length = packet.index(b"\0\xfa\0\xff\0\0\0\0", signature.start) + 8
    rdlength = int.from_bytes(packet[length : length + 2], "big") - cut
    return (
        packet[:length]
        + rdlength.to_bytes(2, "big")
        + packet[length + 2 : start - 2]
        + size.to_bytes(2, "big")
        + packet[start : start + size]
        + packet[start + len(signature.mac) :]
    )


class TestTruncation:
    @pytest.mark.parametrize(("algorithm", "size"), [("hmac-sha256", 16), ("hmac-sha512", 32), ("hmac-sha1", 16)])
    def test_half_a_mac_is_good(self, algorithm: str, size: int) -> None:
        packet = shorten(request(algorithm), size)
        verify(packet, key(algorithm)).sign(render_error(packet, 0), NOW)

    def test_less_than_our_policy_takes_is_badtrunc_and_signed(self) -> None:
        error, reply = refuse(shorten(request("hmac-sha1"), 10), key("hmac-sha1"))
        assert error.error == BADTRUNC
        assert reply.tsig_error == BADTRUNC
        assert reply.mac

    @pytest.mark.parametrize(("algorithm", "size"), [("hmac-sha256", 15), ("hmac-sha512", 31), ("hmac-sha1", 9)])
    def test_less_than_the_rfc_takes_is_a_format_error(self, algorithm: str, size: int) -> None:
        with pytest.raises(BadPacket):
            verify(shorten(request(algorithm), size), key(algorithm))

    def test_a_wrong_octet_of_a_short_mac_is_badsig(self) -> None:
        packet = bytearray(shorten(request(), 16))
        packet[-10] ^= 1
        assert refuse(bytes(packet))[0].error == BADSIG


def reply_with(change: Callable[[bytes], bytes]) -> None:
    """A reply that has been changed on its way."""
    asked = Signer(key())
    wire = asked.sign(render_error(bytes(12), 0), NOW)
    packet = change(verify(wire).sign(render_error(bytes(12), 0), NOW))
    Verifier(asked).verify_untrusted(packet, parse_message_untrusted(packet).signature, NOW)


def test_replies_that_prove_nothing() -> None:
    reply_with(lambda packet: packet)
    for change in (
        lambda packet: packet[:3] + b"\5" + packet[4:],
        lambda packet: packet[:-7] + bytes((packet[-7] ^ 1,)) + packet[-6:],
        lambda packet: packet[:10] + b"\0\0",
        lambda packet: packet.replace(b"\3key", b"\3kex"),
    ):
        with pytest.raises(SignatureError):
            reply_with(change)


def test_a_reply_whose_end_is_not_signed() -> None:
    asked = Signer(key())
    wire = asked.sign(render_error(bytes(12), 0), NOW)
    packet = verify(wire).sign(render_error(bytes(12), 0), NOW)
    verifier = Verifier(asked)
    with pytest.raises(SignatureError):
        verifier.finish()
    verifier.verify_untrusted(packet, parse_message_untrusted(packet).signature, NOW)
    verifier.finish()
    for _ in range(99):
        verifier.verify_untrusted(bytes(12), None, NOW)
    with pytest.raises(SignatureError):
        verifier.finish()
    with pytest.raises(SignatureError):
        verifier.verify_untrusted(bytes(12), None, NOW)


def test_secrets_are_not_shown() -> None:
    assert "\\x" not in repr(key())
    assert str(list(SECRET)) not in repr(key())


@given(st.data())
def test_no_change_of_a_signed_request_is_taken(data: st.DataObject) -> None:
    """But of the identifier of the message, which RFC 8945 lets forwarders change, and of the case of names."""
    packet = bytearray(SIGNED)
    place = data.draw(st.integers(2, len(packet) - 1))
    packet[place] ^= data.draw(st.integers(1, 255))
    try:
        signature = parse_message_untrusted(bytes(packet)).signature
    except BadPacket:
        return
    if signature is None or bytes(packet[signature.start :]).lower() == SIGNED[signature.start :].lower():
        return
    with pytest.raises((SignatureError, BadPacket)):
        verify(bytes(packet))


SIGNED = Signer(key()).sign(dns.message.make_query("example.com", "SOA", id=7).to_wire(), NOW)
