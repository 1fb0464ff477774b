"""Coming from elsewhere: configurations made of those of others. One file per source, one line per source in SOURCES.

A source carries over what it finds (`source.py` says how nothing is lost in silence), `fit.py` takes out what the
settings refuse, `toml.py` writes the rest. Pure: files in, text and report out.
"""

from collections.abc import Mapping, Sequence

import msgspec

from steering.imports import cloudflare, octodns
from steering.imports.fit import fit
from steering.imports.source import File, LeftOut, Report, Source, Table
from steering.imports.toml import write_comment, write_toml

SOURCES: Mapping[str, Source] = {"cloudflare": cloudflare.SOURCE, "octodns": octodns.SOURCE}


class Imported(msgspec.Struct, frozen=True):
    """A configuration that was made of another one. `left_out` is empty if all of it was carried over."""

    configuration: str
    """TOML that the settings take, with the rest of this as comments at its top."""
    counts: dict[str, int]
    """Tables that were made, by name."""
    left_out: tuple[LeftOut, ...]
    to_set: tuple[str, ...]
    """What the source cannot know: placeholders stand there."""


def import_files(source: str, files: Sequence[File]) -> Imported:
    """Files of a source of SOURCES as a configuration; raises SourceError if they cannot be read or have nothing."""
    report = Report()
    report.ask("server: listen, state: where questions arrive, and where waypost keeps what must survive")
    content = SOURCES[source].carry(files, report)
    server = content["server"]
    assert isinstance(server, Table)
    content["server"] = whole = Table(server.place)
    whole |= {"listen": ["127.0.0.1:5300", "[::1]:5300"], "state": "state", **server}
    fit(content, report)
    made = {name: len(value) for name, value in content.items() if isinstance(value, list) and value}
    for name in content.keys() - made.keys() - {"server"}:
        del content[name]
    lines = [write_comment(f"Imported from {source}: {', '.join(file.path for file in files)}")]
    for title, notes in (("To be set by you:", report.to_set), ("Not carried over, field by field:", report.left_out)):
        if notes:
            lines += ["#", write_comment(title), *(write_comment(f"- {note}") for note in notes)]
    text = "\n".join(lines) + "\n\n" + write_toml(content)
    return Imported(text, made, tuple(report.left_out), tuple(report.to_set))
