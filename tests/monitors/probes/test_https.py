import socket
import ssl
import time

import msgspec
import pytest
import trio

from monitors.monitor import Reason, Result
from monitors.probes.https import HttpsMonitor
from tests.monitors.certificates import NAME, UNTRUSTED, Certificates
from tests.monitors.checking import check
from tests.monitors.web import HANG, RST, Said, scripted, serving


def monitor(port: int, **fields: object) -> HttpsMonitor:
    plain = HttpsMonitor(name="m", port=port, retries=0, headers=(("Host", NAME),))
    return msgspec.structs.replace(plain, **fields)


async def test_a_good_certificate(certificates: Certificates) -> None:
    with serving(certificates.server_context()) as port:
        result = await check(monitor(port, expected_body="well", path="/body"), "127.0.0.1")
    assert (result.up, result.reason, result.evidence, result.warning) == (True, Reason.OK, "200 OK", "")
    assert result.certificate_expires is not None
    assert result.certificate_expires > time.time()


async def test_without_a_name_the_certificate_must_be_for_the_address(certificates: Certificates) -> None:
    with serving(certificates.server_context()) as port:
        assert (await check(monitor(port, headers=()), "127.0.0.1")).up
    with serving(certificates.server_context("wrong name")) as port:
        result = await check(monitor(port, headers=()), "127.0.0.1")
    assert result.reason is Reason.TLS_NAME_MISMATCH
    assert "IP address mismatch" in result.evidence


@pytest.mark.parametrize("quality", UNTRUSTED)
async def test_a_bad_certificate(quality: str, certificates: Certificates) -> None:
    reason, words = UNTRUSTED[quality]
    with serving(certificates.server_context(quality)) as port:
        result = await check(monitor(port), "127.0.0.1")
        insecure = await check(monitor(port, allow_insecure=True), "127.0.0.1")
    assert (result.up, result.reason, result.evidence) == (False, reason, f"TLS handshake: {words}")
    assert (insecure.up, insecure.certificate_expires) == (True, None)


@pytest.mark.parametrize(("days", "warned"), [(14, True), (5, True), (4, False), (0, False)])
async def test_a_certificate_about_to_expire(days: int, warned: bool, certificates: Certificates) -> None:
    with serving(certificates.server_context("soon")) as port:
        result = await check(monitor(port, certificate_warning_days=days), "127.0.0.1")
    assert result.up
    assert result.warning.startswith("the certificate expires in 5.0 days, at ") == warned
    assert result.certificate_expires == pytest.approx(time.time() + 5 * 86400, abs=600)


async def test_the_name_is_that_of_the_host_header_without_its_port(certificates: Certificates) -> None:
    asked: list[str | None] = []
    context = certificates.server_context()
    context.sni_callback = lambda _, name, __: asked.append(name)
    with serving(context) as port:
        assert (await check(monitor(port, headers=(("host", f"{NAME}:{port}"),)), "127.0.0.1")).up
        assert (await check(monitor(port, headers=()), "127.0.0.1")).up
    assert asked == [NAME, None]


async def test_a_redirection_stays_with_https(certificates: Certificates) -> None:
    with serving(certificates.server_context()) as port:
        good = await check(monitor(port, path=f"/to?https://{NAME}:{port}/", follow_redirects=True), "127.0.0.1")
        back = await check(monitor(port, path=f"/to?http://{NAME}/", follow_redirects=True), "127.0.0.1")
    assert (good.up, good.certificate_expires is not None) == (True, True)
    assert (back.reason, back.evidence) == (Reason.CODE_MISMATCH, f"302 Found, to http://{NAME}/")


async def test_a_server_without_tls() -> None:
    with serving() as port:
        result = await check(monitor(port), "127.0.0.1")
    assert (result.up, result.reason) == (False, Reason.TLS_PROTOCOL)
    assert result.evidence.startswith("TLS handshake: ")


async def test_a_server_of_an_old_version(certificates: Certificates) -> None:
    context = certificates.server_context()
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning):
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with serving(context) as port:
        result = await check(monitor(port), "127.0.0.1")
    assert (result.up, result.reason) == (False, Reason.TLS_PROTOCOL)


async def test_a_server_with_no_cipher_of_ours(certificates: Certificates) -> None:
    context = certificates.server_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("AES128-SHA:@SECLEVEL=0")
    with serving(context) as port:
        result = await check(monitor(port), "127.0.0.1")
    assert (result.up, result.reason) == (False, Reason.TLS_HANDSHAKE)
    assert "handshake failure" in result.evidence


async def test_a_server_that_wants_a_certificate_of_ours(certificates: Certificates) -> None:
    context = certificates.server_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED
    with serving(context) as port:
        result = await check(monitor(port), "127.0.0.1")
    assert (result.up, result.reason) == (False, Reason.TLS_HANDSHAKE)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ([b""], Result(False, Reason.CLOSED_EARLY, "TLS handshake: the server closed the connection")),
        ([RST], Result(False, Reason.RESET, "TLS handshake: Connection reset by peer")),
        ([HANG], Result(False, Reason.TIMEOUT, "TLS handshake: nothing within 0.3 s")),
        ([b"\x16\x03\x03\x40\x00", HANG], Result(False, Reason.TIMEOUT, "TLS handshake: nothing within 0.3 s")),
    ],
)
async def test_a_handshake_that_breaks_off(said: list[Said], expected: Result) -> None:
    async with scripted(*said) as (port, _):
        assert await check(monitor(port, timeout=0.3), "127.0.0.1") == expected


async def test_junk_is_a_failure_of_tls() -> None:
    async with scripted(bytes(range(256)) * 400, HANG) as (port, _):
        result = await check(monitor(port), "127.0.0.1")
    assert (result.up, result.reason) in {(False, Reason.TLS_PROTOCOL), (False, Reason.TLS_HANDSHAKE)}


async def test_a_connection_that_breaks_behind_the_handshake(certificates: Certificates) -> None:
    """The end of TLS is not announced, or comes as a reset."""
    context = certificates.server_context()

    async def handle(stream: trio.SocketStream) -> None:
        secured = trio.SSLStream(stream, context, server_side=True)
        await secured.receive_some(65536)
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        stream.socket.close()

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, handle, 0)
        port = listeners[0].socket.getsockname()[1]
        linger = bytes(8)
        closed = await check(monitor(port), "127.0.0.1")
        linger = b"\1\0\0\0\0\0\0\0"
        reset = await check(monitor(port), "127.0.0.1")
        nursery.cancel_scope.cancel()
    assert (closed.reason, closed.evidence) == (Reason.CLOSED_EARLY, "response: the server closed the connection")
    assert (reset.reason, reset.evidence) == (Reason.RESET, "response: Connection reset by peer")
    assert closed.certificate_expires is not None
