"""Tests of reading along Structs that no setting has: the walker must not depend on those there are today."""

from pathlib import Path
from typing import Annotated, Literal

import msgspec
import pytest
from msgspec import Meta, field

from steering.problems import Key
from steering.reading import Document, parse_duration, read_document


class Circle(msgspec.Struct, tag_field="shape", tag="circle"):
    radius: Annotated[float, Meta(ge=0)]


class Square(msgspec.Struct, tag_field="shape", tag="square"):
    side: Annotated[float, Meta(le=10)] = 1.0


class Inner(msgspec.Struct):
    name: Annotated[str, Meta(max_length=3)]


def pair(name: str, text: str) -> str:
    if name == text:
        raise ValueError("the same twice")
    return f"{name}={text}"


class Outer(msgspec.Struct):
    count: int = 0
    ratio: float = 0.0
    flag: bool = False
    word: Annotated[str, Meta(pattern="^a")] = "a"
    choice: Literal["x", "y"] = "x"
    doubled: Annotated[str, Meta(extra={"parse": lambda text: text * 2}, description="a word")] = ""
    paired: Annotated[tuple[str, ...], Meta(extra={"parse_pair": pair}, description="a table of words")] = ()
    inner: Inner | None = None
    many: tuple[Inner, ...] = field(name="inner_list", default=())
    shapes: tuple[Circle | Square, ...] = ()
    numbers: dict[str, int] = {}
    timeout: float = 1.0
    code: Annotated[str, Meta(pattern="^a", description="a code")] = "a"
    file: Annotated[str, Meta(min_length=1, extra={"path": True}, description="a file")] | None = None


class Login(msgspec.Struct):
    user: str
    password: Annotated[str, Meta(pattern="^a", extra={"secret": True}, description="a password")] | None = None
    tokens: Annotated[dict[str, int], Meta(extra={"secret": True})] = {}


KEYS = "count, ratio, flag, word, choice, doubled, paired, inner, inner_list, shapes, numbers, timeout, code, file"


def read(content: dict[str, object]) -> tuple[Outer | None, list[tuple[Key, str]]]:
    document = Document(Path("w.toml"), content)
    return read_document(Outer, document), document.problems


def test_everything_good() -> None:
    content: dict[str, object] = {
        "count": -(2**63) + 1,
        "ratio": 2,
        "flag": True,
        "word": "ab",
        "choice": "y",
        "doubled": "ab",
        "paired": {"b": "1", "a": "2"},
        "inner": {"name": "abc"},
        "inner_list": [{"name": "a"}, {"name": "b"}],
        "shapes": [{"shape": "square"}, {"shape": "circle", "radius": 1}],
        "numbers": {"a": 1},
        "timeout": "250ms",
        "file": "a/b",
    }
    outer, problems = read(content)
    assert problems == []
    assert outer == Outer(
        count=-(2**63) + 1,
        ratio=2.0,
        flag=True,
        word="ab",
        choice="y",
        doubled="abab",
        paired=("b=1", "a=2"),
        inner=Inner("abc"),
        many=(Inner("a"), Inner("b")),
        shapes=(Square(), Circle(1.0)),
        numbers={"a": 1},
        timeout=0.25,
        file=str(Path("a/b").absolute()),
    )


@pytest.mark.parametrize(
    ("content", "key", "message"),
    [
        ({"count": True}, ("count",), "expected a whole number"),
        ({"count": 1.0}, ("count",), "expected a whole number"),
        ({"count": 2**63}, ("count",), "expected a whole number"),
        ({"ratio": float("inf")}, ("ratio",), "expected a number"),
        ({"ratio": "1s"}, ("ratio",), "expected a number"),
        ({"flag": 1}, ("flag",), "expected true or false"),
        ({"word": "b"}, ("word",), "expected text matching ^a"),
        ({"choice": 1}, ("choice",), 'expected one of "x", "y"'),
        ({"doubled": 1}, ("doubled",), "expected a word"),
        ({"paired": []}, ("paired",), "expected a table of words"),
        ({"paired": {"a": "1", "b": 2}}, ("paired", "b"), "expected text"),
        ({"paired": {"a": "a"}}, ("paired", "a"), "the same twice"),
        ({"inner": []}, ("inner",), "expected a table"),
        ({"inner": {"name": "abcd"}}, ("inner", "name"), "expected text"),
        ({"inner": {}}, ("inner", "name"), "missing; expected text"),
        ({"inner_list": {}}, ("inner_list",), "expected tables under double brackets, [[...]]"),
        ({"inner_list": [{"name": "a"}, 1]}, ("inner_list", 1), "expected a table"),
        ({"many": []}, ("many",), f"unknown key; known: {KEYS}"),
        ({"shapes": [1]}, ("shapes", 0), "expected a table"),
        ({"shapes": [{}]}, ("shapes", 0, "shape"), 'missing; expected one of "circle", "square"'),
        ({"shapes": [{"shape": []}]}, ("shapes", 0, "shape"), 'expected one of "circle", "square"'),
        ({"shapes": [{"shape": "circle", "radius": -1}]}, ("shapes", 0, "radius"), "expected a number of at least 0"),
        ({"shapes": [{"shape": "square", "side": 11}]}, ("shapes", 0, "side"), "expected a number of at most 10"),
        ({"numbers": [1]}, ("numbers",), "expected a table"),
        ({"numbers": {"a": "b"}}, ("numbers", "a"), "expected a whole number"),
        ({"code": "b"}, ("code",), "expected a code"),
        ({"file": ""}, ("file",), "expected a file"),
        ({"file": "a\0"}, ("file",), "expected a file"),
        ({"file": 1}, ("file",), "expected a file"),
        ({"timeout": None}, ("timeout",), 'expected a number, in seconds or with a unit like "60s"'),
    ],
)  # fmt: skip
def test_one_problem(content: dict[str, object], key: Key, message: str) -> None:
    assert read(content) == (None, [(key, message)])


def test_what_is_good_can_be_asked_for_beside_what_is_bad() -> None:
    document = Document(Path("w.toml"), {"inner_list": [{"name": "a"}, {"name": 1}, {"name": "c"}]})
    assert read_document(Outer, document) is None
    assert list(document.all(Inner)) == [(("inner_list", 0), Inner("a")), (("inner_list", 2), Inner("c"))]
    assert len(document.tables("inner_list")) == 3


@pytest.mark.parametrize("text", ["", "1", "s", "-1s", "1 s", "1S", "1d", "1e3s", "١s", "9999999999s"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="expected a duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("content", "secrets"),
    [
        ({"user": "x"}, []),
        ({"user": "x", "password": "b"}, [("password",)]),
        ({"user": "x", "tokens": {"a": "b"}}, [("tokens",)]),
        ({"user": "x", "pasword": "abc"}, [("pasword",)]),
    ],
)
def test_secrets_are_known_by_their_keys(content: dict[str, object], secrets: list[Key]) -> None:
    document = Document(Path("w.toml"), content)
    read_document(Login, document)
    assert document.secrets == set(secrets)


def test_a_table_without_secrets_keeps_none() -> None:
    document = Document(Path("w.toml"), {"unknown": 1})
    read_document(Outer, document)
    assert document.secrets == set()
