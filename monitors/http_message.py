"""What the kinds http and https share: the fields of their monitors, the requests, and the judgement of responses
(RFC 9110). Pure.

The name in the Host header is told to the server and verified in its certificate, and never looked up: requests
go to the address that is checked. So a redirection is followed, if asked for, only where that stays true: to the
same host, at the port of the monitor or the usual one, and never from https to http. Where it leads elsewhere,
the redirection itself is the response that is judged.
"""

import re
from collections.abc import Iterator
from typing import Annotated, Literal, NamedTuple, Self
from urllib.parse import urljoin, urlsplit

import msgspec
from msgspec import Meta

from monitors.address import is_host_name
from monitors.monitor import Port, Reason, Result, Target
from monitors.payload import show
from monitors.tls import TlsMonitor

PATH = r"^/[!-\"$-~]*\Z"
HOST = r"(?:([A-Za-z0-9_.-]{1,253})|\[([0-9A-Fa-f:.]{2,45})\])(?::[0-9]{1,5})?"
OURS = ("connection", "content-length", "expect", "transfer-encoding", "upgrade")
"""Header fields that are not for the user to set, as they say how the messages are framed."""

USUAL_PORTS = {"http": 80, "https": 443}
REDIRECTIONS = (301, 302, 303, 307, 308)


def parse_codes(text: str) -> tuple[tuple[int, int], ...]:
    """Ranges of status codes, both ends included, from "200", "2xx" or "200-299,301"; ValueError."""
    ranges = []
    for part in text.split(","):
        match = re.fullmatch(r"([1-5])xx|([1-5][0-9]{2})(?:-([1-5][0-9]{2}))?", part.strip())
        if match is None:
            raise ValueError('expected status codes, like "200", "2xx" or "200-299,301"')
        hundred, first, last = match.groups()
        low, high = (int(hundred) * 100, int(hundred) * 100 + 99) if hundred else (int(first), int(last or first))
        if low > high:
            raise ValueError(f"nothing lies between {low} and {high}")
        ranges.append((low, high))
    return tuple(ranges)


def parse_header(name: str, value: str) -> tuple[str, str]:
    """A header field of a request; ValueError."""
    if re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name) is None:
        raise ValueError("not the name of a header field")
    if re.fullmatch(r"(?:[!-~](?:[ \t!-~]*[!-~])?)?", value) is None:
        raise ValueError("expected printable ASCII characters, without spaces at the ends")
    if name.lower() in OURS:
        raise ValueError("is set by the check itself")
    return name, parse_host_header(value) if name.lower() == "host" else value


def parse_host_header(value: str) -> str:
    """The Host header of a request; ValueError."""
    if re.fullmatch(HOST, value) is None:
        raise ValueError(f"expected {_HOST_HEADER}")
    return value


_HOST_HEADER = 'a host name, with the port if that is not the usual one, like "www.example.com"'

HostHeader = Annotated[str, Meta(extra={"parse": parse_host_header}, description=_HOST_HEADER)]
Codes = Annotated[
    tuple[tuple[int, int], ...],
    Meta(extra={"parse": parse_codes}, description='status codes, like "200", "2xx" or "200-299,301"'),
]
Headers = Annotated[
    tuple[tuple[str, str], ...],
    Meta(extra={"parse_pair": parse_header, "secret": True}, description="a table of header fields"),
]


