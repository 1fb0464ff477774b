"""The rules of the rooms, checked over the imports of every file; and that no kind is forgotten."""

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from geodata.sources import SOURCES
from monitors.notify import NOTIFIERS
from monitors.probes import PROBES
from steering.balance.policies import POLICIES
from steering.beside import EXPORTS, UPDATES
from steering.commands import COMMANDS
from steering.imports import SOURCES as IMPORT_SOURCES
from steering.records import RECORDS

ROOT = Path(__file__).parent.parent
ROOMS = ("steering", "monitors", "geodata")
FILES = sorted(path.relative_to(ROOT) for room in ROOMS for path in (ROOT / room).rglob("*.py"))

TABLES: dict[str, Mapping[str, object]] = {
    "monitors/notify": NOTIFIERS,
    "monitors/probes": PROBES,
    "steering/balance/policies": POLICIES,
    "steering/beside": {**EXPORTS, **UPDATES},
    "steering/commands": COMMANDS,
    "steering/imports": IMPORT_SOURCES,
    "steering/records": RECORDS,
    "geodata/sources": SOURCES,
}
"""Folder → its table of kinds."""
SHARED = {
    "steering/balance/policies/policy.py",
    "steering/beside/export.py",
    "steering/beside/powerdns_remote.py",
    "steering/beside/update.py",
    "steering/beside/ways.py",
    "steering/beside/updater.py",
    "steering/beside/writer.py",
    "steering/commands/command.py",
    "steering/imports/cloudflare_shapes.py",
    "steering/imports/fit.py",
    "steering/imports/source.py",
    "steering/imports/toml.py",
    "steering/imports/yaml_document.py",
    "steering/records/record.py",
} | {
    f"monitors/notify/{name}.py"
    for name in ("courier", "event", "grouping", "notifications", "notifier", "spool", "wording")
}
"""What the kinds of a folder share."""

WAITING = re.compile(
    r"steering/(serve|querylog|beside)/|steering/(control|worker)\.py|steering/zones/refresh"
    r"|monitors/(probes|notify)/|monitors/scheduler\.py"
)
"""Where DESIGN.md allows trio; besides, a file whose docstring begins with TRIO."""
PROGRAMS = {
    f"steering/{name}.py"
    for name in ("cli", "control", "log", "prepare", "state_files", "supervisor", "systemd", "worker")
} | {"steering/health/keeper.py", "steering/offline/answers.py"}
"""Files that start, join, time and log things, besides commands; the others are pure or wait."""
OF_SOCKET = re.compile(r"[A-Z0-9_]+|inet_(pton|ntop|aton|ntoa)|gaierror|AddressFamily")
"""What a pure file may use of socket: its numbers, addresses as text, types and errors. None of it opens a socket."""
IMPURE = {"time", "logging", "random", "secrets", "trio", "asyncio", "threading", "select", "subprocess", "signal"}


def tree_of(path: Path) -> ast.Module:
    return ast.parse((ROOT / path).read_text(encoding="utf-8"))


def module_of(path: Path) -> str:
    """The dotted name of a file."""
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path: Path) -> Iterator[tuple[str, str]]:
    """Module and name of each import, wherever in the file; the name is empty for a whole module."""
    package = path.parent.parts
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(filter(None, (base, node.module or "")))
            yield from ((module, alias.name) for alias in node.names)


def modules_of(path: Path) -> set[str]:
    """Every module that a file may have imported: of `from a import b`, both a and a.b."""
    return {name for module, member in imports_of(path) for name in (module, f"{module}.{member}")}


def is_trio(path: Path) -> bool:
    return bool(WAITING.match(path.as_posix())) or (ast.get_docstring(tree_of(path)) or "").startswith("TRIO")


def is_pure(path: Path) -> bool:
    in_programs = path.as_posix() in PROGRAMS or path.parent == Path("steering/commands")
    return not in_programs and not is_trio(path) and path != Path("geodata/data/build.py")


@pytest.mark.parametrize("room", ["monitors", "geodata"])
def test_monitors_and_geodata_know_nothing_of_the_rest(room: str) -> None:
    others = set(ROOMS) - {room}
    for path in FILES:
        if path.parts[0] == room:
            assert not {module for module in modules_of(path) if module.split(".")[0] in others}, path


