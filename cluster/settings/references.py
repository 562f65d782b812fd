"""Secrets that settings name instead of holding: `env:NAME` is a variable's value, `file:PATH` a file's content."""

from collections.abc import Mapping
from pathlib import Path

from cluster.errors import ConfigError
from cluster.settings.plain import plain

VARIABLE = "env:"
FILE = "file:"


def is_reference(text: str) -> bool:
    return text.startswith((VARIABLE, FILE))


def resolved(text: str, setting: str, env: Mapping[str, str]) -> str:
    """What `text` refers to; itself when it is no reference.

    Raises ConfigError, which names the setting and the place but nothing of what is there.
    """
    if text.startswith(VARIABLE):
        name = text.removeprefix(VARIABLE)
        if value := plain(env.get(name, "")):
            return value
        raise ConfigError(f"{setting}: the environment variable {name} is not set")
    if text.startswith(FILE):
        path = Path(text.removeprefix(FILE))
        try:
            value = plain(path.expanduser().read_text("utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            raise ConfigError(f"{setting}: cannot read {path}: {reason}") from None
        except (RuntimeError, ValueError):  # ~ and nobody's name, or a null byte
            raise ConfigError(f"{setting}: file: needs a path") from None
        if value:
            return value
        raise ConfigError(f"{setting}: {path} is empty")
    return text
