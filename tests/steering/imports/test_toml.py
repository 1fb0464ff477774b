"""TOML as it is written is what was meant."""

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steering.imports.source import Place, Table
from steering.imports.toml import write_comment, write_toml

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
plain = st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | texts
values = st.recursive(plain, lambda inner: st.lists(inner, max_size=8) | st.dictionaries(texts, inner, max_size=4))


def make_table(content: dict[str, Any], comment: str) -> Table:
    table = Table(Place("x"), comment)
    table.update(content)
    return table


flat = st.builds(make_table, st.dictionaries(texts, values, max_size=4), texts)
tables = st.recursive(
    flat,
    lambda inner: st.builds(
        make_table, st.dictionaries(texts, values | inner | st.lists(inner, min_size=1, max_size=3), max_size=4), texts
    ),
    max_leaves=6,
)


@given(tables)
def test_what_is_written_is_read_the_same(table: Table) -> None:
    assert tomllib.loads(write_toml(table)) == table


@given(texts)
def test_a_comment_is_one_line(text: str) -> None:
    assert tomllib.loads(write_comment(text) + "\na = 1") == {"a": 1}


def test_long_lists_and_tables_are_spread() -> None:
    pools = [f"pool-{number}" for number in range(30)]
    table = make_table(
        {"balancer": [make_table({"pools": pools, "by_place": {"FR": pools[:9], "DE": pools[:9]}}, "one")]}, ""
    )
    written = write_toml(table)
    assert written.startswith('# one\n[[balancer]]\npools = [\n    "pool-0",\n')
    assert "\n[balancer.by_place]\nFR = [" in written
    assert max(map(len, written.splitlines())) <= 120


def test_what_has_no_place_in_toml_is_refused() -> None:
    with pytest.raises(TypeError):
        write_toml(make_table({"a": None}, ""))
