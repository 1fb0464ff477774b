"""Rules that every kind of check keeps."""

import ast
from pathlib import Path

import pytest

from monitors import probes
from monitors.probes import PROBES

FILES = sorted(path for path in Path(probes.__file__).parent.glob("*.py") if path.name != "__init__.py")


def test_every_file_is_a_kind_in_the_table_and_has_a_test() -> None:
    assert [path.stem for path in FILES] == sorted(PROBES)
    for path in FILES:
        assert (Path(__file__).parent / f"test_{path.name}").exists()


def test_the_name_in_the_table_is_the_type_in_the_configuration() -> None:
    assert {name: kind.monitor.__struct_config__.tag for name, kind in PROBES.items()} == {
        name: name for name in PROBES
    }


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_kinds_never_import_each_other(path: Path) -> None:
    tree = ast.parse(path.read_text())
    imported = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module]
    imported += [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    assert not [name for name in imported if name.startswith("monitors.probes")]
    assert ast.get_docstring(tree)
