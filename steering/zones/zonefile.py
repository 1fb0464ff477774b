r"""Zone files (RFC 1035 section 5, with RFC 2308 and RFC 3597) read into records, one after the other.

Rules of this file:

- It streams. Whatever the size of the zone, memory holds one block of text, one record and one bounded
  cache of names.
- Two roads, one result. A record on one line, of a common type and without escapes, is matched by one
  regular expression and encoded here (the *fast road*). Everything else is split into words, and what no
  encoder here takes goes to dnspython. A step of the fast road that is not sure raises, and so steps aside:
  the slow road accepts the record or has the message.
- Every problem is collected (MAX_PROBLEMS at most) and raised at the end. Records around a problem are
  yielded, so a caller keeps nothing of a reading that raised.

Where the RFCs are silent we do as BIND does, but for what is marked (ours):

- A record without a TTL takes `$TTL`, else the last TTL that a record stated, else, if
  it is the SOA, the SOA's MINIMUM, which is then the `$TTL` of what follows; else it is a problem (RFC 1035
  5.1, RFC 2308 4).
- `$TTL` outlives the file that states it; `$ORIGIN` and the last owner end with their file. An included
  file starts without a last owner.
- `$INCLUDE` is relative to the directory of the including file (ours: BIND takes its working directory).
- `$GENERATE start-stop[/step] owner [TTL] [class] type data`: the data may be several words (ours); if it
  is one quoted string, the string's content is the data. At most MAX_GENERATE records each: a /12, the
  largest reverse zone in use. It does not change the last owner.
- Owners outside of the zone are a problem (ours: BIND ignores them with a warning), as are octets that are
  not ASCII outside of quotes (ours): a name like that is written in A-labels (RFC 5890) or with \DDD.
"""

import os
import re
import stat
import struct
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from io import FileIO
from pathlib import Path
from socket import AF_INET6, inet_pton
from typing import Final

import dns.exception
import dns.name
import dns.rdata
import dns.rdatatype
import msgspec

from steering.wire import (
    AAAA,
    CNAME,
    DNAME,
    DS,
    MX,
    NS,
    SOA,
    SRV,
    TXT,
    A,
    is_below,
    is_meta_type,
    name_to_text,
    type_to_text,
)

MAX_PROBLEMS: Final = 100
MAX_DEPTH: Final = 16  # files open at once: a zone file and the includes inside includes
MAX_FILES: Final = 10_000  # files opened by one reading: includes that include twice grow like 2**depth
MAX_GENERATE: Final = 1 << 20
MAX_RECORD_TEXT: Final = 1 << 19  # octets: the largest rdata with every octet written as \DDD, and its layout
MAX_TTL: Final = 2**31 - 1  # RFC 2181 section 8

Record = tuple[bytes, int, int, bytes]
"""Owner (wire, lower case), type, TTL in seconds, rdata (wire, uncompressed, names in it as written)."""


class ZoneProblem(msgspec.Struct, frozen=True):
    """One thing wrong in a zone file. Line 0 means the file as a whole; text is the line, shortened."""

    file: str
    line: int
    message: str
    text: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.message}" + (f": {self.text}" if self.text else "")


