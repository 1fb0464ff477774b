"""The zone file reader against BIND's own output, against dnspython, and against any bytes at all."""

import os
import tracemalloc
from collections.abc import Iterable
from pathlib import Path

import dns.name
import dns.rdata
import dns.rdatatype
import dns.zone
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steering.wire import AAAA, CNAME, DNAME, MX, NS, SOA, TXT, A
from steering.zones import zonefile
from steering.zones.zonefile import Record, ZoneFileError, check_owner, merge_records, read_zone

DATA = Path(__file__).parent / "data"
ZONE = b"\x07example\x03com\x00"
ORIGIN = dns.name.from_wire(ZONE, 0)[0]
APEX = "$TTL 3600\n@ SOA ns1 host 1 2 3 4 5\n@ NS ns1\n"
"""Three lines and two records that a zone needs."""


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("zones") / "test.zone"


def write(file: Path, text: str | bytes) -> Path:
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return file


def read(file: Path, text: str | bytes) -> list[Record]:
    return list(read_zone(write(file, text), ZONE))


def read_rest(file: Path, text: str) -> list[Record]:
    """The records of the text, which comes after APEX."""
    return read(file, APEX + text)[2:]


def read_bad(file: Path, text: str | bytes) -> list[str]:
    """The problems of a zone file, without its name: line and message."""
    with pytest.raises(ZoneFileError) as caught:
        read(file, text)
    return [f"{problem.line}: {problem.message}" for problem in caught.value.problems]


def to_wire(value: dns.name.Name | dns.rdata.Rdata) -> bytes:
    wire = value.to_wire()
    assert wire is not None
    return wire


def name(text: str) -> bytes:
    return to_wire(dns.name.from_text(text, ORIGIN))


def to_record(owner: str, ttl: int, type_: str, data: str) -> Record:
    """The record as dnspython encodes it."""
    rdata = dns.rdata.from_text("IN", type_, data, ORIGIN, relativize=False)
    return name(owner).lower(), int(rdata.rdtype), ttl, to_wire(rdata)


def read_by_dnspython(text: str) -> set[Record]:
    zone = dns.zone.from_text(text, ORIGIN, relativize=False, check_origin=False)
    return {
        (to_wire(owner).lower(), int(rdata.rdtype), ttl, to_wire(rdata)) for owner, ttl, rdata in zone.iterate_rdatas()
    }


