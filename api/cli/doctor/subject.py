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

    `named` is what they come from. With a `ray_address` that cluster is to be joined, else a Ray is started here. What
    is not to be shown of them is for whoever shows something.
    """

    folder: Path
    env: Mapping[str, str]
    named: str
    settings: Settings | None
    mistakes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    ray_address: str | None = None

    @classmethod
    def of(
        cls,
        config_file: Path | None,
        flags: Mapping[str, object],
        env: Mapping[str, str],
        folder: Path,
        ray_address: str | None = None,
    ) -> Self:
        named = str(config_file) if config_file else "the environment"
        try:
            settings = read_settings(config_file, flags, env, folder, here=ray_address is None)
            release, _ = read_secrets(settings, env)
        except ConfigError as error:
            return cls(folder, env, named, None, tuple(error.message.splitlines()), ray_address=ray_address)
        told = tuple(notes(settings, env, ray_address))
        return cls(folder, env, named, release.settings, notes=told, ray_address=ray_address)
