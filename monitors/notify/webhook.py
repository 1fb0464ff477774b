"""TRIO: webhook: one POST for each message, of our own JSON or of what Slack and its likes take.

Redirects are not followed, and no proxy or password is taken from the environment. An answer of 2xx is success; one
that blames the message (400, 413, 422) is a refusal; with every other the message is tried again. URLs carry secrets:
none gets into an error or a log.
"""

import logging
import re
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import trio
from msgspec import Meta, field

from monitors.failure import explain
from monitors.notify.event import Message, label
from monitors.notify.notifier import DeliveryError, FileName, Notifier
from monitors.notify.wording import describe, footnotes, time_in_words, title
from monitors.tls import make_context
from monitors.tools import Tools

URL = r"^https?://[!-~]+\Z"
Url = Annotated[str, Meta(pattern=URL, max_length=2000, extra={"secret": True}, description="a URL of http or https")]
HeaderName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9-]+\Z", max_length=100)]
HeaderValue = Annotated[str, Meta(pattern=r"^[!-~]([ -~]*[!-~])?\Z", max_length=2000)]

BLAMING_THE_MESSAGE = (400, 413, 422)
LINES_IN_SLACK = 20
ANSWER_BYTES, ANSWER_SECONDS = 200, 2.0
"""As much of an answer is read, for so long, to be told."""
RED, GREEN = "#b3261e", "#2e7d32"

# Its log has a line with the URL for every request.
logging.getLogger("httpx2").setLevel(logging.WARNING)


class WebhookNotifier(Notifier, frozen=True, kw_only=True, tag="webhook"):
    """`url`, or a file that holds it. `format` "slack" is understood by Slack, Mattermost, Rocket.Chat and Discord
    (with /slack behind its URL)."""

    url: Url | None = None
    url_file: FileName | None = None
    format: Literal["json", "slack"] = "json"
    headers: Annotated[dict[HeaderName, HeaderValue], Meta(extra={"secret": True})] = field(default_factory=dict)
    proxy: Url | None = None
    ca_file: FileName | None = None
    """Certificates to trust instead of the system's."""
    allow_insecure: bool = False
    """Whether any certificate will do."""

    def problems(self) -> Iterator[tuple[str, str]]:
        if (self.url is None) == (self.url_file is None):
            yield "url", "expected either url or url_file"


def render(message: Message, notifier: WebhookNotifier) -> bytes:
    """The body of the request, JSON."""
    return _render_slack(message) if notifier.format == "slack" else _render_json(message)


async def deliver(notifier: WebhookNotifier, message: Message, _tools: Tools) -> None:
    """Post one message. DeliveryError if it was not taken."""
    # Imported when something is sent, as every process reads settings and one delivers.
    import httpx2

    url, context = await trio.to_thread.run_sync(_read_files, notifier)
    headers = httpx2.Headers(
        {
            "Content-Type": "application/json",
            "User-Agent": "waypost",
            "Accept-Encoding": "identity",
            "Idempotency-Key": message.identifier,
        }
    )
    headers.update(notifier.headers)
    try:
        async with (
            httpx2.AsyncClient(verify=context, proxy=notifier.proxy, timeout=None, trust_env=False) as client,
            client.stream("POST", url, content=render(message, notifier), headers=headers) as response,
        ):
            if response.is_success:
                return
            answer = b""
            with trio.move_on_after(ANSWER_SECONDS) as patience:
                async for part in response.aiter_raw():
                    answer += part[:ANSWER_BYTES]
                    if len(answer) >= ANSWER_BYTES:
                        # Not `break`: the library would leave its generators open.
                        patience.cancel()
    except httpx2.InvalidURL:
        raise DeliveryError("the URL is not one") from None
    except httpx2.HTTPError as error:
        raise DeliveryError(_explain_untrusted(error)) from error
    retry_after = response.headers.get("Retry-After", "")
    raise DeliveryError(
        f"{response.status_code} {answer[:ANSWER_BYTES].decode('utf-8', 'backslashreplace')}",
        refused=response.status_code in BLAMING_THE_MESSAGE,
        # The other form is a date, by a clock that need not be right.
        retry_after=float(retry_after) if retry_after.isascii() and retry_after.isdigit() else 0.0,
    )


def _read_files(notifier: WebhookNotifier) -> tuple[str, ssl.SSLContext]:
    """In a thread: anew for each attempt, so that a file that was replaced counts."""
    try:
        url = notifier.url or Path(notifier.url_file or "").read_text("utf-8").strip()
        if not re.match(URL, url):
            raise DeliveryError(f"{notifier.url_file}: no URL of http or https")
        context = make_context(notifier.allow_insecure, notifier.ca_file)
    except UnicodeDecodeError as error:
        raise DeliveryError(f"{notifier.url_file}: not UTF-8 text") from error
    except OSError as error:
        raise DeliveryError(f"{error.filename or notifier.ca_file}: {error.strerror or error}") from error
    return url, context


def _explain_untrusted(error: BaseException) -> str:
    """The system's words for what is behind an error of the library, or the library's."""
    cause: BaseException | None = error
    while cause is not None:
        while isinstance(cause, BaseExceptionGroup):
            cause = cause.exceptions[0]
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"certificate: {cause.verify_message}"
        if isinstance(cause, OSError) and cause.errno:
            return explain(cause).evidence
        cause = cause.__cause__ or cause.__context__
    return f"{type(error).__name__}: {error}"


def _render_json(message: Message) -> bytes:
    """Every field of Message and Event under its name, with `title` and the `label` of each event in words."""
    return msgspec.json.encode(
        {
            "version": 1,
            "id": message.identifier,
            "notifier": message.notifier,
            "made": message.made,
            "title": title(message),
            "events": [{"label": label(event), **msgspec.structs.asdict(event)} for event in message.events],
            "omitted": message.omitted,
            "dropped": message.dropped,
            "given_up": message.given_up,
        }
    )


def _render_slack(message: Message) -> bytes:
    """A text and one attachment with a coloured edge: what every product that is compatible understands."""
    lines = []
    for event in message.events[:LINES_IN_SLACK]:
        said, seen = describe(event)
        lines.append(_plain(said) + (f": {_quoted(seen)}" if seen else ""))
    lines += footnotes(message, LINES_IN_SLACK)
    is_good = all(event.up or event.kind in ("resumed", "cleared") for event in message.events)
    attachment = {
        "fallback": _plain(title(message)),
        "color": GREEN if is_good else RED,
        "text": "\n".join(lines),
        "footer": _plain(f"waypost, {time_in_words(message.made)}"),
        "mrkdwn_in": ["text"],
    }
    return msgspec.json.encode({"text": _plain(title(message)), "attachments": [attachment]})


def _plain(text: str) -> str:
    """No link, and no mention: Slack writes those in angle brackets, others take a bare @here for one."""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return text.replace("@", "@\u200b")


def _quoted(text: str) -> str:
    """Shown as it is, in a span of code, which only a back-quote could end."""
    return f"`{_plain(text.replace('`', chr(39)))}`"
