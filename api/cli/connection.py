"""Which server the command line talks to, and with which key."""

import json
import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

import httpx

from cluster.errors import ConfigError
from cluster.settings.environment import given
from cluster.settings.plain import plain
from cluster.settings.references import resolved

_FILE = "connection.json"
_DEFAULT_STATE = "~/.infernet"
_LAST_PORT = 65_535


@dataclass(frozen=True)
class Connection:
    """A server's root URL, without a slash at its end, and a key for it. The key is never shown.

    Raises ConfigError for a URL that is not plain http(s) and for a key that cannot stand in a header.
    """

    url: str
    key: str = field(repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "url", _checked_url(self.url))
        object.__setattr__(self, "key", _checked_key(self.key))


def resolve(url: str | None, key: str | None, state: Path | None, env: Mapping[str, str]) -> Connection:
    """The connection from the flags, else the environment, else what `infernet up` left in the state folder.

    Raises ConfigError, which says how to give what is missing.
    """
    url = url or given(env, "INFERNET_URL")
    key = key or _referred(given(env, "INFERNET_KEY"), env)
    if url and key:
        return Connection(url, key)
    folder = state_folder(state, env)
    kept = read(folder)
    if url:
        # A kept key goes to the server it was made for and to no other.
        if kept is None or kept.url != _checked_url(url):
            raise ConfigError(f"No key for {url}: give --key or set INFERNET_KEY")
        return kept
    if kept is None:
        raise ConfigError(
            f"No server known in {folder}: run `infernet up`, or give --url and --key "
            "(or INFERNET_URL and INFERNET_KEY)"
        )
    return Connection(kept.url, key or kept.key)


def state_folder(state: Path | None, env: Mapping[str, str]) -> Path:
    """The folder of the flag, else of INFERNET_STATE, else ~/.infernet. It need not exist.

    Raises ConfigError where nobody knows where it is.
    """
    path = state or Path(given(env, "INFERNET_STATE") or _DEFAULT_STATE)
    if not path.parts or path.parts[0] != "~" or Path(env.get("HOME", "/")).is_absolute():
        with suppress(RuntimeError):  # ~ and nobody's home
            return path.expanduser().absolute()
    raise ConfigError(f"There is no home folder for {path}: give --state, or set INFERNET_STATE or HOME")


def _referred(key: str | None, env: Mapping[str, str]) -> str | None:
    return None if key is None else resolved(key, "INFERNET_KEY", env)


def write(state_dir: Path, connection: Connection) -> None:
    """Keep the connection for later commands, readable by its owner only, in place of any earlier one."""
    state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    # mkstemp makes the file 0600; the rename lets no reader see half of it.
    descriptor, draft = tempfile.mkstemp(dir=state_dir, prefix=_FILE)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(asdict(connection), file)
    Path(draft).replace(state_dir / _FILE)


def read(state_dir: Path) -> Connection | None:
    """The connection kept in this folder, or None. Raises ConfigError when the file is not one."""
    path = state_dir / _FILE
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        return Connection(url=fields["url"], key=fields["key"])
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError, ConfigError) as error:
        # The cause may quote the file, and the file holds the key.
        raise ConfigError(f"{path} does not hold a url and a key; run `infernet up` again") from error


def _checked_url(url: str) -> str:
    url = plain(url).rstrip("/")
    try:
        parts = httpx.URL(url)
        parts.host.encode("idna")
    except (httpx.InvalidURL, UnicodeError) as error:
        raise ConfigError(f"url: {url!r} is not a URL: {error}") from error
    if parts.scheme not in ("http", "https") or not parts.host:
        raise ConfigError(f"url: {url!r} must begin with http:// or https:// and a host")
    if (parts.port or 0) > _LAST_PORT:
        raise ConfigError(f"url: there is no port {parts.port}")
    if parts.userinfo or parts.query or parts.fragment:
        raise ConfigError("url: give the server's root, without a user, a query or a fragment")
    return url


def _checked_key(key: str) -> str:
    key = plain(key)
    if not key.isascii() or not key.isprintable() or not key or " " in key:
        raise ConfigError("key: a key is printable ASCII without spaces")
    return key
