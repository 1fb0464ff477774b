"""The secrets that are in files: of DNS cookies (RFC 9018) and of TSIG (RFC 8945)."""

from pathlib import Path

from steering.cookies import make_secret, read_secrets
from steering.files import replace_file
from steering.problems import ConfigurationError, SettingsError
from steering.settings import Server, Settings, SharedKey
from steering.values import parse_secret
from steering.wire import name_to_text
from steering.zones.tsig import Key

COOKIE_FILE = "cookie.secret"
"""Of the state directory."""


def load_cookie_secrets(server: Server, dice: bytes) -> tuple[bytes, ...]:
    """The secrets for DNS cookies: the operator's, or one of our own that is kept; raises ConfigurationError.

    `dice`: 16 random bytes, for the first time.
    """
    path = Path(server.cookie_secrets or Path(server.state) / COOKIE_FILE)
    try:
        if server.cookie_secrets is None and not path.exists():
            replace_file(path, make_secret(dice).encode())
        return read_secrets(path.read_text(), str(path))
    except SettingsError as error:
        raise ConfigurationError(map(str, error.problems)) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError([f"{path}: {error}"]) from error


def load_keys(settings: Settings, path: Path) -> tuple[Key, ...]:
    """The keys for TSIG, those in files read; raises ConfigurationError, which never has a secret."""
    keys, problems = [], []
    for key in settings.keys:
        try:
            keys.append(Key(key.name, key.algorithm, read_secret(key)))
        except SecretError as error:
            problems.append(f"{path}: secret_file of key {name_to_text(key.name)}: {error}")
    if problems:
        raise ConfigurationError(problems)
    return tuple(keys)


class SecretError(Exception):
    """A file that has no secret; the message says which and why, and has nothing of what is in it."""


def read_secret(key: SharedKey) -> bytes:
    """The secret of a key, which the configuration has, or the first line of a file; raises SecretError."""
    if key.secret_file is None:
        assert key.secret is not None, "the configuration has been checked"
        return key.secret
    try:
        return parse_secret(Path(key.secret_file).read_text("utf-8").partition("\n")[0])
    except OSError as error:
        reason = error.strerror or str(error)
    except UnicodeDecodeError:
        reason = "not UTF-8 text"
    except ValueError:
        reason = "not Base64"
    raise SecretError(f"{key.secret_file}: {reason}")
