"""Tests of DNS cookies: the vectors of RFC 9018, the life of a cookie, hostile options, the secrets file."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from siphashc import siphash

from steering.cookies import FUTURE, LIFETIME, REFRESH_AGE, CookieSigner, Trust, make_secret, read_secrets
from steering.problems import SettingsError
from steering.wire import FORMERR, BadPacket

SECRET = bytes.fromhex("e5e973e5a6b2a43f48e7dc849e37bfcf")
OLD_SECRET = bytes.fromhex("dd3bdf9344b678b185a6f5cb60fca715")
NEW_SECRET = bytes.fromhex("445536bcd2513298075a5d379663c962")
CLIENT_COOKIE = bytes.fromhex("2464c4abcf10c957")
ADDRESS = "198.51.100.100"
NOW = 1559731985
SIGNER = CookieSigner([SECRET])

addresses = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).map(str)
times = st.floats(0, 2**33)


# RFC 9018 appendix A. Each shows a question's option, when it is answered, and the option of the answer.


def test_a_new_cookie_is_that_of_appendix_a1() -> None:
    verdict = SIGNER.judge_untrusted(CLIENT_COOKIE, ADDRESS, NOW)
    assert verdict.trust is Trust.CLIENT_ONLY
    assert verdict.option.hex() == "2464c4abcf10c957010000005cf79f111f8130c3eee29480"


def test_a_cookie_older_than_half_an_hour_is_renewed_as_in_appendix_a2() -> None:
    option = bytes.fromhex("2464c4abcf10c957010000005cf79f111f8130c3eee29480")
    verdict = SIGNER.judge_untrusted(option, ADDRESS, 1559734385)
    assert verdict.trust is Trust.GOOD
    assert verdict.option.hex() == "2464c4abcf10c957010000005cf7a871d4a564a1442aca77"


def test_reserved_bytes_are_hashed_but_not_enforced_as_in_appendix_a3() -> None:
    """The vector is answered 1 h 52 min after it was made: past the hour, so what we say of it then is BAD."""
    option = bytes.fromhex("fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5")
    assert SIGNER.judge_untrusted(option, "203.0.113.203", 1559727985) == (Trust.GOOD, option)
    verdict = SIGNER.judge_untrusted(option, "203.0.113.203", 1559734700)
    assert verdict.trust is Trust.BAD
    assert verdict.option.hex() == "fc93fc62807ddb86010000005cf7a9acf73a7810aca2381e"


def test_after_a_rollover_the_old_secret_verifies_and_the_new_one_signs_as_in_appendix_a4() -> None:
    option = bytes.fromhex("22681ab97d52c298010000005cf7c57926556bd0934c72f8")
    address = "2001:db8:220:1:59de:d0f4:8769:82b8"
    verdict = CookieSigner([NEW_SECRET, OLD_SECRET]).judge_untrusted(option, address, 1559741961)
    assert verdict.trust is Trust.GOOD
    assert verdict.option.hex() == "22681ab97d52c298010000005cf7c609a6bb79d16625507a"


# The life of a cookie.


@pytest.mark.parametrize("made", [2**32 + NOW, 2**32, 2**32 + 100, 2**32 + 2**31, 2**33 - 1000, 2**33 - 1])
@pytest.mark.parametrize(
    ("age", "trust", "kept"),
    [
        (-(2**31), Trust.BAD, False),
        (-FUTURE - 1, Trust.BAD, False),
        (-FUTURE, Trust.GOOD, True),
        (0, Trust.GOOD, True),
        (REFRESH_AGE, Trust.GOOD, True),
        (REFRESH_AGE + 1, Trust.GOOD, False),
        (LIFETIME, Trust.GOOD, False),
        (LIFETIME + 1, Trust.BAD, False),
        (2**31 - 1, Trust.BAD, False),
    ],
)
def test_a_cookie_is_good_for_an_hour_and_refreshed_after_half_of_it(
    made: int, age: int, trust: Trust, kept: bool
) -> None:
    """Also where the 32 bits of the timestamp run over (RFC 1982)."""
    option = SIGNER.judge_untrusted(CLIENT_COOKIE, ADDRESS, made).option
    verdict = SIGNER.judge_untrusted(option, ADDRESS, made + age + 0.5)
    assert verdict.trust is trust
    fresh = SIGNER.judge_untrusted(CLIENT_COOKIE, ADDRESS, made + age).option
    assert verdict.option == (option if kept else fresh)


def test_no_secret_but_the_first_signs_and_a_removed_one_no_longer_verifies() -> None:
    before = CookieSigner([OLD_SECRET, NEW_SECRET]).judge_untrusted(CLIENT_COOKIE, ADDRESS, NOW).option
    assert before == CookieSigner([OLD_SECRET]).judge_untrusted(CLIENT_COOKIE, ADDRESS, NOW).option
    during = CookieSigner([NEW_SECRET, OLD_SECRET]).judge_untrusted(before, ADDRESS, NOW)
    assert during == (Trust.GOOD, CookieSigner([NEW_SECRET]).judge_untrusted(CLIENT_COOKIE, ADDRESS, NOW).option)
    assert CookieSigner([NEW_SECRET]).judge_untrusted(before, ADDRESS, NOW).trust is Trust.BAD


@given(client_cookie=st.binary(min_size=8, max_size=8), address=addresses, other=addresses, now=times)
def test_a_cookie_is_good_for_its_address_alone(client_cookie: bytes, address: str, other: str, now: float) -> None:
    option = SIGNER.judge_untrusted(client_cookie, address, now).option
    assert SIGNER.judge_untrusted(option, address, now) == (Trust.GOOD, option)
    if other != address:
        assert SIGNER.judge_untrusted(option, other, now).trust is Trust.BAD


@given(position=st.integers(0, 23), flip=st.integers(1, 255))
def test_a_cookie_with_any_byte_changed_is_bad(position: int, flip: int) -> None:
    option = bytearray(SIGNER.judge_untrusted(CLIENT_COOKIE, ADDRESS, NOW).option)
    option[position] ^= flip
    assert SIGNER.judge_untrusted(bytes(option), ADDRESS, NOW).trust is Trust.BAD


def test_a_scope_id_is_no_part_of_the_address() -> None:
    option = SIGNER.judge_untrusted(CLIENT_COOKIE, "fe80::1%eth0", NOW).option
    assert SIGNER.judge_untrusted(option, "fe80::1", NOW).trust is Trust.GOOD


# Hostile options.


@pytest.mark.parametrize("size", [*range(8), *range(9, 16), 41, 100])
def test_a_cookie_of_the_wrong_length_is_a_format_error(size: int) -> None:
    """RFC 7873 section 5.2.2."""
    with pytest.raises(BadPacket) as caught:
        SIGNER.judge_untrusted(bytes(size), ADDRESS, NOW)
    assert caught.value.rcode == FORMERR


@pytest.mark.parametrize("size", range(16, 41))
def test_a_server_cookie_that_is_not_ours_is_bad_and_no_error(size: int) -> None:
    """RFC 7873 section 5.2.4: other lengths and versions may be those of other servers."""
    fresh = SIGNER.judge_untrusted(CLIENT_COOKIE, ADDRESS, NOW).option
    verdict = SIGNER.judge_untrusted(CLIENT_COOKIE + bytes(size - 8), ADDRESS, NOW)
    assert verdict == (Trust.BAD, fresh)


def test_a_cookie_of_another_version_is_bad_even_when_its_hash_is_right() -> None:
    head = CLIENT_COOKIE + b"\2\0\0\0" + NOW.to_bytes(4, "big")
    option = head + siphash(SECRET, head + bytes((198, 51, 100, 100))).to_bytes(8, "little")
    assert SIGNER.judge_untrusted(option, ADDRESS, NOW).trust is Trust.BAD


@given(
    option=st.one_of(
        st.binary(max_size=64), st.binary(min_size=16, max_size=16).map(lambda tail: CLIENT_COOKIE + tail)
    ),
    address=addresses,
    now=times,
)
def test_any_bytes_give_a_verdict_or_a_format_error(option: bytes, address: str, now: float) -> None:
    try:
        verdict = SIGNER.judge_untrusted(option, address, now)
    except BadPacket as bad:
        assert bad.rcode == FORMERR
    else:
        assert verdict.trust is not Trust.GOOD
        assert verdict.option[:8] == option[:8]
        assert SIGNER.judge_untrusted(verdict.option, address, now).trust is Trust.GOOD


# Secrets.


def test_a_secrets_file_is_lines_of_hex_digits_and_comments() -> None:
    text = f"# of ns1 and ns2\n\n  {SECRET.hex()}  # since May\r\n{NEW_SECRET.hex().upper()}"
    assert read_secrets(text, "cookies") == (SECRET, NEW_SECRET)


def test_every_bad_line_of_a_secrets_file_is_named_and_no_secret_is_shown() -> None:
    good = SECRET.hex()
    text = "\n".join((good, good[:-1], good + "00", "x" + good[1:], SECRET.hex(" "), good))
    with pytest.raises(SettingsError) as caught:
        read_secrets(text, "cookies")
    assert str(caught.value).splitlines() == [
        "cookies:2: expected a secret: 32 hexadecimal digits",
        "cookies:3: expected a secret: 32 hexadecimal digits",
        "cookies:4: expected a secret: 32 hexadecimal digits",
        "cookies:5: expected a secret: 32 hexadecimal digits",
        "cookies:6: the same secret as in an earlier line",
    ]


@pytest.mark.parametrize("text", ["", "# none yet\n\n"])
def test_a_secrets_file_without_a_secret_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="cookies: no secret"):
        read_secrets(text, "cookies")


@given(text=st.text())
def test_any_text_is_secrets_or_a_settings_error(text: str) -> None:
    try:
        assert all(len(secret) == 16 for secret in read_secrets(text, "cookies"))
    except SettingsError as error:
        assert error.problems


@given(first=st.binary(min_size=16, max_size=16), second=st.binary(min_size=16, max_size=16))
def test_a_secret_that_was_made_can_be_read(first: bytes, second: bytes) -> None:
    assert read_secrets(make_secret(first), "cookies") == (first,)
    if first != second:
        assert read_secrets(make_secret(first) + make_secret(second), "cookies") == (first, second)


@pytest.mark.parametrize("size", [0, 15, 17])
def test_secrets_of_another_size_are_refused(size: int) -> None:
    with pytest.raises(ValueError, match="16"):
        make_secret(bytes(size))
    with pytest.raises(ValueError, match="16"):
        CookieSigner([SECRET, bytes(size)])
    with pytest.raises(ValueError, match="16"):
        CookieSigner([])


def test_a_signer_does_not_show_its_secrets() -> None:
    assert SECRET.hex() not in repr(SIGNER)
    assert repr(SECRET) not in repr(SIGNER)