@pytest.mark.parametrize("program", ["control", "worker", "supervisor"])
def test_only_commands_import_control_worker_and_supervisor(program: str) -> None:
    users = {path.as_posix() for path in FILES if f"steering.{program}" in modules_of(path)}
    assert all(user == "steering/cli.py" or user.startswith("steering/commands/") for user in users)


@pytest.mark.parametrize("folder", TABLES)
def test_kinds_never_import_each_other(folder: str) -> None:
    kinds = [path for path in FILES if path.parent == Path(folder) and path.name != "__init__.py"]
    names = {module_of(path) for path in kinds if path.as_posix() not in SHARED}
    for path in kinds:
        assert not modules_of(path) & (names - {module_of(path)}), path


@pytest.mark.parametrize("path", [path for path in FILES if "trio" in modules_of(path)], ids=Path.as_posix)
def test_trio_only_where_something_waits(path: Path) -> None:
    assert is_trio(path)


@pytest.mark.parametrize("path", [path for path in FILES if is_pure(path)], ids=Path.as_posix)
def test_pure_files_take_time_dice_and_addresses_as_arguments(path: Path) -> None:
    assert not {module.split(".")[0] for module in modules_of(path)} & IMPURE
    assert all(OF_SOCKET.fullmatch(name) for name in names_of_socket(path))
    text = (ROOT / path).read_text(encoding="utf-8")
    assert not re.search(r"\b(os\.urandom|datetime\.now|datetime\.today|uuid4|perf_counter)\b", text)


def names_of_socket(path: Path) -> set[str]:
    """What a file uses of socket."""
    used = {member for module, member in imports_of(path) if module == "socket" and member}
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "socket":
            used.add(node.attr)
    return used


@pytest.mark.parametrize("folder", TABLES)
def test_every_kind_is_in_the_table_of_its_folder(folder: str) -> None:
    files = {path.stem for path in FILES if path.parent == Path(folder) and path.as_posix() not in SHARED}
    # The name of a file ends with an underscore where its kind is called like a keyword of Python.
    assert {file.removesuffix("_") for file in files - {"__init__"}} == {name.lower() for name in TABLES[folder]}


KINDS = [pytest.param(folder, name, id=f"{folder}/{name}") for folder, table in TABLES.items() for name in table]


@pytest.mark.parametrize(("folder", "name"), KINDS)
def test_every_kind_has_a_test(folder: str, name: str) -> None:
    """A file of its own; or the file of the whole folder goes over the table and names the kind."""
    tests = ROOT / "tests" / folder
    own, whole = tests / f"test_{name.lower()}.py", tests / f"test_{Path(folder).name}.py"
    if not own.exists():
        assert whole.exists()
        assert re.search(rf"\b{name}\b", whole.read_text(encoding="utf-8"))


@pytest.mark.parametrize(("folder", "name"), KINDS)
def test_every_kind_is_in_the_reference(folder: str, name: str) -> None:
    """As a word in code, or, for what is no word of the configuration, in prose; a command and a source of imports, as
    a heading of its own."""
    if folder == "steering/commands":
        assert f"\n## `waypost {name}`\n" in (ROOT / "config" / "commands.md").read_text(encoding="utf-8")
        return
    if folder == "steering/imports":
        assert f"\n## `waypost import {name}`\n" in (ROOT / "config" / "import.md").read_text(encoding="utf-8")
        return
    text = (ROOT / "config" / "reference.md").read_text(encoding="utf-8")
    quoted = rf'["`]{name}["`]|\b{name}\b(?=[^`\n]*`)' if folder != "geodata/sources" else rf"\b{name}\b"
    assert re.search(quoted, text)


@pytest.mark.parametrize("path", FILES, ids=Path.as_posix)
def test_every_file_says_what_it_is_for(path: Path) -> None:
    tree = tree_of(path)
    assert ast.get_docstring(tree) or not tree.body


def test_the_checks_see_what_they_look_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every way to write an import."""
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    (tmp_path / "steering" / "zones").mkdir(parents=True)
    path = Path("steering/zones/x.py")
    text = "import os.path\nfrom ..control import f\nfrom . import store\nfrom steering import worker\n"
    (tmp_path / path).write_text(text + "def f():\n    import trio\n    socket.create_connection()\n")
    assert {"os.path", "steering.control", "steering.zones.store", "steering.worker", "trio"} <= modules_of(path)
    assert names_of_socket(path) == {"create_connection"}
    assert not is_trio(path)