class ZoneFileError(Exception):
    """A zone file that cannot be used, with every problem found (at MAX_PROBLEMS reading stops)."""

    def __init__(self, problems: tuple[ZoneProblem, ...]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


class FileRead(msgspec.Struct, frozen=True):
    """A file as it was when it was read: equal values mean that nobody has written or replaced it since."""

    path: str
    size: int
    mtime_ns: int
    inode: int

    def is_current(self) -> bool:
        """Whether the file is still this one; False if it is gone."""
        try:
            return _file_read(self.path, Path(self.path).stat()) == self
        except OSError:
            return False


def read_zone(path: Path, origin: bytes) -> "ZoneReader":
    """The records of the zone `origin` (wire) in the zone file `path`, in the order of the file.

    Iterate over it once. It raises ZoneFileError, and nothing else, at the end or after MAX_PROBLEMS.
    """
    return ZoneReader(path, origin)


def merge_records(records: Iterable[Record]) -> dict[int, tuple[int, list[bytes]]]:
    """The RRsets of one owner: type → (TTL, rdata in order of appearance).

    The smallest TTL counts for all (RFC 2181 5.2). Records that differ only in the case of a name in their
    rdata are one record; the first stays. RRSIGs count as one RRset here, whose TTL says nothing: each has that of
    what it covers.
    """
    rrsets: dict[int, tuple[int, list[bytes]]] = {}
    seen: set[tuple[int, bytes]] = set()
    for _, type_, ttl, rdata in records:
        if type_ not in rrsets:
            rrsets[type_] = ttl, [rdata]
            continue
        least, rdatas = rrsets[type_]
        if len(rdatas) == 1:
            seen.add(record_identity(type_, rdatas[0]))
        identity = record_identity(type_, rdata)
        if identity not in seen:
            seen.add(identity)
            rdatas.append(rdata)
        rrsets[type_] = min(least, ttl), rdatas
    return rrsets


def record_identity(type_: int, rdata: bytes) -> tuple[int, bytes]:
    """Equal for records that differ only in the case of names in their rdata."""
    start = _NAMES_START.get(type_)
    return type_, rdata if start is None else rdata[:start] + rdata[start:].lower()


def check_owner(owner: bytes, is_apex: bool, rrsets: Mapping[int, tuple[int, Sequence[bytes]]]) -> list[str]:
    """What makes these RRsets (as of `merge_records`) at this owner impossible to serve; empty if nothing.

    An apex has one SOA and at least one NS, nothing else has a SOA; a CNAME stands alone but for DNSSEC's own
    records (RFC 2181 10.1, RFC 4034) and, like DNAME, is one record (RFC 6672 2.4). Call it for the apex even
    when that has no records. An RRset with an empty list of rdata is there all the same.
    """
    count = {type_: len(rdatas) for type_, (_, rdatas) in rrsets.items()}
    problems = []
    if is_apex and SOA not in count:
        problems.append("there is no SOA record at the apex of the zone")
    if is_apex and NS not in count:
        problems.append("there is no NS record at the apex of the zone")
    if not is_apex and SOA in count:
        problems.append("a SOA record belongs at the apex of the zone only")
    problems += [
        f"{count[type_]} different {type_to_text(type_)} records where one is allowed"
        for type_ in (SOA, CNAME, DNAME)
        if count.get(type_, 0) > 1
    ]
    if CNAME in count and (others := sorted(count.keys() - BESIDE_CNAME)):
        problems.append(f"a CNAME record beside {', '.join(map(type_to_text, others))}")
    return [f"{name_to_text(owner)}: {problem}" for problem in problems]


class ZoneReader:
    """An iterable over the records of one zone file and its includes; see `read_zone`."""

    def __init__(self, path: Path, origin: bytes) -> None:
        self._zone = origin.lower()
        self._default_ttl: int | None = None
        self._stated_ttl: int | None = None
        self._soa: bytes | None = None
        self._problems: list[ZoneProblem] = []
        self._files: dict[str, FileRead] = {}
        self._files_opened = 0
        self._open: list[tuple[int, int]] = []  # device and inode of the file being read and those that include it
        self._path = path  # this and the next four belong to the file being read
        self._line = 0
        self._names = _Names(origin)
        self._owner: bytes | None = None  # None: there is none, or the last one was wrong
        self._owner_text: bytes | None = None  # as which the names of this origin write it
        self._records = self._read_all()

    def __iter__(self) -> Iterator[Record]:
        return self._records

    @property
    def files(self) -> tuple[FileRead, ...]:
        """The zone file and every file that it includes, as far as reading has come."""
        return tuple(self._files.values())

    def _read_all(self) -> Iterator[Record]:
        path = self._path
        try:
            yield from self._read_file(path, self._names)
        except _ProblemError as problem:
            self._report(str(problem).removeprefix(f"{path} "), b"")  # the place has it already
        self._path, self._line = path, 0
        if self._soa is None and not self._problems:
            self._report("there is no SOA record at the apex of the zone", b"")
        if self._problems:
            raise ZoneFileError(tuple(self._problems))

    def _read_file(self, path: Path, names: "_Names") -> Iterator[Record]:
        """The records of one file. _ProblemError: it cannot be opened; everything later is reported here."""
        with _open_regular(path) as file:
            status = os.fstat(file.fileno())
            identity = status.st_dev, status.st_ino
            if identity in self._open:
                raise _ProblemError("the file includes itself")
            if len(self._open) == MAX_DEPTH:
                raise _ProblemError(f"more than {MAX_DEPTH} files include each other")
            if self._files_opened == MAX_FILES:
                raise _ProblemError(f"more than {MAX_FILES} files are included")
            self._files_opened += 1
            read = _file_read(str(path.absolute()), status)
            self._files.setdefault(read.path, read)
            self._open.append(identity)
            outer = self._path, self._line, self._names, self._owner, self._owner_text
            self._path, self._line, self._names, self._owner, self._owner_text = path, 1, names, None, None
            try:
                yield from self._read_text(file)
            except OSError as error:
                self._report(f"cannot be read: {error.strerror}", b"")
            if _file_read(read.path, os.fstat(file.fileno())) != self._files[read.path]:
                self._report("the file was written to while it was read", b"")
            self._path, self._line, self._names, self._owner, self._owner_text = outer
            self._open.pop()

    def _read_text(self, file: FileIO) -> Iterator[Record]:
        """The records of an open file. Whole lines go to `_read_lines`; what that leaves goes again."""
        rest = b""
        while True:
            block = file.read(_BLOCK)
            if self._line == 1 and not rest:
                block = block.removeprefix(b"\xef\xbb\xbf")  # a byte order mark
            if b"\0" in block:
                self._line += rest.count(b"\n") + block.count(b"\n", 0, block.index(b"\0"))
                self._report("not a text file: it contains a zero octet", b"")
                return
            if not block and rest and not rest.endswith(b"\n"):
                block = b"\n"
                at_end = True
            else:
                at_end = not block
            cut = block.rfind(b"\n") + 1
            whole, rest = (rest + block[:cut], block[cut:]) if cut or at_end else (b"", rest + block)
            unfinished = yield from self._read_lines(whole)
            rest = unfinished + rest
            if len(rest) > MAX_RECORD_TEXT:
                self._report(f"a record of more than {MAX_RECORD_TEXT} octets; reading stops here", rest)
                return
            if at_end:
                if rest:
                    self._report("the file ends inside parentheses", rest)
                return

    def _read_lines(self, text: bytes) -> Generator[Record, None, bytes]:
        """The records in whole lines of text. Returns the lines of a last record that goes on after them."""
        position = 0
        while position < len(text):
            names = self._names
            for match in _LINES(text, position):
                owner_text, ttl_text, type_text, rdata_text, other = match.groups()
                if type_text is None:
                    if other is not None:
                        break
                    self._line += 1  # a blank line or a comment
                    continue
                try:
                    type_, encode = _FAST[type_text]
                    rdata = encode(rdata_text, names)
                    if owner_text and owner_text != self._owner_text:
                        name = names[owner_text].lower()
                        if not is_below(name, self._zone):
                            break
                        self._owner, self._owner_text = name, owner_text
                except _ASIDE:
                    break
                if ttl_text:
                    ttl: int | None = int(ttl_text)
                    self._stated_ttl = ttl
                else:
                    ttl = self._stated_ttl if self._default_ttl is None else self._default_ttl
                owner = self._owner
                if owner is None or ttl is None:
                    break
                yield owner, type_, ttl, rdata
                self._line += 1
            else:
                return b""
            position = match.start()
            words, end, problem = _split(text, position)
            if not end:
                return text[position:]
            try:
                if problem:
                    self._owner = self._owner_text = None
                    self._report(problem, text[position:end])
                elif words and text[position] == 0x24:  # $
                    yield from self._obey(words)
                elif words:
                    yield self._parse(words, has_owner=text[position] not in b" \t\r\f\v")
            except _ProblemError as found:
                self._report(str(found), text[position:end])
            self._line += text.count(b"\n", position, end)
            position = end
        return b""

    def _parse(self, words: list[bytes], has_owner: bool) -> Record:
        """A record from its words."""
        if has_owner:
            self._owner = self._owner_text = None
            self._owner = self._inside(words[0])
            self._owner_text = words.pop(0)
        if self._owner is None:
            raise _ProblemError("the line begins with a blank, but no (valid) owner name comes before it")
        ttl, type_, data = _split_data(words)
        return self._complete(self._owner, ttl, type_, self._rdata(type_, data))

    def _inside(self, text: bytes) -> bytes:
        """The owner name that is written so, in lower case."""
        try:
            owner = self._names[text].lower()
        except _ASIDE:
            owner = _read_name(text, self._names.origin).lower()
        if not is_below(owner, self._zone):
            raise _ProblemError("the owner name is outside of the zone")
        return owner

    def _complete(self, owner: bytes, ttl: int | None, type_: int, rdata: bytes) -> Record:
        """A record that states this TTL or none. A SOA must be in its place, and the only one.

        The same SOA again is none: a zone transfer written to a file ends in the SOA that it began with.
        """
        if type_ == SOA:
            if owner != self._zone:
                raise _ProblemError("a SOA record belongs at the apex of the zone only")
            if self._soa not in (None, rdata):
                raise _ProblemError("a second, different SOA record")
            self._soa = rdata
            if ttl is None and self._stated_ttl is None and self._default_ttl is None:
                self._default_ttl = int.from_bytes(rdata[-4:], "big") & MAX_TTL
        if ttl is not None:
            self._stated_ttl = ttl
        elif self._default_ttl is not None:
            ttl = self._default_ttl
        elif self._stated_ttl is not None:
            ttl = self._stated_ttl
        else:
            raise _ProblemError("the record has no TTL, and neither $TTL nor a record before it states one")
        return owner, type_, ttl, rdata

    def _rdata(self, type_: int, text: bytes) -> bytes:
        """The rdata that is written so; text is on one line and without comments."""
        encode = _ENCODERS.get(type_)
        if encode and _PLAIN(text):
            try:
                return encode(text, self._names)
            except _ASIDE:
                pass
        return _rare_rdata(type_, text, self._names.origin)

    def _obey(self, words: list[bytes]) -> Iterator[Record]:
        """A directive, and the records it brings."""
        match words[0].upper(), words[1:]:
            case b"$ORIGIN", [name]:
                self._names = _Names(_read_name(name, self._names.origin))
                self._owner_text = None
            case b"$TTL", [text]:
                self._default_ttl = _read_ttl(text)
            case b"$INCLUDE", [file, *origin] if len(origin) < 2:
                names = _Names(_read_name(origin[0], self._names.origin) if origin else self._names.origin)
                yield from self._read_file(self._path.parent / _read_path(file), names)
            case b"$GENERATE", [span, owner, *rest] if rest:
                yield from self._generate(span, owner, rest)
            case (b"$ORIGIN" | b"$TTL" | b"$INCLUDE" | b"$GENERATE") as directive, _:
                raise _ProblemError(f"{directive.decode()} with the wrong number of words")
            case _:
                raise _ProblemError("unknown directive; there are $ORIGIN, $TTL, $INCLUDE and $GENERATE")

    def _generate(self, span: bytes, owner_text: bytes, words: list[bytes]) -> Iterator[Record]:
        match = _SPAN(span)
        if not match:
            raise _ProblemError("the range of $GENERATE is start-stop or start-stop/step")
        start, stop, step = int(match[1]), int(match[2]), int(match[3] or 1)
        if start > stop or stop > MAX_TTL or not step:
            raise _ProblemError("the range of $GENERATE goes up, in steps of one or more, to 2147483647 at most")
        numbers = range(start, stop + 1, step)
        if len(numbers) > MAX_GENERATE:
            raise _ProblemError(f"$GENERATE of {len(numbers)} records; {MAX_GENERATE} are allowed")
        ttl, type_, data = _split_data(words)
        owner_at = _read_template(owner_text)
        data_at = _read_template(_unquote(data))
        for number in numbers:
            rdata = self._rdata(type_, data_at(number))
            yield self._complete(self._inside(owner_at(number)), ttl, type_, rdata)

    def _report(self, message: str, text: bytes) -> None:
        line = text.strip().partition(b"\n")[0][:200].decode("utf-8", "backslashreplace").strip()
        shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)
        shown = shown if len(shown) <= _SHOWN else shown[:_SHOWN] + "…"
        self._problems.append(ZoneProblem(str(self._path), self._line, message, shown))
        if len(self._problems) == MAX_PROBLEMS:
            raise ZoneFileError(tuple(self._problems))


