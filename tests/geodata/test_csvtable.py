"""CSV files of people: what is read, and which line is to blame."""

from pathlib import Path

import pytest

from geodata.csvtable import read_rows
from geodata.errors import GeoError


def rows(path: Path, content: str | bytes) -> list[tuple[int, dict[str, str]]]:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_rows(path, ("one",), ("two",))


def test_rows_have_their_line_numbers(tmp_path: Path) -> None:
    content = '# a comment\none,two\n\n a , b \n# another, with a comma\n"c\nd",e\nf,\n'
    assert rows(tmp_path / "a.csv", content) == [
        (4, {"one": "a", "two": "b"}),
        (7, {"one": "c\nd", "two": "e"}),
        (8, {"one": "f", "two": ""}),
    ]


def test_columns_come_in_any_order_and_may_be_left_out(tmp_path: Path) -> None:
    assert rows(tmp_path / "a.csv", "two,one\nb,a\n") == [(2, {"one": "a", "two": "b"})]
    assert rows(tmp_path / "a.csv", "one\r\na\r\n") == [(2, {"one": "a", "two": ""})]


def test_a_byte_order_mark_is_no_part_of_the_header(tmp_path: Path) -> None:
    assert rows(tmp_path / "a.csv", "\ufeffone\na\n") == [(2, {"one": "a", "two": ""})]


@pytest.mark.parametrize(
    ("content", "problems"),
    [
        ("", [":1: the header line lacks the column 'one'"]),
        (
            "two,three\n",
            [":1: unknown column 'three' (known: one, two)", ":1: the header line lacks the column 'one'"],
        ),
        ("one,one\n", [":1: column 'one' twice"]),
        ("one,two\na\nb,c\nd,e,f\n", [":2: 1 cells, the header has 2", ":4: 3 cells, the header has 2"]),
        ('one\n"a"b\n', [":2: ',' expected after '\"'"]),
        ('one\n"a\n', [":2: unexpected end of data"]),
    ],
)
def test_all_problems_at_once(tmp_path: Path, content: str, problems: list[str]) -> None:
    with pytest.raises(GeoError) as error:
        rows(tmp_path / "a.csv", content)
    assert list(error.value.problems) == [f"{tmp_path / 'a.csv'}{problem}" for problem in problems]


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    with pytest.raises(GeoError, match=r"a\.csv: cannot be read: 'utf-8' codec"):
        rows(tmp_path / "a.csv", b"one\n\xff\n")


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(GeoError, match=r"a\.csv: cannot be read: .*No such file"):
        read_rows(tmp_path / "a.csv", ("one",), ())
