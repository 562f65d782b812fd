"""Versions of the schema. A change of `tables.py` needs a new file in `versions/`."""

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
        config = config_of(connection)
        _refuse_newer(connection, ScriptDirectory.from_config(config))
        command.upgrade(config, "head")


def config_of(connection: Connection) -> Config:
    config = Config()
    # ConfigParser interpolates '%'.
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _refuse_newer(connection: Connection, scripts: ScriptDirectory) -> None:
    known = {script.revision for script in scripts.walk_revisions()}
    unknown = set(MigrationContext.configure(connection).get_current_heads()) - known
    if unknown:
        raise StartError(
            f"The database {shown(connection.engine.url)} was written by a newer version of this software "
            f"(schema {', '.join(sorted(unknown))}): update the software"
        )