class _ProblemError(Exception):
    """What is wrong with the record or directive at hand; `_report` adds the place."""


class _Names(dict[bytes, bytes]):
    """Names under one origin: text → wire, as written; bounded. ValueError, KeyError: not a plain name."""

    def __init__(self, origin: bytes) -> None:
        super().__init__({b"@": origin, b".": b"\0"})
        self.origin = origin

    def __missing__(self, text: bytes) -> bytes:
        if not _PLAIN_NAME(text):
            raise ValueError
        labels = text.split(b".")
        end = self.origin
        if not labels[-1]:
            labels.pop()
            end = b"\0"
        wire = b"".join([_LABEL[len(label)] + label for label in labels]) + end
        if len(wire) > 255:
            raise ValueError
        if len(self) == _NAMES_KEPT:
            self.clear()
            self.update({b"@": self.origin, b".": b"\0"})
        self[text] = wire
        return wire


def _encode_a(text: bytes, _: _Names) -> bytes:
    a, b, c, d = text.split(b".")
    return _OCTET[a] + _OCTET[b] + _OCTET[c] + _OCTET[d]


def _encode_aaaa(text: bytes, _: _Names) -> bytes:
    return inet_pton(AF_INET6, text.decode())


def _encode_name(text: bytes, names: _Names) -> bytes:
    return names[text]


