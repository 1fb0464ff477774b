"""CSV files that people write: a header line, then rows, with the line numbers that error messages need.

Empty lines and lines whose first character is # are passed over. Cells are stripped.
"""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from geodata.errors import GeoError


def read_rows(path: Path, required: tuple[str, ...], optional: tuple[str, ...]) -> list[tuple[int, dict[str, str]]]:
    """The rows as (line number, column name → cell); a column that the file leaves out is "".

    Raises GeoError if the file cannot be read, its header is wrong, or a row has too many or too few cells.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise GeoError(f"{path}: cannot be read: {error}") from error
    lines = _lines(path, text)
    first, header = next(lines, (1, []))
    known = required + optional
    problems = [
        f"{path}:{first}: unknown column {name!r} (known: {', '.join(known)})" for name in header if name not in known
    ]
    problems += [
        f"{path}:{first}: the header line lacks the column {name!r}" for name in required if name not in header
    ]
    problems += [f"{path}:{first}: column {name!r} twice" for name in sorted(set(header)) if header.count(name) > 1]
    if problems:
        raise GeoError(*problems)
    rows = []
    for line, cells in lines:
        if len(cells) != len(header):
            problems.append(f"{path}:{line}: {len(cells)} cells, the header has {len(header)}")
        rows.append((line, dict.fromkeys(known, "") | dict(zip(header, cells, strict=False))))
    if problems:
        raise GeoError(*problems)
    return rows


def _lines(path: Path, text: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        for cells in reader:
            if cells and not cells[0].startswith("#"):
                yield reader.line_num, [cell.strip() for cell in cells]
    except csv.Error as error:
        raise GeoError(f"{path}:{reader.line_num}: {error}") from error
