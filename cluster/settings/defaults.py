"""What settings are where they do not say."""

from pathlib import Path

from msgspec.structs import replace

from cluster.settings.schema import Settings


def with_database(settings: Settings, folder: Path) -> Settings:
    """The settings with a database in `folder` unless they name one."""
    if settings.database:
        return settings
    return replace(settings, database=default_database(folder))


def default_database(folder: Path) -> str:
    """The database of a system whose settings name none: a file in its state folder."""
    return f"sqlite:///{folder.resolve() / 'infernet.db'}"