def _encode_mx(text: bytes, names: _Names) -> bytes:
    preference, exchange = text.split()
    return _uint16(preference) + names[exchange]


def _encode_srv(text: bytes, names: _Names) -> bytes:
    priority, weight, port, target = text.split()
    return _uint16(priority) + _uint16(weight) + _uint16(port) + names[target]


def _encode_txt(text: bytes, _: _Names) -> bytes:
    rdata = b"".join([_STRING[len(string)] + string for string in (a or b for a, b in _STRINGS(text))])
    if len(rdata) > 65535:
        raise ValueError
    return rdata


def _encode_caa(text: bytes, _: _Names) -> bytes:  # RFC 8659 section 4.1
    flags, tag, *strings = text.split(None, 2)
    value: bytes
    [value] = [a or b for a, b in _STRINGS(strings[0])]
    if not flags.isdigit() or not tag.isalnum() or len(value) > 65000:
        raise ValueError
    return bytes((int(flags), len(tag))) + tag + value


def _encode_ds(text: bytes, _: _Names) -> bytes:  # RFC 4034 section 5.1
    tag, algorithm, digest_type, *digest = text.split()
    if not (algorithm + digest_type).isdigit():
        raise ValueError
    wire = bytes.fromhex(b"".join(digest).decode())
    if len(wire) != _DIGEST_LENGTH[int(digest_type)]:
        raise ValueError
    return _uint16(tag) + bytes((int(algorithm), int(digest_type))) + wire


