"""Rules that every way of telling people keeps."""

import ast
from pathlib import Path

import pytest

from monitors import notify
from monitors.notify import NOTIFIERS

SHARED = {"courier", "event", "grouping", "notifications", "notifier", "spool", "wording"}
FOLDER = Path(notify.__file__).parent


def test_every_file_is_shared_or_a_kind_in_the_table_and_has_a_test() -> None:
    names = {path.stem for path in FOLDER.glob("*.py")} - {"__init__"}
    assert names - SHARED == set(NOTIFIERS)
    for name in names:
        assert (Path(__file__).parent / f"test_{name}.py").exists()


def test_the_name_in_the_table_is_the_type_in_the_configuration() -> None:
    assert {name: kind.notifier.__struct_config__.tag for name, kind in NOTIFIERS.items()} == {
        name: name for name in NOTIFIERS
    }


@pytest.mark.parametrize("name", NOTIFIERS)
def test_kinds_never_import_each_other(name: str) -> None:
    tree = ast.parse((FOLDER / f"{name}.py").read_text(encoding="utf-8"))
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not imported & {f"monitors.notify.{other}" for other in NOTIFIERS}


@pytest.mark.parametrize("name", ["event", "grouping", "notifier", "wording"])
def test_what_is_pure_imports_nothing_that_waits(name: str) -> None:
    tree = ast.parse((FOLDER / f"{name}.py").read_text(encoding="utf-8"))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not imported & {"trio", "time", "random", "logging", "socket", "os", "pathlib"}
