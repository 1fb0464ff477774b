"""Tables of expectations: how they are read, what is wrong with them, and what keeps to them."""

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steering.offline.expectations import (
    Expectation,
    Listed,
    Outcome,
    Reply,
    find_unknown_pools,
    judge_replies,
    normalise_record,
    parse_csv,
    parse_toml,
    read_expectations,
    render_junit,
)
from steering.problems import SettingsError

FILE = Path("expect.toml")
POOLS = {
    "paris": {"A": frozenset(("192.0.2.10", "192.0.2.11")), "MX": frozenset(("10 mx.example.com.",))},
    "tokyo": {"A": frozenset(("203.0.113.30",))},
}
PARIS = Reply("NOERROR", ("192.0.2.10",), 30, 12)
BOTH = Reply("NOERROR", ("192.0.2.10", "192.0.2.11"), 30, 12)
TOKYO = Reply("NOERROR", ("203.0.113.30",), 30, 12)
NOTHING = Reply("NOERROR", (), None, 12)
MISSING = Reply("NXDOMAIN", (), None, None)


def listed(**given: object) -> Listed:
    """One expectation, as it would be read."""
    line = "".join(f", {key} = {value}" for key, value in given.items())
    [each] = parse_toml(f'expect = [{{ name = "www.example.com"{line} }}]', FILE)
    return each


def differences(*replies: Reply, **given: object) -> tuple[str, ...]:
    return judge_replies(listed(**given), replies, POOLS).differences


class TestReading:
    def test_toml(self) -> None:
        text = """
[[expect]]
name = "www.example.com"
country = "FR"
must_get = ["pool:paris"]
share = { "pool:paris" = 1 }

[[expect]]
name = "example.com."
type = "MX"
from = "2001:DB8::1"
must_not_get = ["10 mx.example.com."]
scope_at_least = 20
"""
        one, two = parse_toml(text, FILE)
        assert one == Listed(
            Expectation("www.example.com.", country="FR", must_get=("pool:paris",), share={"pool:paris": 1.0}),
            "expect.toml",
            2,
        )
        assert two == Listed(
            Expectation(
                "example.com.", "MX", client="2001:db8::1", must_not_get=("10 mx.example.com.",), scope_at_least=20
            ),
            "expect.toml",
            8,
        )

    def test_csv_says_the_same_in_columns(self) -> None:
        text = (
            "name,type,country,from,must_get,must_not_get,share,scope_at_least,complete\n"
            "www.example.com,,FR,,pool:paris; 192.0.2.99,,pool:paris=0.75;192.0.2.99=.25,,true\n"
            '\nexample.com,TXT,,192.0.2.7,,"""a;b""",,20,\n'
        )
        one, two = parse_csv(text.replace('"""a;b"""', '"""ab"""'), FILE)
        assert one == Listed(
            Expectation(
                "www.example.com.",
                country="FR",
                must_get=("pool:paris", "192.0.2.99"),
                share={"pool:paris": 0.75, "192.0.2.99": 0.25},
                complete=True,
            ),
            "expect.toml",
            2,
        )
        assert (two.line, two.expectation.client, two.expectation.must_not_get) == (4, "192.0.2.7", ('"ab"',))

    @pytest.mark.parametrize(
        ("line", "problem"),
        [
            ('nmae = "a"', "unknown key; did you mean"),
            ('type = "AXFR"', "not the type of a record"),
            ('type = "NOPE"', "no such record type"),
            ('country = "XX"', "no such country"),
            ('must_get = ["192.0.2.256"]', "is no A record, and no pool like pool:NAME"),
            ('share = { "x y" = 1 }', "is no A record"),
            ('share = { "192.0.2.1" = 2 }', "from 0 to 1"),
            ('rcode = "NOPE"', "no such response code"),
            ('rcode = "NXDOMAIN"\nmust_get = ["192.0.2.1"]', "has the response code NOERROR"),
            ("complete = true", "only with must_get"),
            ('from = "192.0.2.1"\ncountry = "FR"', "has the place of that address"),
            ('subnet = "192.0.2.1/24"', 'did you mean "192.0.2.0/24"'),
        ],
    )
    def test_what_is_wrong_is_told_with_its_place(self, line: str, problem: str) -> None:
        with pytest.raises(SettingsError) as caught:
            parse_toml(f'[[expect]]\nname = "a.example"\n{line}\n', FILE)
        [told] = caught.value.problems
        assert problem in str(told)
        assert str(told).startswith("expect.toml:")
        assert told.line in (1, 3, 4)

    def test_what_is_wrong_in_csv_has_its_line(self) -> None:
        with pytest.raises(SettingsError) as caught:
            parse_csv("name,country,samples\na.example,FR,1\nb.example,XX,no\n", FILE)
        assert [(each.line, each.path) for each in caught.value.problems] == [(3, "country"), (3, "samples")]
        for text in ("name\na,b\n", 'name\n"a'):
            with pytest.raises(SettingsError, match=r"expect\.toml:\d"):
                parse_csv(text, FILE)

    def test_a_file(self, tmp_path: Path) -> None:
        path = tmp_path / "x.csv"
        path.write_text("name\na.example\n")
        assert [each.expectation.name for each in read_expectations(path)] == ["a.example."]
        (tmp_path / "x.toml").write_bytes(b"\xff")
        for name in ("x.toml", "missing.toml"):
            with pytest.raises(SettingsError, match="cannot be read"):
                read_expectations(tmp_path / name)

    @given(st.text(max_size=60))
    def test_any_text_is_a_table_or_a_clear_error(self, text: str) -> None:
        for parse in (parse_toml, parse_csv):
            for table in (text, f"name,type,share,from\n{text}", f'[[expect]]\nname="a"\n{text}'):
                try:
                    parse(table, FILE)
                except SettingsError as error:
                    assert error.problems

    def test_a_pool_that_does_not_exist(self) -> None:
        table = [listed(must_get='["pool:paris", "pool:pairs"]', share='{ "pool:oslo" = 0 }')]
        assert [str(each) for each in find_unknown_pools(table, POOLS)] == [
            "expect.toml:1: no pool of the configuration is called 'pairs'",
            "expect.toml:1: no pool of the configuration is called 'oslo'",
        ]