def _uint16(text: bytes) -> bytes:
    if not text.isdigit() or len(text) > 5:
        raise ValueError
    number = int(text)
    return bytes((number >> 8, number & 255))  # ValueError past 65535


def _rare_rdata(type_: int, text: bytes, origin: bytes) -> bytes:
    """The rdata of any type, by dnspython. It is given ASCII: others it would convert as in IDNs."""
    if type_ != TXT and not _QUOTED_STRING.sub(b"", text).isascii():
        raise _ProblemError(_NOT_ASCII)
    ascii_text = _UNPRINTABLE(lambda match: match[1] or b"\\%03d" % match[2][0], text).decode()
    try:
        name = dns.name.from_wire(origin, 0)[0]
        wire = dns.rdata.from_text("IN", type_to_text(type_), ascii_text, name, relativize=False).to_wire()
    except (dns.exception.DNSException, ValueError, struct.error) as error:
        shape = f", which is {_SHAPES[type_]}" if type_ in _SHAPES else ""
        raise _ProblemError(f"not the data of a record of type {type_to_text(type_)}{shape} ({error})") from None
    if wire is None or len(wire) > 65535:
        raise _ProblemError("the data of the record is longer than 65535 octets")
    return wire


def _split_data(words: list[bytes]) -> tuple[int | None, int, bytes]:
    """TTL (None if not stated), type and data of the words that follow an owner name."""
    ttl = None
    has_class = False
    for place, word in enumerate(words, 1):
        if ttl is None and word[:1].isdigit():
            ttl = _read_ttl(word)
        elif not has_class and (name := word.upper()) in (b"IN", b"CLASS1"):
            has_class = True
        elif not has_class and _OTHER_CLASS(name):
            raise _ProblemError("a record of another class than IN")
        else:
            return ttl, _read_type(word), b" ".join(words[place:])
    raise _ProblemError("the record has no type")


