"""A configuration from TOML, all or nothing: every key by the Structs (settings.py), and the rules between keys
(settings_checks.py). Both always run, so that a file is told all that is wrong with it at once.
"""

import re
import tomllib
from pathlib import Path

from steering.problems import Problem, SettingsError, locate_problems
from steering.reading import Document, read_document
from steering.settings import Settings
from steering.settings_checks import CHECKS


def load_settings(path: Path) -> Settings:
    """The settings in a file; raises `SettingsError` with every problem, or that it cannot be read."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise SettingsError((Problem(str(path), 0, "", "", "", f"cannot be read: {reason}"),)) from None
    return parse_settings(text, path)


def parse_settings(text: str, file: Path) -> Settings:
    """The settings in the text of `file`, whose directory relative paths start at; raises `SettingsError`."""
    try:
        content = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        place = re.search(r"at line (\d+)", str(error))
        problem = Problem(str(file), int(place[1]) if place else 0, "", "", "", f"not TOML: {error}")
        raise SettingsError((problem,)) from None
    document = Document(file, content)
    settings = read_settings(document)
    if settings is None:
        raise SettingsError(locate_problems(file, text, content, document.problems, document.secrets))
    return settings


def read_settings(document: Document) -> Settings | None:
    """The settings in a document, which has all problems afterwards; None if there are any."""
    settings = read_document(Settings, document)
    for check in CHECKS:
        document.problems += check(document)
    return None if document.problems else settings
