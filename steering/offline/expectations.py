"""Expectations: who must get what, as a table that people write, and whether replies keep to it. Pure.

A table is TOML, `[[expect]]`, or CSV with the same words as columns; in CSV a list is separated by ";" and a share is
`pool=0.75;other=0.25`. Records are zone-file text; "pool:NAME" stands for every record of a pool of the configuration.
"""

import csv
import io
import tomllib
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import dns.exception
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import msgspec
from msgspec import Meta, field

from monitors.address import Address
from steering.problems import Key, Problem, SettingsError, locate_problems
from steering.reading import Document, read_document
from steering.values import Country, Network, Region, Subdivision

POOL = "pool:"
RECORDS = ("must_get", "must_not_get")
LISTS = (*RECORDS, "down")
NUMBERS = ("asn", "tolerance", "scope_at_least", "ttl_at_most", "samples")


def parse_question_name(text: str) -> str:
    """A DNS name, taken as absolute with or without its last dot; raises ValueError."""
    try:
        return dns.name.from_text(text).to_text()
    except (dns.exception.DNSException, UnicodeError) as error:
        raise ValueError(f"not a DNS name: {error}") from None


def parse_question_type(text: str) -> str:
    """The name of a record type that can be asked for; raises ValueError."""
    try:
        number = dns.rdatatype.from_text(text)
    except (dns.exception.DNSException, ValueError) as error:
        raise ValueError("no such record type") from error
    if dns.rdatatype.is_metatype(number):
        raise ValueError("not the type of a record")
    return dns.rdatatype.to_text(number)


def parse_rcode(text: str) -> str:
    """The name of a response code (RFC 6895 section 2.3); raises ValueError."""
    try:
        return dns.rcode.to_text(dns.rcode.from_text(text))
    except dns.exception.DNSException:
        raise ValueError("no such response code; expected one like NOERROR, NXDOMAIN, REFUSED") from None


class Expectation(msgspec.Struct, frozen=True):
    """[[expect]]: a client, a question, and what the replies must be."""

    name: Annotated[str, Meta(extra={"parse": parse_question_name}, description="a DNS name")]
    type: Annotated[str, Meta(extra={"parse": parse_question_type}, description="a record type")] = "A"
    note: str = ""
    client: Address | None = field(name="from", default=None)
    """An address as source and, unless `subnet` is given, as client subnet."""
    subnet: Network | None = None
    resolver: Address | None = None
    country: Country | None = None
    subdivision: Subdivision | None = None
    region: Region | None = None
    asn: Annotated[int, Meta(ge=0, le=2**32 - 1)] | None = None
    must_get: tuple[str, ...] = ()
    """Each answer has records, and all of them are among these."""
    complete: bool = False
    """Whether each answer must have all of `must_get`."""
    must_not_get: tuple[str, ...] = ()
    share: dict[str, Annotated[float, Meta(ge=0, le=1)]] = {}
    """The part of the answers with that record, or with one of that pool."""
    tolerance: Annotated[float, Meta(ge=0, le=1)] = 0.05
    """How far a share may be off."""
    scope_at_least: Annotated[int, Meta(ge=0, le=128)] | None = None
    ttl_at_most: Annotated[int, Meta(ge=0)] | None = None
    rcode: Annotated[str, Meta(extra={"parse": parse_rcode}, description="a response code")] = "NOERROR"
    down: tuple[str, ...] = ()
    """Origins, pools, or pool/origin, that are down; only without a server."""
    samples: Annotated[int, Meta(ge=1, le=100_000)] | None = None
    """How often to ask."""


class Expectations(msgspec.Struct, frozen=True):
    """A whole table."""

    expect: tuple[Expectation, ...] = ()


class Listed(msgspec.Struct, frozen=True):
    """An expectation and where it is written."""

    expectation: Expectation
    file: str
    line: int


class Reply(msgspec.Struct, frozen=True):
    """What came back for one question."""

    rcode: str
    records: tuple[str, ...]
    """Those of the type asked for, or else the CNAME: rdata as text."""
    ttl: int | None
    """The lowest of the answer section."""
    scope: int | None
    """The scope prefix length (RFC 7871); None without the option."""


class Outcome(msgspec.Struct, frozen=True):
    """What became of an expectation; kept if there are no differences."""

    listed: Listed
    differences: tuple[str, ...]
    got: tuple[str, ...]
    """Each distinct answer and how often it came."""
    why: tuple[str, ...] = ()
    """Where the reasons of the answer are known."""


