"""Versions of the schema. A change of `cluster/store/tables` needs a new file in `versions`."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text

from cluster.errors import StartError
from cluster.store.failures import shown

# A table of millions of rows is not changed in seconds.
_TAKE_YOUR_TIME = text("SET LOCAL statement_timeout = 0")


def upgrade(engine: Engine) -> None:
    """Brings the schema to the newest version, in one transaction. Two at once are for the caller to prevent.

    Raises `StartError` if it is of a version this software does not know.
    """
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(_TAKE_YOUR_TIME)
        _refuse_newer(connection)
        command.upgrade(config_of(connection), "head")


def version_of(connection: Connection) -> str | None:
    """The version of the schema that is there, whether this software knows it or not; None where there is none."""
    return MigrationContext.configure(connection).get_current_revision()


def newest() -> str:
    """The version of the schema that this software needs."""
    return str(_scripts().get_current_head())


def is_known(version: str) -> bool:
    """Whether this software can bring a schema of this version up to date."""
    return version in {script.revision for script in _scripts().walk_revisions()}


def config_of(connection: Connection) -> Config:
    config = _config()
    config.attributes["connection"] = connection
    return config


def _config() -> Config:
    config = Config()
    # ConfigParser interpolates '%'.
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    return config


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())


def _refuse_newer(connection: Connection) -> None:
    version = version_of(connection)
    if version is not None and not is_known(version):
        raise StartError(
            f"The database {shown(connection.engine.url)} was written by a newer version of this software "
            f"(schema {version}): update the software"
        )
