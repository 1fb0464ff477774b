"""Tests of how a problem is shown; which problems there are is for the tests of settings."""

from pathlib import Path

import pytest

from steering.problems import Key, Problem, SettingsError, did_you_mean, locate_problems, show, show_key


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        (Problem("w.toml", 0, "", "", "", "is wrong"), "w.toml: is wrong"),
        (Problem("w.toml", 3, "", "", "", "is wrong"), "w.toml:3: is wrong"),
        (Problem("w.toml", 3, "a.b", "", "", "is wrong"), "w.toml:3: a.b: is wrong"),
        (Problem("w.toml", 3, "a.b", "", "1", "is wrong"), "w.toml:3: a.b = 1: is wrong"),
        (Problem("w.toml", 3, "a.b", 'a "x"', "1", "is wrong"), 'w.toml:3: a.b = 1 (a "x"): is wrong'),
    ],
)
def test_a_problem_is_one_line(problem: Problem, text: str) -> None:
    assert str(problem) == text


def test_an_error_has_a_line_for_each_problem() -> None:
    problems = (Problem("w.toml", 1, "", "", "", "one"), Problem("w.toml", 2, "", "", "", "two"))
    assert str(SettingsError(problems)) == "w.toml:1: one\nw.toml:2: two"


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ((), ""),
        (("server",), "server"),
        (("pool", 2, "origin", 0, "weight"), "pool[2].origin[0].weight"),
        (("network_pools", "192.0.2.0/24", 1), 'network_pools."192.0.2.0/24"[1]'),
        (("",), '""'),
    ],
)
def test_show_key(key: Key, text: str) -> None:
    assert show_key(key) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.5, "1.5"),
        (True, "true"),
        ("Zürich", '"Zürich"'),
        ('a"b\n\x1b[31m', r'"a\"b\n\u001b[31m"'),
        (["a", 1, [2], {"b": 3}], '["a", 1, [...], {...}]'),
        ("a" * 200, '"' + "a" * 56 + "..."),
        (2**63, "a very large number"),
        (-(2**63) + 1, "-9223372036854775807"),
    ],
)
def test_show(value: object, text: str) -> None:
    assert show(value) == text


@pytest.mark.parametrize(
    ("word", "known", "text"),
    [
        ("weigth", ["name", "weight"], '; did you mean "weight"?'),
        ("colour", ["name", "weight"], "; known: name, weight"),
        (None, ["name", "weight"], "; known: name, weight"),
        (None, ["a.b", "c\n"], r'; known: "a.b", "c\n"'),
        ("colour", [], ""),
        ("colour", list(map(str, range(21))), ""),
        ("weigth", ["weight", *map(str, range(1000))], ""),
    ],
)
def test_did_you_mean(word: object, known: list[str], text: str) -> None:
    assert did_you_mean(word, known) == text


def test_problems_come_in_the_order_of_the_file() -> None:
    text = 'b = 1\n[[pool]]\nname = "x"\n[[pool]]\nname = "y"\n[[pool.origin]]\nweight = 2\n'
    content = {"b": 1, "pool": [{"name": "x"}, {"name": "y", "origin": [{"weight": 2}]}]}
    keys: list[Key] = [("pool", 1, "origin", 0, "weight"), ("pool", 1, "origin", 0, "name"), ("pool", 0), ("b",), ()]
    found = [(key, "is wrong") for key in keys]
    assert list(map(str, locate_problems(Path("w.toml"), text, content, found))) == [
        "w.toml: is wrong",
        "w.toml:1: b = 1: is wrong",
        'w.toml:2: pool[0] (pool "x"): is wrong',
        'w.toml:6: pool[1].origin[0].name (pool "y"): is wrong',
        'w.toml:7: pool[1].origin[0].weight = 2 (pool "y"): is wrong',
    ]


def test_a_secret_is_not_shown_nor_what_is_below_it() -> None:
    content = {"a": {"key": "s3cret", "table": {"x": "s3cret", "y": ["s3cret"]}}, "b": "public"}
    keys: list[Key] = [("a", "key"), ("a", "table"), ("a", "table", "x"), ("a", "table", "y", 0), ("b",), ("a", "gone")]
    secrets: list[Key] = [("a", "key"), ("a", "table"), ("a", "gone")]
    found = locate_problems(Path("w.toml"), "", content, [(key, "is wrong") for key in keys], secrets)
    assert [str(problem).removeprefix("w.toml: ") for problem in found] == [
        "a.key = (secret): is wrong",
        "a.table: is wrong",
        "a.table.x = (secret): is wrong",
        "a.table.y[0] = (secret): is wrong",
        'b = "public": is wrong',
        "a.gone: is wrong",
    ]