def read_expectations(file: Path) -> tuple[Listed, ...]:
    """The table in a file, by its suffix .toml or .csv; raises SettingsError with every problem."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise SettingsError((Problem(str(file), 0, "", "", "", f"cannot be read: {reason}"),)) from None
    return parse_csv(text, file) if file.suffix == ".csv" else parse_toml(text, file)


def parse_toml(text: str, file: Path) -> tuple[Listed, ...]:
    """The table in TOML text; raises SettingsError."""
    try:
        content: dict[str, object] = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise SettingsError((Problem(str(file), 0, "", "", "", f"not TOML: {error}"),)) from None
    document = Document(file, content)
    read = _read_table(document)
    if read is None:
        raise SettingsError(locate_problems(file, text, content, document.problems))
    places = locate_problems(file, text, content, ((("expect", number), "") for number in range(len(read.expect))))
    return tuple(Listed(each, str(file), place.line) for each, place in zip(read.expect, places, strict=True))


def parse_csv(text: str, file: Path) -> tuple[Listed, ...]:
    """The table in CSV text, whose first line names the columns; raises SettingsError."""
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True, restkey="", restval="")
    rows, lines = [], []
    try:
        for row in reader:
            if "" in row:
                message = "more cells than columns"
                raise SettingsError((Problem(str(file), reader.line_num, "", "", "", message),))
            rows.append({name: _from_cell(name, cell.strip()) for name, cell in row.items() if cell.strip()})
            lines.append(reader.line_num)
    except csv.Error as error:
        raise SettingsError((Problem(str(file), reader.line_num, "", "", "", f"not CSV: {error}"),)) from None
    content: dict[str, object] = {"expect": rows}
    document = Document(file, content)
    read = _read_table(document)
    if read is None:
        found = []
        for key, message in document.problems:
            line = lines[key[1]] if len(key) > 1 and isinstance(key[1], int) else 1
            found.append(Problem(str(file), line, str(key[2]) if len(key) > 2 else "", "", "", message))
        raise SettingsError(tuple(found))
    return tuple(Listed(each, str(file), line) for each, line in zip(read.expect, lines, strict=True))


def _read_table(document: Document) -> Expectations | None:
    """The table, or None; the document has the problems."""
    read = read_document(Expectations, document)
    document.problems += [problem for key, each in document.all(Expectation) for problem in _contradictions(key, each)]
    return None if document.problems else read


def _from_cell(name: str, cell: str) -> object:
    """A cell as the value that TOML would have."""
    if name in LISTS:
        return [item.strip() for item in cell.split(";")]
    if name == "share":
        pairs = [item.partition("=")[::2] for item in cell.split(";")]
        return {label.strip(): _number(value.strip()) for label, value in pairs}
    if name == "complete":
        return {"true": True, "false": False}.get(cell.lower(), cell)
    return _number(cell) if name in NUMBERS else cell


def _number(text: str) -> object:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _contradictions(key: Key, expectation: Expectation) -> Iterable[tuple[Key, str]]:
    """What an expectation says that cannot be meant together."""
    given = [name for name in ("country", "subdivision", "region", "asn") if getattr(expectation, name) is not None]
    if given and (expectation.client or expectation.subnet):
        yield (*key, given[0]), "a client with an address has the place of that address"
    if expectation.complete and not expectation.must_get:
        yield (*key, "complete"), "only with must_get"
    if expectation.rcode != "NOERROR" and (expectation.must_get or expectation.share):
        yield (*key, "rcode"), "an answer with records has the response code NOERROR"
    for name in RECORDS:
        for position, text in enumerate(getattr(expectation, name)):
            yield from _record_problem((*key, name, position), text, expectation.type)
    for label in expectation.share:
        yield from _record_problem((*key, "share", label), label, expectation.type)


def _record_problem(key: Key, text: str, rrtype: str) -> Iterable[tuple[Key, str]]:
    if not text.startswith(POOL):
        try:
            normalise_record(text, rrtype)
        except ValueError as error:
            yield key, str(error)


def normalise_record(text: str, rrtype: str) -> str:
    """Rdata text in the form in which replies are compared; raises ValueError. A CNAME may answer any type."""
    try:
        return show_rdata(dns.rdata.from_text(dns.rdataclass.IN, rrtype, text, dns.name.root, relativize=False))
    except (dns.exception.DNSException, ValueError) as error:
        try:
            return dns.name.from_text(text).to_text().lower() if text.endswith(".") else _refuse(text, rrtype, error)
        except dns.exception.DNSException:
            return _refuse(text, rrtype, error)


def show_rdata(rdata: dns.rdata.Rdata) -> str:
    """Rdata as text, with its names in lower case (RFC 4034 section 6.2)."""
    wire = rdata.to_digestable()
    return dns.rdata.from_wire(rdata.rdclass, rdata.rdtype, wire, 0, len(wire)).to_text()


def _refuse(text: str, rrtype: str, error: Exception) -> str:
    raise ValueError(f"{text!r} is no {rrtype} record, and no pool like {POOL}NAME: {error}") from error


Pools = Mapping[str, Mapping[str, frozenset[str]]]
"""The records of each pool by the name of their type, as `normalise_record` gives them."""


def find_unknown_pools(listed: Sequence[Listed], pools: Iterable[str]) -> tuple[Problem, ...]:
    """A problem for each pool that an expectation names and the configuration has not."""
    known = set(pools)
    return tuple(
        Problem(each.file, each.line, "", "", "", f"no pool of the configuration is called {name!r}")
        for each in listed
        for text in (*each.expectation.must_get, *each.expectation.must_not_get, *each.expectation.share)
        if text.startswith(POOL) and (name := text.removeprefix(POOL)) not in known
    )


def judge_replies(listed: Listed, replies: Sequence[Reply], pools: Pools, why: tuple[str, ...] = ()) -> Outcome:
    """Whether the replies to one question, at least one, are what is expected."""
    expectation = listed.expectation

    def expand(text: str) -> frozenset[str]:
        if text.startswith(POOL):
            return pools[text.removeprefix(POOL)].get(expectation.type, frozenset())
        return frozenset((normalise_record(text, expectation.type),))

    differences: dict[str, None] = {}
    wanted = [expand(text) for text in expectation.must_get]
    allowed = frozenset().union(*wanted)
    forbidden = frozenset().union(*map(expand, expectation.must_not_get))
    for reply in replies:
        got = frozenset(reply.records)
        if reply.rcode != expectation.rcode:
            differences[f"expected {expectation.rcode}, got {reply.rcode}"] = None
        elif expectation.must_get and not got:
            differences[f"expected {_words(allowed)}, got no records"] = None
        elif expectation.must_get and not got <= allowed:
            differences[f"expected {_words(allowed)}, got {_words(got)}"] = None
        elif expectation.complete and not all(each & got for each in wanted):
            differences[f"expected all of {_words(allowed)}, got {_words(got)}"] = None
        if got & forbidden:
            differences[f"must not get {_words(got & forbidden)}"] = None
        if expectation.scope_at_least is not None and (reply.scope or 0) < expectation.scope_at_least:
            told = "none" if reply.scope is None else f"/{reply.scope}"
            differences[f"expected a scope of at least /{expectation.scope_at_least}, got {told}"] = None
        if expectation.ttl_at_most is not None and (reply.ttl or 0) > expectation.ttl_at_most:
            differences[f"expected a TTL of at most {expectation.ttl_at_most}, got {reply.ttl}"] = None
    for label, share in expectation.share.items():
        records = expand(label)
        seen = sum(not records.isdisjoint(reply.records) for reply in replies) / len(replies)
        if abs(seen - share) > expectation.tolerance:
            allowance = f"{share:.1%} ± {expectation.tolerance:.1%}"
            differences[f"expected {label} in {allowance} of the answers, got {seen:.1%} of {len(replies)}"] = None
    count = Counter((reply.rcode, reply.records) for reply in replies)
    answers = tuple(
        f"{' + '.join(records) or rcode}" + (f" ({number} of {len(replies)})" if len(count) > 1 else "")
        for (rcode, records), number in count.most_common(10)
    )
    return Outcome(listed, tuple(differences), answers, why)


def _words(records: frozenset[str]) -> str:
    return " or ".join(sorted(records)) or "nothing"


def describe_client(expectation: Expectation) -> str:
    """Who asks, in words."""
    parts = [
        expectation.client,
        f"subnet {expectation.subnet}" if expectation.subnet else None,
        f"resolver {expectation.resolver}" if expectation.resolver else None,
        expectation.subdivision or expectation.country,
        expectation.region,
        f"AS{expectation.asn}" if expectation.asn is not None else None,
    ]
    return ", ".join(part for part in parts if part) or "anybody"


def render_junit(outcomes: Sequence[Outcome]) -> str:
    """The outcomes as JUnit XML, which CI systems read: one test suite for each file."""
    suites = ET.Element("testsuites")
    by_file: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        by_file.setdefault(outcome.listed.file, []).append(outcome)
    for file, members in by_file.items():
        failures = sum(bool(outcome.differences) for outcome in members)
        suite = ET.SubElement(suites, "testsuite", name=file, tests=str(len(members)), failures=str(failures))
        for outcome in members:
            expectation, line = outcome.listed.expectation, outcome.listed.line
            name = f"{expectation.name} {expectation.type} for {describe_client(expectation)}"
            case = ET.SubElement(
                suite, "testcase", classname=file, name=f"{name} (line {line})", file=file, line=str(line)
            )
            if outcome.differences:
                failure = ET.SubElement(case, "failure", message=outcome.differences[0])
                failure.text = "\n".join(
                    (*outcome.differences, *(f"got: {each}" for each in outcome.got), *outcome.why)
                )
    ET.indent(suites)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(suites, encoding="unicode") + "\n"
