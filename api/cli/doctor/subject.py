"""The set-up that is looked at: what a system would be started with here."""

from collections.abc import Mapping
from pathlib import Path
from typing import Self

from msgspec import Struct

from api.cli.settings import notes, read_secrets, read_settings
from cluster.errors import ConfigError
from cluster.settings.schema import Settings


class Subject(Struct, frozen=True):
    """`settings` are as `infernet up` would read them, their secrets resolved, or None where they have `mistakes`.

    `named` is what they come from. What is not to be shown of them is for whoever shows something.
    """

    folder: Path
    env: Mapping[str, str]
    named: str
    settings: Settings | None
    mistakes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, config_file: Path | None, flags: Mapping[str, object], env: Mapping[str, str], folder: Path) -> Self:
        named = str(config_file) if config_file else "the environment"
        try:
            settings = read_settings(config_file, flags, env, folder)
            release, _ = read_secrets(settings, env)
        except ConfigError as error:
            return cls(folder, env, named, None, tuple(error.message.splitlines()))
        return cls(folder, env, named, release.settings, notes=tuple(notes(settings, env, None)))