def _read_type(text: bytes) -> int:
    try:
        type_ = int(dns.rdatatype.from_text(text.decode("ascii")))
    except (dns.exception.DNSException, ValueError):
        raise _ProblemError("unknown record type (one without a name is written as TYPE and its number)") from None
    if is_meta_type(type_):
        raise _ProblemError("a type that exists in messages only, not in zones")
    return type_


def _read_ttl(text: bytes) -> int:
    """Seconds of "3600", or of "1h30m" as BIND writes it."""
    if not _TTL(text):
        raise _ProblemError("a TTL is a number of seconds, or like 1w2d3h4m5s")
    ttl = int(text) if text.isdigit() else sum(int(n) * _UNITS[unit] for n, unit in _TTL_PARTS(text.lower()))
    if ttl > MAX_TTL:
        raise _ProblemError(f"a TTL over {MAX_TTL} seconds")
    return ttl


def _read_name(text: bytes, origin: bytes) -> bytes:
    """The name (wire, as written) of text with any escapes: RFC 1035 section 5.1."""
    if text == b"@":
        return origin
    if text == b".":
        return b"\0"
    if len(text) > 4 * 255:  # every octet as \DDD
        raise _ProblemError(_LONG_NAME)
    labels = [b""]
    for match in _NAME_PARTS(text):
        plain, dot, decimal, escaped = match.groups()
        if plain or escaped:
            labels[-1] += plain or escaped
        elif dot:
            if not labels[-1]:
                raise _ProblemError("a name with an empty label")
            labels.append(b"")
        elif decimal and int(decimal) < 256:
            labels[-1] += bytes((int(decimal),))
        elif match[0].isascii():
            raise _ProblemError("a name with a quote, a control character or a wrong escape")
        else:
            raise _ProblemError(_NOT_ASCII)
    end = origin
    if not labels[-1]:
        labels.pop()
        end = b"\0"
    if max(map(len, labels)) > 63:
        raise _ProblemError("a name with a label over 63 octets")
    wire = b"".join(_LABEL[len(label)] + label for label in labels) + end
    if len(wire) > 255:
        raise _ProblemError(_LONG_NAME)
    return wire