class HttpFields(TlsMonitor, frozen=True, kw_only=True):
    """`headers` take the place of our own of the same name; the Host header is that of the target, else of `headers`,
    else the address as it is configured. `expected_body` must be in the first 10 KB of the body, whatever its case;
    empty means that the body is not read."""

    port: Port = 80
    method: Literal["GET", "HEAD", "OPTIONS"] = "GET"
    path: Annotated[str, Meta(pattern=PATH, max_length=2048)] = "/"
    headers: Headers = ()
    expected_codes: Codes = ((200, 200),)
    expected_body: str = ""
    follow_redirects: bool = False

    def problems(self) -> Iterator[tuple[str, str]]:
        if self.method == "HEAD" and self.expected_body:
            yield "expected_body", "the response to HEAD has no body"
        names = [name.lower() for name, _ in self.headers]
        if len(set(names)) < len(names):
            yield "headers", "one of them is there twice: case makes no difference"

    def towards(self, target: Target) -> Self:
        monitor = super().towards(target)
        others = tuple(pair for pair in self.headers if pair[0].lower() != "host")
        host = target.host
        if host is None and is_host_name(target.address) and others == self.headers:
            host = Place(str(self.__struct_config__.tag), target.address, monitor.port, "/").authority
        return monitor if host is None else msgspec.structs.replace(monitor, headers=(("Host", host), *others))


class Place(NamedTuple):
    """Where a request goes, at the address that is checked."""

    scheme: str
    host: str
    """A host name, or an address without brackets."""
    port: int
    path: str

    @property
    def authority(self) -> str:
        """The Host header, and what stands for it in a URL."""
        bracketed = f"[{self.host}]" if ":" in self.host else self.host
        return bracketed if self.port == USUAL_PORTS[self.scheme] else f"{bracketed}:{self.port}"


class Response(NamedTuple):
    """The part of a response that is judged; `body` is its beginning, if it was read."""

    code: int
    phrase: str
    location: str
    body: bytes


def first_place(scheme: str, address: str, port: int, monitor: HttpFields) -> Place:
    """Where the first request goes; the host is that of the Host header, if one is set."""
    for name, value in monitor.headers:
        match = re.fullmatch(HOST, value) if name.lower() == "host" else None
        if match is not None:
            return Place(scheme, match[1] or match[2], port, monitor.path)
    return Place(scheme, address, port, monitor.path)


def header_of(place: Place, monitor: HttpFields, is_first: bool) -> list[tuple[str, str]]:
    """The header of the request. A Host that is set stays as it is written in the first one."""
    fields = {"Host": place.authority, "User-Agent": "waypost", "Accept": "*/*", "Accept-Encoding": "identity"}
    chosen = {name.lower() for name, _ in monitor.headers if is_first or name.lower() != "host"}
    header = [(name, value) for name, value in fields.items() if name.lower() not in chosen]
    header += [(name, value) for name, value in monitor.headers if name.lower() in chosen]
    return [*header, ("Connection", "close")]


def judge(response: Response, monitor: HttpFields, found: Result) -> Result:
    """`found`, which is up so far, by code and body."""
    said = f"{response.code} {response.phrase}" + (f", to {response.location}" if response.location else "")
    if not any(low <= response.code <= high for low, high in monitor.expected_codes):
        return msgspec.structs.replace(found, up=False, reason=Reason.CODE_MISMATCH, evidence=said)
    body = show(response.body)
    if monitor.expected_body.casefold() not in body.casefold():
        evidence = f"{said}: {body}" if body else f"{said}: nothing in the body"
        return msgspec.structs.replace(found, up=False, reason=Reason.BODY_MISMATCH, evidence=evidence)
    return msgspec.structs.replace(found, evidence=said)


def follow_untrusted(response: Response, place: Place, own_port: int) -> Place | None:
    """Where the redirection leads that came from `place`, or None for what is none, or is not to be followed."""
    if response.code not in REDIRECTIONS or not response.location:
        return None
    try:
        url = urlsplit(urljoin(f"{place.scheme}://{place.authority}{place.path}", response.location))
        port = url.port
    except ValueError:
        return None
    if url.scheme not in USUAL_PORTS or (url.scheme, place.scheme) == ("http", "https"):
        return None
    following = Place(
        url.scheme,
        place.host,
        USUAL_PORTS[url.scheme] if port is None else port,
        (url.path or "/") + (f"?{url.query}" if url.query else ""),
    )
    is_here = url.hostname == place.host.lower() and following.port in (own_port, USUAL_PORTS[url.scheme])
    is_path = re.search(PATH, following.path) is not None and len(following.path) <= 2048
    return following if is_here and is_path else None