class TestAgainstPeers:
    def test_everything_as_bind_reads_it(self) -> None:
        expected = [
            to_record(owner, int(ttl), type_, data)
            for owner, ttl, _, type_, data in (
                line.split(" ", 4) for line in (DATA / "complete.expected").read_text().splitlines()
            )
        ]
        assert sorted(read_zone(DATA / "complete.zone", ZONE)) == sorted(expected)

    @pytest.mark.parametrize("ending", ["\n", "\r\n"])
    def test_everything_as_dnspython_reads_it(self, file: Path, ending: str) -> None:
        # dnspython differs in $GENERATE with several words and reads no includes from text.
        lines = (DATA / "complete.zone").read_text().splitlines()
        text = "".join(line + ending for line in lines if not line.startswith(("$GENERATE", "$INCLUDE")))
        assert set(read(file, text)) == read_by_dnspython(text.replace("\r", ""))

    def test_common_records_take_the_fast_road(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        text = (
            "a 300 IN A 192.0.2.1\n  IN AAAA ::1 ; comment\nb CNAME a\nc.d.example.com. NS a.b.\n\n; text\n"
            'e MX 10 @\nf txt "a;b" c\ng IN SRV 1 2 3 .\nh CAA 128 issue "a b"\ni PTR a\nj DNAME a\n'
            "k DS 1 8 1 000102030405060708090A0B0C0D0E0F10111213\n"
        )
        expected = read_by_dnspython(APEX + text)
        split = zonefile._split

        def split_apex(text: bytes, position: int) -> tuple[list[bytes], int, str]:
            assert position < len(APEX), text[position:]
            return split(text, position)

        monkeypatch.setattr(zonefile, "_split", split_apex)
        assert set(read(file, APEX + text)) == expected


class TestTtl:
    def test_units(self, file: Path) -> None:
        records = read_rest(file, "a 1W2d3h4M5s A 192.0.2.1\na 0 A 192.0.2.2\na 2147483647 A 192.0.2.3\n")
        assert [record[2] for record in records] == [788645, 0, 2147483647]

    @pytest.mark.parametrize(
        ("text", "ttls"),
        [
            ("@ SOA a b 1 2 3 4 5\n@ NS a\n@ 9 MX 1 a\n@ TXT x\n", [5, 5, 9, 5]),
            ("@ 7 SOA a b 1 2 3 4 5\n@ NS a\n@ 9 MX 1 a\n@ TXT x\n", [7, 7, 9, 9]),
            ("@ 7 SOA a b 1 2 3 4 5\n$TTL 1m\n@ NS a\n@ 9 MX 1 a\n@ TXT x\n", [7, 60, 9, 60]),
        ],
        ids=["minimum of the SOA", "last stated", "$TTL"],
    )
    def test_a_record_that_states_none(self, file: Path, text: str, ttls: list[int]) -> None:
        assert [record[2] for record in read(file, text)] == ttls

    def test_none_at_all(self, file: Path) -> None:
        assert read_bad(file, "@ NS a\n@ SOA a b 1 2 3 4 5\n") == [
            "1: the record has no TTL, and neither $TTL nor a record before it states one"
        ]


class TestOwners:
    def test_the_same_text_under_another_origin_is_another_owner(self, file: Path) -> None:
        records = read_rest(file, "a A 192.0.2.1\n$ORIGIN b\na A 192.0.2.2\n$ORIGIN example.com.\na A 192.0.2.3\n")
        assert [record[0] for record in records] == [name("a"), name("a.b"), name("a")]

    def test_a_blank_owner_after_an_origin_is_the_last_owner(self, file: Path) -> None:
        records = read_rest(file, "a A 192.0.2.1\n$ORIGIN b\n A 192.0.2.2\n")
        assert [record[0] for record in records] == [name("a"), name("a")]

    def test_generate_does_not_change_the_last_owner(self, file: Path) -> None:
        records = read_rest(file, "a A 192.0.2.1\n$GENERATE 1-1 g$ A 192.0.2.$\n A 192.0.2.2\n")
        assert [record[0] for record in records] == [name("a"), name("g1"), name("a")]

    def test_an_include_begins_without_and_gives_the_owner_back(self, file: Path) -> None:
        write(file.parent / "blank.zone", " A 192.0.2.2\nb A 192.0.2.3\n")
        with pytest.raises(ZoneFileError) as caught:
            read_rest(file, "a A 192.0.2.1\n$INCLUDE blank.zone\n A 192.0.2.4\n")
        [problem] = caught.value.problems
        assert Path(problem.file).name == "blank.zone"
        write(file.parent / "blank.zone", "b A 192.0.2.3\n")
        records = read_rest(file, "a A 192.0.2.1\n$INCLUDE blank.zone\n A 192.0.2.4\n")
        assert [record[0] for record in records] == [name("a"), name("b"), name("a")]

    def test_nothing_follows_a_wrong_owner(self, file: Path) -> None:
        write(file, APEX + "a A 192.0.2.1\nb.. A 192.0.2.2\n A 192.0.2.3\nc A 192.0.2.4\n")
        records: list[Record] = []
        with pytest.raises(ZoneFileError) as caught:
            records.extend(iter(read_zone(file, ZONE)))  # keeps what came before the error
        assert [record[0] for record in records[2:]] == [name("a"), name("c")]
        assert [problem.line for problem in caught.value.problems] == [5, 6]

    def test_outside_of_the_zone_is_judged_by_labels(self, file: Path) -> None:
        zone = bytes([45]) + b"x" * 45 + b"\0"  # 45 is also a hyphen: the wire of "a-xx…" ends like the zone's
        write(file, f"$TTL 1\n@ SOA . . 1 2 3 4 5\na-{'x' * 45}. A 192.0.2.1\na.{'x' * 45}. A 192.0.2.1\n")
        with pytest.raises(ZoneFileError, match="outside of the zone") as caught:
            list(read_zone(file, zone))
        assert [problem.line for problem in caught.value.problems] == [3]

    def test_the_root_zone(self, file: Path) -> None:
        write(file, ". 5 SOA a. b. 1 2 3 4 5\ncom NS a.\nnet. NS a.\n")
        assert [record[0] for record in read_zone(file, b"\0")] == [b"\0", b"\x03com\0", b"\x03net\0"]

    def test_lengths_at_their_limits(self, file: Path) -> None:
        label = "a" * 63
        fits = f"{label}.{label}.{label}.{'a' * 48}"  # 3 × 64 + 49 + 13 + 1 octets
        assert len(read_rest(file, f"{fits} A 192.0.2.1\n{fits}2 A 192.0.2.1\n")[1][0]) == 255
        assert read_bad(file, f"{APEX}{fits}23 A 192.0.2.1\na{label} A 192.0.2.1\nb CNAME {fits}23\n")[:2] == [
            "4: a name over 255 octets",
            "5: a name with a label over 63 octets",
        ]


class TestInclude:
    def test_files(self, file: Path) -> None:
        write(file.parent / "one.zone", "$INCLUDE below/two.zone\n")
        (file.parent / "below").mkdir(exist_ok=True)
        write(file.parent / "below" / "two.zone", "$INCLUDE three.zone\n")
        three = write(file.parent / "below" / "three.zone", "a A 192.0.2.1\n")
        reader = read_zone(write(file, f"{APEX}$INCLUDE one.zone\n$INCLUDE {three} b\n"), ZONE)
        assert list(reader.files) == []
        assert [record[0] for record in reader][2:] == [name("a"), name("a.b")]
        assert [Path(each.path).name for each in reader.files] == [
            "test.zone",
            "one.zone",
            "two.zone",
            "three.zone",
        ]
        assert reader.files[0].size == file.stat().st_size
        assert all(each.is_current() for each in reader.files)
        os.utime(three, ns=(0, 0))
        assert [each.is_current() for each in reader.files] == [True, True, True, False]
        three.unlink()
        assert not reader.files[3].is_current()

    def test_a_loop_is_refused(self, file: Path) -> None:
        write(file.parent / "loop.zone", "a A 192.0.2.1\n$INCLUDE test.zone\n")
        with pytest.raises(ZoneFileError) as caught:
            read(file, APEX + "$INCLUDE loop.zone\n")
        [problem] = caught.value.problems
        assert problem.message == "the file includes itself"
        assert (Path(problem.file).name, problem.line) == ("loop.zone", 2)

    def test_too_deep(self, file: Path) -> None:
        for level in range(zonefile.MAX_DEPTH):
            write(file.parent / f"deep{level}", f"$INCLUDE deep{level + 1}\n")
        with pytest.raises(ZoneFileError, match="more than 16 files include each other"):
            read(file, APEX + "$INCLUDE deep0\n")

    def test_too_many(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(zonefile, "MAX_FILES", 20)
        write(file.parent / "leaf", "")
        write(file.parent / "branch", "$INCLUDE leaf\n" * 5)
        assert read_bad(file, APEX + "$INCLUDE branch\n" * 5)[-1] == "8: more than 20 files are included"

    def test_a_file_that_changes_while_it_is_read(self, file: Path) -> None:
        reader = iter(read_zone(write(file, APEX), ZONE))
        next(reader)
        with file.open("a") as stream:
            stream.write("a A 192.0.2.1\n")
        with pytest.raises(ZoneFileError, match="written to while"):
            list(reader)


class TestGenerate:
    def test_bound(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(zonefile, "MAX_GENERATE", 10)
        assert len(read_rest(file, "$GENERATE 0-9 a$ A 192.0.2.1\n")) == 10
        assert read_bad(file, APEX + "$GENERATE 0-10 a$ A 192.0.2.1\n") == [
            "4: $GENERATE of 11 records; 10 are allowed"
        ]

    def test_several_words(self, file: Path) -> None:
        assert read_rest(file, "$GENERATE 1-2 a$ 60 IN MX 1$ b$\n") == [
            to_record("a1", 60, "MX", "11 b1"),
            to_record("a2", 60, "MX", "12 b2"),
        ]

    @given(
        start=st.integers(0, 300),
        count=st.integers(0, 20),
        step=st.integers(1, 9),
        template=st.lists(
            st.one_of(
                st.sampled_from(["$", "$$", "\\$", "x", "-", "\\065"]),
                st.builds("${{{},{},{}}}".format, st.integers(0, 500), st.integers(0, 9), st.sampled_from("doxXnN")),
            ),
            min_size=1,
            max_size=4,
        ).map("".join),
    )
    def test_as_dnspython(self, file: Path, start: int, count: int, step: int, template: str) -> None:
        text = f"{APEX}$GENERATE {start}-{start + count}/{step} a{template}b CNAME c{template}d\n"
        try:
            expected = read_by_dnspython(text)
        except dns.exception.DNSException:
            with pytest.raises(ZoneFileError):
                read(file, text)
        else:
            assert set(read(file, text)) == expected


PROBLEMS = {
    "a A": "a record of type A, which is an IPv4 address",
    "a A 192.0.2.256": "a record of type A, which is an IPv4 address",
    "a A 192.0.2.01": "a record of type A",
    "a A 192.0.2.1 2": "a record of type A",
    "a AAAA 2001:db8::1::2": "a record of type AAAA",
    "a MX 65536 b": "a record of type MX",
    "a MX +1 b": "a record of type MX",
    "a MX b": "a record of type MX",
    "a SRV 1 2 -3 b": "a record of type SRV",
    "a CNAME b c": "a record of type CNAME",
    "a CNAME b..c": "a record of type CNAME",
    f"a TXT {'x' * 256}": "a record of type TXT",
    "a CAA 256 issue b": "a record of type CAA",
    "a CAA +1 issue b": "a record of type CAA",
    "a CAA 0 is_sue b": "a record of type CAA",
    "a DS 1 8 2 00": "a record of type DS",
    "a HTTPS 1 . alpn=": "a record of type HTTPS",
    "a TYPE65280 \\# 3 0000": "a record of type TYPE65280",
    "a TYPE1 \\# 3 000000": "a record of type A",
    "a NOSUCH b": "unknown record type",
    "a TYPE65536 \\# 0": "unknown record type",
    "a TYPE0 \\# 0": "messages only",
    "a OPT \\# 0": "messages only",
    "a ANY \\# 0": "messages only",
    "a": "the record has no type",
    "a 300 IN": "the record has no type",
    "a IN IN A 192.0.2.1": "unknown record type",
    "a CH A 192.0.2.1": "another class than IN",
    "a CLASS3 TXT b": "another class than IN",
    "a 2147483648 A 192.0.2.1": "a TTL over 2147483647 seconds",
    "a 1h30 A 192.0.2.1": "a TTL is a number",
    "a 99999999999 A 192.0.2.1": "a TTL is a number",
    ".a A 192.0.2.1": "an empty label",
    "a..b A 192.0.2.1": "an empty label",
    "a\\256 A 192.0.2.1": "a wrong escape",
    "a\\25 A 192.0.2.1": "a wrong escape",
    '"a" A 192.0.2.1': "a quote",
    "münchen A 192.0.2.1": "not ASCII",
    "a CNAME münchen": "not ASCII",
    "example.net. A 192.0.2.1": "outside of the zone",
    "com. A 192.0.2.1": "outside of the zone",
    "a SOA b c 1 2 3 4 5": "at the apex of the zone only",
    "@ SOA b c 1 2 3 4 6": "a second, different SOA record",
    'a TXT "b': "does not end on its line",
    'a TXT ("b\n")': "does not end on its line",
    "a TXT b\\": "a backslash at the end",
    "a TXT b )": "a closing parenthesis",
    "a TXT ( b": "ends inside parentheses",
    "$TTL": "wrong number of words",
    "$TTL 1 2": "wrong number of words",
    "$TTL x": "a TTL is a number",
    "$ORIGIN a..b": "an empty label",
    "$INCLUDE": "wrong number of words",
    "$INCLUDE nosuch": "cannot be opened: No such file",
    "$INCLUDE .": "cannot be opened: Is a directory",
    "$INCLUDE /dev/null": "not a regular file",
    "$INCLUDE a\x1bb": "not printable",
    "$NOSUCH": "unknown directive",
    "$GENERATE 1-2 a": "wrong number of words",
    "$GENERATE 2-1 a$ A 192.0.2.$": "goes up",
    "$GENERATE 1-2/0 a$ A 192.0.2.$": "goes up",
    "$GENERATE 1 a$ A 192.0.2.$": "start-stop",
    "$GENERATE 0-1 a${-1,0,x} A 192.0.2.$": "cannot write -1 in base x",
    "$GENERATE 0-1 a${0,128} A 192.0.2.$": "$GENERATE knows",
    "$GENERATE 0-1 a${0 A 192.0.2.$": "$GENERATE knows",
    "$GENERATE 255-260 a$ A 192.0.2.$": "a record of type A",
}


class TestProblems:
    @pytest.mark.parametrize("line", PROBLEMS, ids=lambda line: line[:40])
    def test_each_kind(self, file: Path, line: str) -> None:
        with pytest.raises(ZoneFileError) as caught:
            read(file, f"{APEX}{line}\n")
        problem = caught.value.problems[0]
        assert PROBLEMS[line] in problem.message
        assert (problem.file, problem.line) == (str(file), 4)
        assert problem.text.isprintable()
        assert len(problem.text) <= 81
        assert str(problem).startswith(f"{file}:4: ")

    def test_all_of_them_with_their_lines(self, file: Path) -> None:
        text = APEX + "a A x\n\n; comment\n(b\n A\n y)\nc A 192.0.2.1\nd TXT ( 1\n2 )\ne A z\n"
        assert [problem.split(":")[0] for problem in read_bad(file, text)] == ["4", "7", "13"]

    @pytest.mark.parametrize("first", ["x", "\\120"], ids=["fast road", "dnspython"])
    def test_data_that_is_too_long(self, file: Path, first: str) -> None:
        fits = first + f" {'x' * 255}" * 255 + f" {'x' * 252}"
        assert len(read_rest(file, f"a TXT {fits}\n")[0][3]) == 65535
        assert read_bad(file, f"{APEX}a TXT {fits}x\n") == ["4: the data of the record is longer than 65535 octets"]

    def test_nothing_follows_an_owner_whose_record_has_no_end(self, file: Path) -> None:
        problems = read_bad(file, f'{APEX}a TXT x\nb TXT "x\n TXT y\n')
        assert [problem.split(":")[0] for problem in problems] == ["5", "6"]

    def test_no_more_than_the_bound(self, file: Path) -> None:
        assert len(read_bad(file, APEX + "a A x\n" * 1000)) == zonefile.MAX_PROBLEMS

    @pytest.mark.parametrize("text", ["", "\n", "; nothing", "$TTL 1\n@ NS a\n"])
    def test_no_soa(self, file: Path, text: str) -> None:
        assert read_bad(file, text) == ["0: there is no SOA record at the apex of the zone"]

    def test_a_binary_file(self, file: Path) -> None:
        assert read_bad(file, APEX.encode() + b"a\0b\n" * 3) == ["4: not a text file: it contains a zero octet"]

    @pytest.mark.parametrize("path", ["nosuch.zone", ".", "no/such", "a\0b"])
    def test_a_file_that_cannot_be_read(self, file: Path, path: str) -> None:
        with pytest.raises(ZoneFileError, match=r"^[^ ]+: (the file )?cannot be opened"):
            list(read_zone(file.parent / path, ZONE))

    def test_a_pipe_does_not_keep_us_waiting(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(ZoneFileError, match="not a regular file"):
            list(read_zone(tmp_path / "pipe", ZONE))

    @pytest.mark.parametrize("text", ["a" * 600_000, "a TXT (" + " x\n" * 200_000], ids=["line", "parentheses"])
    def test_a_record_without_end(self, file: Path, text: str) -> None:
        assert read_bad(file, APEX + text) == ["4: a record of more than 524288 octets; reading stops here"]


class TestLayout:
    def test_byte_order_mark(self, file: Path) -> None:
        assert len(read(file, b"\xef\xbb\xbf" + APEX.encode())) == 2

    def test_no_newline_at_the_end(self, file: Path) -> None:
        assert read_rest(file, "a A 192.0.2.1") == [to_record("a", 3600, "A", "192.0.2.1")]

    def test_utf8_in_a_string(self, file: Path) -> None:
        [txt, hinfo] = read_rest(file, 'a TXT "zoë" ü\nb HINFO "\\é\\\\é" "\t"\n')
        assert txt[3] == b"\x04zo\xc3\xab\x02\xc3\xbc"
        assert hinfo[3] == b"\x05\xc3\xa9\\\xc3\xa9\x01\t"

    @pytest.mark.parametrize("block", [1, 7, 64])
    def test_records_across_blocks(self, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
        expected = list(read_zone(DATA / "complete.zone", ZONE))
        monkeypatch.setattr(zonefile, "_BLOCK", block)
        assert list(read_zone(DATA / "complete.zone", ZONE)) == expected

    def test_more_names_than_are_kept(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        text = APEX + "".join(f"a{number} CNAME b{number}\n@ NS a{number}\n" for number in range(20))
        expected = read(file, text)
        monkeypatch.setattr(zonefile, "_NAMES_KEPT", 5)
        assert read(file, text) == expected

    def test_memory_does_not_grow_with_the_file(self, file: Path) -> None:
        line = "host{0} 300 IN CNAME target{0}\n"
        write(file, APEX + "".join(line.format(number) for number in range(60_000)))  # 2 MB, 12 MB as records
        tracemalloc.start()
        try:
            assert sum(1 for _ in read_zone(file, ZONE)) == 60_002
            assert tracemalloc.get_traced_memory()[1] < 5_000_000
        finally:
            tracemalloc.stop()


labels = st.binary(min_size=1, max_size=6)
names = st.lists(labels, max_size=3).map(lambda labels: b"".join(bytes([len(x)]) + x for x in labels))
targets = st.tuples(names, st.sampled_from([ZONE, b"\0"])).map(b"".join)
uint16 = st.binary(min_size=2, max_size=2)
strings = st.binary(max_size=20).map(lambda octets: bytes([len(octets)]) + octets)
rdatas = st.one_of(
    st.tuples(st.just(A), st.binary(min_size=4, max_size=4)),
    st.tuples(st.just(AAAA), st.binary(min_size=16, max_size=16)),
    st.tuples(st.sampled_from([NS, CNAME, DNAME, 12]), targets),
    st.tuples(st.just(MX), st.tuples(uint16, targets).map(b"".join)),
    st.tuples(st.just(33), st.tuples(uint16, uint16, uint16, targets).map(b"".join)),
    st.tuples(st.just(TXT), st.lists(strings, min_size=1, max_size=3).map(b"".join)),
    st.tuples(
        st.just(257),
        st.tuples(st.binary(min_size=1, max_size=1), st.just(b"\5issue"), st.binary(max_size=9)).map(b"".join),
    ),
    st.tuples(st.just(43), st.tuples(uint16, st.just(b"\x0d\2"), st.binary(min_size=32, max_size=32)).map(b"".join)),
    st.tuples(st.integers(65280, 65534), st.binary(max_size=20)),
)
records = st.builds(
    lambda owner, ttl, rdata: (owner.lower() + ZONE, rdata[0], ttl, rdata[1]),
    names,
    st.integers(0, zonefile.MAX_TTL),
    rdatas,
)


def decode(type_: int, rdata: bytes) -> dns.rdata.Rdata:
    return dns.rdata.from_wire("IN", dns.rdatatype.RdataType.make(type_), rdata, 0, len(rdata))


def render(owner: bytes, type_: int, ttl: int, rdata: bytes) -> tuple[str, str, str, str]:
    """Owner, TTL, type and data of a record as dnspython writes them."""
    value = decode(type_, rdata)
    return (
        dns.name.from_wire(owner, 0)[0].to_text(),
        str(ttl),
        dns.rdatatype.to_text(value.rdtype),
        value.to_text(),
    )


class TestAlways:
    @given(st.lists(records, max_size=8))
    def test_what_dnspython_writes_is_read_back(self, file: Path, zone: list[Record]) -> None:
        text = "".join(" ".join(render(*record)) + "\n" for record in zone)
        assert read_rest(file, text) == zone

    @given(
        st.lists(records, max_size=8),
        st.sampled_from(["{} {} {} {}", "{} IN ( {} {}\n{} )", "{} {}\tin {} {} ;;"]),
    )
    def test_the_layout_changes_nothing(self, file: Path, zone: list[Record], layout: str) -> None:
        text = "".join(layout.format(*render(*record)) + "\n" for record in zone)
        assert read_rest(file, text) == zone

    @settings(max_examples=300)
    @given(
        st.lists(
            st.one_of(
                st.binary(max_size=12),
                st.sampled_from(
                    [
                        b"\n",
                        b" ",
                        b"(",
                        b")",
                        b'"',
                        b"\\",
                        b";",
                        b"$TTL 5",
                        b"$ORIGIN ",
                        b"$GENERATE 1-3 ",
                        b"$INCLUDE ",
                        b"@",
                        b"a",
                        b"IN",
                        b"300",
                        b" A 192.0.2.1\n",
                        b" TXT ",
                        b" SOA a b 1 2 3 4 5\n",
                        b" NS ",
                        b"\\# ",
                        b"${0,2,n}",
                        b"$",
                        b" SVCB ",
                        b" NAPTR ",
                        b" LOC ",
                        b" TYPE65280 ",
                        b" RRSIG ",
                        b" NSEC3 ",
                    ]
                ),
            ),
            max_size=40,
        ).map(b"".join)
    )
    def test_any_bytes_give_records_or_the_error(self, file: Path, content: bytes) -> None:
        write(file, content)
        try:
            for owner, type_, ttl, rdata in read_zone(file, ZONE):
                assert owner == owner.lower()
                assert dns.name.from_wire(owner, 0)[0].is_subdomain(ORIGIN)
                assert 0 < type_ < 65536
                assert 0 <= ttl <= zonefile.MAX_TTL
                decode(type_, rdata)
        except ZoneFileError as error:
            assert 0 < len(error.problems) <= zonefile.MAX_PROBLEMS
            assert all(problem.text.isprintable() for problem in error.problems)


def merge(lines: Iterable[tuple[int, str, str]]) -> dict[int, tuple[int, list[bytes]]]:
    return merge_records(to_record("@", ttl, type_, data) for ttl, type_, data in lines)


class TestOwnerGroups:
    def test_the_smallest_ttl_counts(self) -> None:
        rrsets = merge([(300, "A", "192.0.2.1"), (60, "A", "192.0.2.2"), (90, "A", "192.0.2.3"), (5, "TXT", "x")])
        assert rrsets == {A: (60, [b"\xc0\0\2\1", b"\xc0\0\2\2", b"\xc0\0\2\3"]), TXT: (5, [b"\1x"])}

    @pytest.mark.parametrize(
        ("type_", "first", "second", "kept"),
        [
            ("A", "192.0.2.1", "192.0.2.1", 1),
            ("NS", "A.example.", "a.EXAMPLE.", 1),
            ("MX", "10 A.example.", "10 a.example.", 1),
            ("MX", "65 a.", "97 a.", 2),  # 65 is also an A, 97 an a
            ("SRV", "1 2 65 a.", "1 2 97 a.", 2),
            ("TXT", "A", "a", 2),
        ],
    )
    def test_duplicates_are_dropped(self, type_: str, first: str, second: str, kept: int) -> None:
        [(ttl, rdatas)] = merge([(9, type_, first), (8, type_, second)]).values()
        assert (ttl, len(rdatas)) == (8, kept)
        assert rdatas[0] == to_record("@", 0, type_, first)[3]

    @pytest.mark.parametrize(
        ("is_apex", "lines", "problems"),
        [
            (True, [(1, "SOA", "a b 1 2 3 4 5"), (1, "NS", "a")], []),
            (True, [], ["no SOA record at the apex", "no NS record at the apex"]),
            (
                True,
                [(1, "SOA", "a b 1 2 3 4 5"), (1, "SOA", "a b 2 2 3 4 5"), (1, "NS", "a")],
                ["2 different SOA"],
            ),
            (False, [(1, "SOA", "a b 1 2 3 4 5")], ["a SOA record belongs at the apex"]),
            (False, [(1, "CNAME", "a")], []),
            (False, [(1, "CNAME", "a"), (1, "CNAME", "A")], []),
            (False, [(1, "CNAME", "a"), (1, "CNAME", "b")], ["2 different CNAME"]),
            (False, [(1, "CNAME", "a"), (1, "NSEC", "a A RRSIG")], []),
            (
                False,
                [(1, "CNAME", "a"), (1, "TXT", "x"), (1, "A", "192.0.2.1")],
                ["a CNAME record beside A, TXT"],
            ),
            (False, [(1, "DNAME", "a"), (1, "DNAME", "b"), (1, "TXT", "x")], ["2 different DNAME"]),
        ],
    )
    def test_check(self, is_apex: bool, lines: list[tuple[int, str, str]], problems: list[str]) -> None:
        found = check_owner(ZONE, is_apex, merge(lines))
        assert len(found) == len(problems)
        for message, expected in zip(found, problems, strict=True):
            assert message.startswith("example.com.: ")
            assert expected in message

    def test_an_rrset_without_rdata_is_there(self) -> None:
        assert check_owner(ZONE, False, {CNAME: (0, []), TXT: (5, [b"\1x"])}) == [
            "example.com.: a CNAME record beside TXT"
        ]

    def test_a_transfer_written_to_a_file_ends_in_the_same_soa(self, file: Path) -> None:
        records = read_rest(file, "@ SOA ns1 host 1 2 3 4 5\n")
        assert [record[1] for record in records] == [SOA]
