"""powerdns_api: the HTTP API of PowerDNS, for who has that instead of dynamic updates: PATCH of a zone.

https://doc.powerdns.com/authoritative/http-api/zone.html. The API has no prerequisites: what is there is read just
before it is replaced, so a writer in between is overwritten.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import dns.exception
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import msgspec
import trio
from msgspec import Meta

from monitors.monitor import one_line
from steering.beside.update import Change, Rdatas, Update, UpdateError
from steering.values import FilePath
from steering.wire import name_to_text, type_to_text

TIMEOUT = 10.0
"""Seconds for one request and its response."""
RESPONSE_SIZE = 16 << 20
"""Bytes; versions that cannot select an RRset send the whole zone."""

ApiKey = Annotated[
    str, Meta(pattern=r"^[!-~]{1,1000}\Z", extra={"secret": True}, description="the key as printable ASCII text")
]
ApiUrl = Annotated[
    str,
    Meta(
        pattern=r"^https?://[!-~]+\Z",
        max_length=2000,
        description='the URL of a server in the API, like "http://127.0.0.1:8081/api/v1/servers/localhost"',
    ),
]


class PowerDnsApi(Update, frozen=True, kw_only=True, tag="powerdns_api"):
    """`url` is that of a server in the API; the key, or a file that holds it."""

    url: ApiUrl
    api_key: ApiKey | None = None
    api_key_file: FilePath | None = None

    def problems(self) -> Iterator[tuple[str, str]]:
        """There is one key."""
        if (self.api_key is None) == (self.api_key_file is None):
            yield "api_key", "expected either api_key or api_key_file"

    @property
    def where(self) -> str:
        """The URL without what may be a secret in it."""
        return re.sub(r"//[^/@]*@", "//", self.url).partition("?")[0]


HINTS = {
    401: "; it has another API key",
    404: "; it has no such zone, or the API is not at this URL",
}
"""What a status most likely means."""


class Record(msgspec.Struct, frozen=True):
    """One record in the API."""

    content: str
    disabled: bool = False


class ApiRrset(msgspec.Struct, frozen=True):
    """One RRset in the API."""

    name: str
    type: str
    records: tuple[Record, ...] = ()


class ApiZone(msgspec.Struct, frozen=True):
    """A zone in the API, as far as it matters."""

    rrsets: tuple[ApiRrset, ...] = ()


class ApiTarget:
    """A zone at a PowerDNS."""

    def __init__(self, update: PowerDnsApi) -> None:
        self._update = update
        self._url = f"{update.url.rstrip('/')}/zones/{_path(name_to_text(update.zone))}"

    async def read(self, owner: bytes, rrtype: int) -> Rdatas:
        """Of the whole zone where PowerDNS cannot select."""
        name, kind = name_to_text(owner), type_to_text(rrtype)
        content = await self._request("GET", b"", {"rrset_name": name, "rrset_type": kind})
        try:
            zone = msgspec.json.decode(content, type=ApiZone)
            for rrset in zone.rrsets:
                if rrset.name.lower() == name and rrset.type == kind:
                    texts = [record.content for record in rrset.records if not record.disabled]
                    return tuple(sorted(_parse_untrusted(kind, text) for text in texts))
        except (ValueError, RecursionError, dns.exception.DNSException) as error:
            raise UpdateError(f"its response is no zone: {error}") from error
        return ()

    async def write(self, changes: Sequence[Change]) -> bool:
        """In one request, when all is there as it was."""
        for change in changes:
            if await self.read(change.owner, change.rrtype) != change.before:
                return False
        await self._request("PATCH", render(changes), {})
        return True

    async def _request(self, method: str, content: bytes, parameters: dict[str, str]) -> bytes:
        """The body of the response."""
        # Imported when something is sent, as every process reads settings and one writes.
        import httpx2

        headers = {"X-API-Key": await trio.to_thread.run_sync(_read_key, self._update), "User-Agent": "waypost"}
        body = bytearray()
        try:
            with trio.move_on_after(TIMEOUT) as patience:
                async with (
                    httpx2.AsyncClient(timeout=None, trust_env=False) as client,
                    client.stream(method, self._url, content=content, headers=headers, params=parameters) as response,
                ):
                    async for part in response.aiter_bytes():
                        body += part
                        if len(body) > RESPONSE_SIZE:
                            # Not `raise`: the library would leave its generators open.
                            patience.cancel()
        except (httpx2.InvalidURL, httpx2.HTTPError) as error:
            raise UpdateError(f"{type(error).__name__}: {error}") from error
        if len(body) > RESPONSE_SIZE:
            raise UpdateError(f"its response is longer than {RESPONSE_SIZE >> 20} MiB")
        if patience.cancelled_caught:
            raise UpdateError(f"no response within {TIMEOUT:g} s")
        if not response.is_success:
            said = f"{response.status_code} {one_line(body.decode('utf-8', 'backslashreplace'))}"
            raise UpdateError(said + HINTS.get(response.status_code, ""))
        return bytes(body)


def render(changes: Sequence[Change]) -> bytes:
    """The body of a PATCH."""
    rrsets: list[dict[str, object]] = []
    for change in changes:
        kind = dns.rdatatype.RdataType.make(change.rrtype)
        rrset: dict[str, object] = {"name": name_to_text(change.owner), "type": type_to_text(change.rrtype)}
        if change.after:
            made = (dns.rdata.from_wire(dns.rdataclass.IN, kind, each, 0, len(each)) for each in change.after)
            records = [{"content": rdata.to_text(), "disabled": False} for rdata in made]
            rrset |= {"changetype": "REPLACE", "ttl": change.ttl, "records": records}
        else:
            rrset["changetype"] = "DELETE"
        rrsets.append(rrset)
    return msgspec.json.encode({"rrsets": rrsets})


def _parse_untrusted(kind: str, text: str) -> bytes:
    return dns.rdata.from_text(dns.rdataclass.IN, dns.rdatatype.from_text(kind), text).to_digestable()


def _path(name: str) -> str:
    """A zone's name as its identifier in the API: what is special is =XX."""
    return "".join(each if re.fullmatch(r"[A-Za-z0-9._-]", each) else f"={ord(each):02X}" for each in name)


def _read_key(update: PowerDnsApi) -> str:
    """In a thread: anew for each request, so that a file that was replaced counts."""
    if update.api_key is not None:
        return update.api_key
    try:
        key = Path(update.api_key_file or "").read_text("ascii").strip()
    except OSError as error:
        raise UpdateError(f"{update.api_key_file}: {error.strerror or error}") from error
    except UnicodeDecodeError:
        raise UpdateError(f"{update.api_key_file}: not ASCII text") from None
    if not re.fullmatch(r"[!-~]{1,1000}", key):
        raise UpdateError(f"{update.api_key_file}: no key of printable ASCII text")
    return key