def _read_template(text: bytes) -> Callable[[int], bytes]:
    """The function that puts a number into a text of $GENERATE: `$`, `${offset,width,base}`, `$$`, `\\$`."""
    parts: list[bytes | tuple[int, int, str]] = []
    for literal, dollar, modifier in _TEMPLATE_PARTS(text):
        if literal:
            parts.append(literal)
        elif dollar:
            parts.append(b"$")
        elif not modifier:
            parts.append((0, 0, "d"))
        else:
            match = _MODIFIER(modifier)
            if not match or int(match[2] or 0) > 127:  # BIND's bound, half of a name
                raise _ProblemError(
                    "$GENERATE knows ${offset}, ${offset,width} and ${offset,width,base}, base of doxXnN"
                )
            parts.append((int(match[1]), int(match[2] or 0), (match[3] or b"d").decode()))
    return lambda number: b"".join(
        [part if isinstance(part, bytes) else _format_number(number + part[0], *part[1:]) for part in parts]
    )


def _format_number(number: int, width: int, base: str) -> bytes:
    if base == "d":
        return b"%0*d" % (width, number)
    if number < 0:
        raise _ProblemError(f"$GENERATE cannot write {number} in base {base}")
    if base not in "nN":
        return format(number, f"0{width}{base}").encode()
    # Nibbles in reverse order. The width counts the dots as well, even one at the end.
    nibbles = format(number, "x" if base == "n" else "X")[::-1]
    end = "." if width and width % 2 == 0 and width // 2 >= len(nibbles) else ""
    return (".".join(nibbles.ljust((width + 1) // 2, "0")) + end).encode()


def _split(text: bytes, position: int) -> tuple[list[bytes], int, str]:
    """The words of the record at position, where the next one begins (0: not in this text), what is wrong."""
    words: list[bytes] = []
    depth = 0
    for match in _ITEMS(text, position):
        word, mark = match.groups()
        if word:
            words.append(word)
        elif mark == b"\n":
            if not depth:
                return words, match.end(), ""
        elif mark == b"(":
            depth += 1
        elif mark == b")" and depth:
            depth -= 1
        elif mark:
            problem = _MARK_PROBLEMS[mark]
            return [], text.index(b"\n", match.start()) + 1, problem
    return [], 0, ""


def _unquote(text: bytes) -> bytes:
    """The content if the text is one quoted string, else the text."""
    match = _QUOTED(text)
    return match[1].replace(b'\\"', b'"') if match else text


def _read_path(text: bytes) -> str:
    path = _unquote(text).decode("utf-8", "replace")
    if not path.isprintable() or "\ufffd" in path:
        raise _ProblemError("a file name that is not UTF-8 or not printable")
    return path


def _open_regular(path: Path) -> FileIO:
    """The file, if it is one: a pipe or a device could keep the reader waiting, or never end."""
    try:
        file = FileIO(path, opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK))
    except OSError as error:
        raise _ProblemError(f"{path} cannot be opened: {error.strerror}") from None
    except ValueError as error:
        raise _ProblemError(f"the file cannot be opened: {error}") from None
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise _ProblemError(f"{path} is not a regular file")
    return file


def _file_read(path: str, status: os.stat_result) -> FileRead:
    return FileRead(path, status.st_size, status.st_mtime_ns, status.st_ino)


_PTR: Final = 12
_CAA: Final = 257
BESIDE_CNAME = {CNAME, 24, 25, 30, 46, 47}  # SIG, KEY, NXT, RRSIG, NSEC
_NAMES_START = {NS: 0, CNAME: 0, _PTR: 0, MX: 2, 18: 2, SRV: 6, 36: 2, DNAME: 0}  # 18 AFSDB, 36 KX
"""Types whose rdata is a name from this octet on: the case of its letters makes no other record."""

_Encoder = Callable[[bytes, _Names], bytes]
"""Rdata text of plain words → wire. Raises one of _ASIDE when not sure."""

_ENCODERS: dict[int, _Encoder] = {
    A: _encode_a,
    NS: _encode_name,
    CNAME: _encode_name,
    _PTR: _encode_name,
    MX: _encode_mx,
    TXT: _encode_txt,
    AAAA: _encode_aaaa,
    SRV: _encode_srv,
    DNAME: _encode_name,
    DS: _encode_ds,
    _CAA: _encode_caa,
}
_FAST = {
    text: (type_, encode)
    for type_, encode in _ENCODERS.items()
    for text in (type_to_text(type_).encode(), type_to_text(type_).lower().encode())
}
_ASIDE = (LookupError, ValueError, OSError)

_BLOCK = 1 << 17
_NAMES_KEPT = 1 << 14
_SHOWN = 80
_NOT_ASCII = "octets that are not ASCII outside of quotes (a name is written in A-labels: xn--…)"
_LONG_NAME = "a name over 255 octets"
_SHAPES = {
    A: "an IPv4 address",
    NS: "a name",
    CNAME: "a name",
    SOA: "two names and five numbers",
    _PTR: "a name",
    MX: "a preference and a name",
    TXT: "strings of 255 octets at most",
    AAAA: "an IPv6 address",
    SRV: "priority, weight, port and a name",
    DNAME: "a name",
}
_MARK_PROBLEMS = {
    b")": "a closing parenthesis without an opening one",
    b'"': "a quoted string that does not end on its line",
    b"\\": "a backslash at the end of the line",
}
_LABEL = {length: bytes((length,)) for length in range(1, 64)}
_STRING = [bytes((length,)) for length in range(256)]
_OCTET = {b"%d" % octet: bytes((octet,)) for octet in range(256)}
_DIGEST_LENGTH = {1: 20, 2: 32, 4: 48}
_UNITS = {b"s": 1, b"m": 60, b"h": 3600, b"d": 86400, b"w": 604800}

_CHARACTERS = rb"[!#-'*-:<-\[\]-~]++"  # printable but for " ( ) ; and the backslash
_WORD = rb"(?:" + _CHARACTERS + rb'|"[^"\\\n]*+")'
_WORDS = _WORD + rb"(?:[ \t]++" + _WORD + rb")*"  # not possessive: Python 3.11.2 loses its place there
_PLAIN_NAME = re.compile(_CHARACTERS).fullmatch
_PLAIN = re.compile(_WORDS).fullmatch
_LINES = re.compile(
    rb"(@|[-\w.*/]*+)[ \t]++"
    rb"(?:(\d{1,9})[ \t]++)?+(?:[Ii][Nn][ \t]++)?+([A-Za-z]++)[ \t]++"
    rb"(" + _WORDS + rb")[ \t\r]*+(?:;[^\n]*+)?+\n"  # owner, TTL, type, data
    rb"|[ \t\r]*+(?:;[^\n]*+)?+\n"
    rb"|([^\n]*+\n)"  # anything else
).finditer
_ITEMS = re.compile(
    rb'((?:[^\s;"()\\]++|\\[^\n]|"(?:[^"\\\n]++|\\[^\n])*+")++)|([\n()"\\])|[ \t\r\f\v]++|;[^\n]*+'
).finditer
_STRINGS = re.compile(rb'"([^"]*+)"|([^\s"]++)').findall
_QUOTED_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_QUOTED = re.compile(rb'"((?:[^"\\]++|\\.)*+)"', re.DOTALL).fullmatch
_NAME_PARTS = re.compile(
    rb"(" + _CHARACTERS.replace(rb"*-:", rb"*-\-/-:") + rb")|(\.)|\\(\d{3})|\\([!-/:-~ ])|.", re.DOTALL
).finditer
_UNPRINTABLE = re.compile(rb"(\\[ -~])|\\?([^ -~\t])", re.DOTALL).sub
_OTHER_CLASS = re.compile(rb"CH|HS|CS|CLASS\d+").fullmatch
_TTL = re.compile(rb"\d{1,10}|(?:\d{1,10}[smhdw])+", re.IGNORECASE).fullmatch
_TTL_PARTS = re.compile(rb"(\d+)(.)").findall
_SPAN = re.compile(rb"(\d{1,10})-(\d{1,10})(?:/(\d{1,10}))?").fullmatch
_TEMPLATE_PARTS = re.compile(rb"([^\\$]++|\\.|\\)|(\$\$)|\$(\{[^}]*+\}?)?", re.DOTALL).findall
_MODIFIER = re.compile(rb"\{([+-]?\d{1,10})(?:,(\d{1,3})(?:,([doxXnN]))?)?\}").fullmatch
