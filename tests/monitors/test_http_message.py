import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitors.http_message import (
    PATH,
    HttpFields,
    Place,
    Response,
    first_place,
    follow_untrusted,
    header_of,
    judge,
    parse_codes,
    parse_header,
)
from monitors.monitor import EVIDENCE_LENGTH, Reason, Result

MONITOR = HttpFields(name="m")
HERE = Place("http", "www.example.com", 8080, "/a/b?c")
UP = Result(True, Reason.OK, rtt=0.1)


@pytest.mark.parametrize(
    ("text", "ranges"),
    [
        ("200", ((200, 200),)),
        ("2xx", ((200, 299),)),
        ("200-299,301", ((200, 299), (301, 301))),
        ("2xx, 404", ((200, 299), (404, 404))),
        ("100-599", ((100, 599),)),
    ],
)
def test_codes(text: str, ranges: tuple[tuple[int, int], ...]) -> None:
    assert parse_codes(text) == ranges


@pytest.mark.parametrize("text", ["", "20", "2000", "6xx", "2XX", "299-200", "200,", "200-", "-200", "two", "２00"])
def test_codes_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected|nothing"):
        parse_codes(text)


@pytest.mark.parametrize(
    ("name", "value"),
    [("X-Check", "a b"), ("X-Empty", ""), ("Host", "www.example.com"), ("host", "[2001:db8::1]:80"), ("HOST", "a:1")],
)
def test_header_fields(name: str, value: str) -> None:
    assert parse_header(name, value) == (name, value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("", "a"),
        ("X Check", "a"),
        ("X:", "a"),
        ("X", "a\r\nY: b"),
        ("X\r\nY", "a"),
        ("X", " a"),
        ("X", "a "),
        ("X", "ü"),
        ("X", "a\0"),
        ("Content-Length", "5"),
        ("transfer-encoding", "chunked"),
        ("Connection", "keep-alive"),
        ("Host", "a b"),
        ("Host", "user@www.example.com"),
        ("Host", "www.example.com/"),
        ("Host", ""),
        ("Host", "2001:db8::1"),
    ],
)
def test_header_fields_that_are_none(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_header(name, value)


def test_fields_that_do_not_go_together() -> None:
    headers = (("Host", "a"), ("X", "b"), ("host", "c"))
    wrong = HttpFields(name="m", method="HEAD", expected_body="x", headers=headers)
    assert [field for field, _ in wrong.problems()] == ["expected_body", "headers"]
    assert list(HttpFields(name="m", method="HEAD", headers=headers[:2]).problems()) == []


@pytest.mark.parametrize(
    ("host", "port", "place", "authority"),
    [
        (None, 80, ("192.0.2.1", 80), "192.0.2.1"),
        (None, 8080, ("192.0.2.1", 8080), "192.0.2.1:8080"),
        ("www.example.com", 8080, ("www.example.com", 8080), "www.example.com:8080"),
        ("www.example.com:81", 80, ("www.example.com", 80), "www.example.com"),
        ("[2001:db8::1]:81", 80, ("2001:db8::1", 80), "[2001:db8::1]"),
    ],
)
def test_where_the_first_request_goes(host: str | None, port: int, place: tuple[str, int], authority: str) -> None:
    monitor = HttpFields(name="m", path="/p", headers=(("hOst", host),) if host else ())
    first = first_place("http", "192.0.2.1", port, monitor)
    assert first == Place("http", *place, "/p")
    assert first.authority == authority
    assert dict(header_of(first, monitor, True)).get("hOst" if host else "Host") == (host or authority)
    assert dict(header_of(first, monitor, False))["Host"] == authority


@pytest.mark.parametrize(
    ("location", "following"),
    [
        ("/x", Place("http", "www.example.com", 8080, "/x")),
        ("x", Place("http", "www.example.com", 8080, "/a/x")),
        ("?x", Place("http", "www.example.com", 8080, "/a/b?x")),
        ("//www.example.com:8080", Place("http", "www.example.com", 8080, "/")),
        ("http://WWW.Example.com/x?y#z", Place("http", "www.example.com", 80, "/x?y")),
        ("https://www.example.com", Place("https", "www.example.com", 443, "/")),
        ("HTTPS://www.example.com:8080/", Place("https", "www.example.com", 8080, "/")),
        ("http://user:password@www.example.com/x", Place("http", "www.example.com", 80, "/x")),
        ("", None),
        ("https://www.example.com:8443/", None),
        ("http://www.example.com:25/", None),
        ("http://www.example.com:443/", None),
        ("http://example.com/", None),
        ("http://www.example.com.evil.example/", None),
        ("http://evil.example/www.example.com", None),
        ("http://www.example.com@evil.example/", None),
        ("http://192.0.2.1/", None),
        ("ftp://www.example.com/", None),
        ("file:///etc/passwd", None),
        ("javascript:alert(1)", None),
        ("http://[::1", None),
        ("http://www.example.com:x/", None),
        ("/a b", None),
        ("/\u00fc", None),
        ("/" + "x" * 2048, None),
    ],
)
def test_where_a_redirection_leads(location: str, following: Place | None) -> None:
    assert follow_untrusted(Response(302, "", location, b""), HERE, 8080) == following


@pytest.mark.parametrize(("code", "followed"), [(200, False), (300, False), (301, True), (304, False), (308, True)])
def test_only_redirections_are_followed(code: int, followed: bool) -> None:
    assert (follow_untrusted(Response(code, "", "/x", b""), HERE, 8080) is not None) == followed


def test_https_is_never_left() -> None:
    secure = Place("https", "www.example.com", 443, "/")
    assert follow_untrusted(Response(301, "", "http://www.example.com/", b""), secure, 443) is None
    assert follow_untrusted(Response(301, "", "//www.example.com/x", b""), secure, 443) == Place(
        "https", "www.example.com", 443, "/x"
    )


locations = st.one_of(
    st.text(),
    st.builds(
        "{}{}{}{}".format,
        st.sampled_from(["http://", "https://", "//", "/", "http:", "HTTP:\\\\", " "]),
        st.sampled_from(["www.example.com", "www.example.com:8080", "evil.example", "a@www.example.com", "[::1]", ""]),
        st.sampled_from(["", "/", "?", "#", "@evil.example", "\\@evil.example", ":80", ":0", "%00"]),
        st.text(max_size=20),
    ),
)


@given(locations, st.sampled_from(["http", "https"]))
def test_a_redirection_never_leads_away(location: str, scheme: str) -> None:
    here = HERE._replace(scheme=scheme)
    following = follow_untrusted(Response(302, "", location, b""), here, 8080)
    if following is not None:
        assert following.host == here.host
        assert following.port in (8080, 80, 443)
        assert (scheme, following.scheme) != ("https", "http")
        assert re.fullmatch(PATH, following.path)


@given(st.integers(100, 599), st.text(), st.text(), st.binary())
def test_any_response_is_judged(code: int, phrase: str, location: str, body: bytes) -> None:
    result = judge(Response(code, phrase, location, body), MONITOR, UP)
    assert (result.up, result.rtt) == (code == 200, 0.1)
    assert result.evidence.isprintable()
    assert len(result.evidence) <= EVIDENCE_LENGTH
