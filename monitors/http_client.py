"""TRIO: the check that the kinds http and https share: requests over HTTP/1.1 (RFC 9112), each on a connection of
its own to the address that is checked.

A response is hostile: h11 bounds its header, and of all that comes back no more than MOST_BYTES is read.
"""

from time import time

import h11
import msgspec
import trio

from monitors.connection import connected, start_tls
from monitors.http_message import HttpFields, Response, first_place, follow_untrusted, header_of, judge
from monitors.monitor import Reason, Result
from monitors.payload import REPLY_BYTES
from monitors.tls import note_certificate
from monitors.tools import Tools, waiting_for

MOST_REDIRECTIONS = 5
MOST_BYTES = 65_536


class BadResponse(Exception):
    """What came back is no response of HTTP, or not the whole of one."""

    def __init__(self, reason: Reason, evidence: str) -> None:
        super().__init__(evidence)
        self.reason = reason


async def check(scheme: str, address: str, port: int, monitor: HttpFields, tools: Tools) -> Result:
    """The Result of one check, redirections included. `rtt` is that of the handshake of TCP, of the last
    connection. OSError or trio.BrokenResourceError if a connection fails."""
    place = first_place(scheme, address, port, monitor)
    for redirections in range(1 + MOST_REDIRECTIONS):
        waiting_for.set("connect")
        async with connected(address, place.port, monitor.source) as (connection, rtt):
            found = Result(True, Reason.OK, rtt=rtt)
            # Not before: thousands may wait for their connection.
            header = header_of(place, monitor, redirections == 0)
            request = h11.Request(method=monitor.method, target=place.path, headers=header)
            try:
                if place.scheme == "https":
                    context, warn_days = tools.tls_context(monitor.allow_insecure), monitor.certificate_warning_days
                    async with await start_tls(connection, place.host, context) as stream:
                        found = note_certificate(found, stream.getpeercert(), warn_days, time())
                        response = await _exchange(stream, request, bool(monitor.expected_body))
                else:
                    response = await _exchange(trio.SocketStream(connection), request, bool(monitor.expected_body))
            except BadResponse as error:
                return msgspec.structs.replace(found, up=False, reason=error.reason, evidence=str(error))
        following = follow_untrusted(response, place, port) if monitor.follow_redirects else None
        if following is None:
            return judge(response, monitor, found)
        place = following
    evidence = f"{response.code} {response.phrase}, to {response.location}, after {MOST_REDIRECTIONS} redirections"
    return msgspec.structs.replace(found, up=False, reason=Reason.BAD_REPLY, evidence=evidence)


async def _exchange(stream: trio.abc.Stream, request: h11.Request, wants_body: bool) -> Response:
    """The response, as far as it is looked at. BadResponse."""
    waiting_for.set("response")
    http = h11.Connection(h11.CLIENT)
    await stream.send_all((http.send(request) or b"") + (http.send(h11.EndOfMessage()) or b""))
    head: h11.Response | None = None
    body, received = b"", 0
    while head is None or (wants_body and len(body) < REPLY_BYTES):
        match _next_event_untrusted(http):
            case h11.Response() as head:
                waiting_for.set("body")
            case h11.Data(data=data):
                body += data
            case h11.EndOfMessage():
                break
            case h11.NEED_DATA if received < MOST_BYTES:
                more = await stream.receive_some(4096)
                received += len(more)
                http.receive_data(bytes(more))
            case h11.NEED_DATA:
                break
    if head is None:
        raise BadResponse(Reason.BAD_REPLY, f"response: none in the first {MOST_BYTES} bytes")
    location = next((value for name, value in head.headers if name == b"location"), b"")
    return Response(head.status_code, head.reason.decode("latin-1"), location.decode("latin-1"), body)


def _next_event_untrusted(http: h11.Connection) -> object:
    """What the server said next. BadResponse."""
    try:
        return http.next_event()
    except h11.RemoteProtocolError as error:
        _, ended = http.trailing_data
        if ended:
            raise BadResponse(Reason.CLOSED_EARLY, "response: the server closed the connection") from None
        raise BadResponse(Reason.BAD_REPLY, f"response: {error}") from None