class TestJudging:
    def test_must_get(self) -> None:
        assert differences(PARIS, must_get='["192.0.2.10"]') == ()
        assert differences(PARIS, BOTH, must_get='["pool:paris"]') == ()
        assert differences(PARIS, TOKYO, must_get='["pool:paris"]') == (
            "expected 192.0.2.10 or 192.0.2.11, got 203.0.113.30",
        )
        assert differences(NOTHING, must_get='["pool:tokyo"]') == ("expected 203.0.113.30, got no records",)
        assert differences(MISSING, must_get='["pool:tokyo"]') == ("expected NOERROR, got NXDOMAIN",)
        assert differences(NOTHING) == (), "no data is NOERROR"

    def test_complete(self) -> None:
        both = '["192.0.2.10", "192.0.2.11"]'
        assert differences(BOTH, must_get=both, complete="true") == ()
        assert differences(PARIS, must_get=both) == ()
        assert differences(PARIS, must_get=both, complete="true") == (
            "expected all of 192.0.2.10 or 192.0.2.11, got 192.0.2.10",
        )

    def test_must_not_get(self) -> None:
        assert differences(TOKYO, NOTHING, must_not_get='["pool:paris"]') == ()
        assert differences(TOKYO, BOTH, must_not_get='["192.0.2.11"]') == ("must not get 192.0.2.11",)

    def test_a_response_code(self) -> None:
        assert differences(MISSING, rcode='"NXDOMAIN"') == ()
        assert differences(PARIS, rcode='"REFUSED"') == ("expected REFUSED, got NOERROR",)

    def test_shares(self) -> None:
        replies = (PARIS, PARIS, BOTH, TOKYO)
        assert differences(*replies, share='{ "pool:paris" = 0.75, "pool:tokyo" = 0.25, "192.0.2.11" = 0.25 }') == ()
        assert differences(*replies, share='{ "pool:paris" = 0.72 }') == ()
        assert differences(*replies, share='{ "pool:paris" = 0.7 }', tolerance=0.01) == (
            "expected pool:paris in 70.0% ± 1.0% of the answers, got 75.0% of 4",
        )

    def test_scope_and_ttl(self) -> None:
        assert differences(PARIS, scope_at_least=12, ttl_at_most=30) == ()
        assert differences(PARIS, scope_at_least=13, ttl_at_most=29) == (
            "expected a scope of at least /13, got /12",
            "expected a TTL of at most 29, got 30",
        )
        assert differences(MISSING, rcode='"NXDOMAIN"', scope_at_least=1) == (
            "expected a scope of at least /1, got none",
        )

    def test_the_same_difference_is_told_once_and_answers_are_counted(self) -> None:
        outcome = judge_replies(listed(must_get='["pool:paris"]'), (TOKYO, TOKYO, PARIS), POOLS)
        assert len(outcome.differences) == 1
        assert outcome.got == ("203.0.113.30 (2 of 3)", "192.0.2.10 (1 of 3)")

    @pytest.mark.parametrize(
        ("text", "rrtype", "expected"),
        [
            ("192.0.2.1", "A", "192.0.2.1"),
            ("2001:DB8:0::1", "AAAA", "2001:db8::1"),
            ("10 MX.example.com", "MX", "10 mx.example.com."),
            ("site=paris", "TXT", '"site=paris"'),
            ("paris.example.net.", "A", "paris.example.net."),
        ],
    )
    def test_records_are_compared_in_one_form(self, text: str, rrtype: str, expected: str) -> None:
        assert normalise_record(text, rrtype) == expected


def test_junit() -> None:
    good = Outcome(listed(country='"FR"'), (), ("192.0.2.10",))
    bad = Outcome(listed(must_get='["pool:paris"]'), ("expected <this>", "and & that"), ("203.0.113.30",), ("rule x",))
    [suite] = ET.fromstring(render_junit([good, bad]).encode())
    assert suite.attrib == {"name": "expect.toml", "tests": "2", "failures": "1"}
    one, two = suite
    assert one.get("name") == "www.example.com. A for FR (line 1)"
    assert not list(one)
    [failure] = two
    assert failure.get("message") == "expected <this>"
    assert failure.text == "expected <this>\nand & that\ngot: 203.0.113.30\nrule x"
