"""Importing samples, and documents that somebody spoiled."""

import copy
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import strategies as st

from steering.imports import Imported, import_files
from steering.imports.source import File
from steering.settings import Settings
from steering.settings_file import parse_settings

SAMPLES = Path(__file__).parent / "samples"


def import_samples(source: str, *names: str) -> tuple[Imported, Settings]:
    """What the samples become; it is taken by the settings."""
    imported = import_files(source, [File(name, (SAMPLES / name).read_bytes()) for name in names])
    return imported, read(imported)


def import_document(source: str, document: object, path: str = "example.com.yaml") -> tuple[Imported, Settings]:
    """The same of a document; JSON is YAML, too."""
    imported = import_files(source, [File(path, msgspec.json.encode(document))])
    return imported, read(imported)


def read(imported: Imported) -> Settings:
    return parse_settings(imported.configuration, Path("/etc/waypost/waypost.toml"))


def notes(imported: Imported) -> dict[str, str]:
    """Reasons by path and value, as `path = value`."""
    return {" = ".join(filter(None, (each.path, each.value))): each.reason for each in imported.left_out}


WORDS = (
    "geo random proximity least_connections US WEU EU NA-US-CA 192.0.2.1 2001:db8::1 web.example.net example.com"
    " *.example.com id-paris paris tcp icmp_ping up down A 0"
)
texts = st.text(max_size=8) | st.sampled_from(WORDS.split())
leaves = (
    st.none() | st.booleans() | st.integers(-(2**70), 2**63) | st.floats(allow_nan=False, allow_infinity=False) | texts
)
junk = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=5
)


@st.composite
def spoiled(draw: st.DrawFn, document: Any) -> Any:
    """The document with parts that are gone, or something else."""
    document = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, 5))):
        holder = document
        while True:
            steps = sorted(holder) if isinstance(holder, dict) else list(range(len(holder)))
            if not steps:
                break
            step = draw(st.sampled_from(steps))
            if isinstance(holder[step], dict | list) and draw(st.integers(0, 4)):
                holder = holder[step]
                continue
            if draw(st.booleans()):
                holder[step] = draw(junk)
            else:
                del holder[step]
            break
    return document
