"""The database's schema, brought up to date before anything waits for it."""

from api.cli.render import Step
from cluster.store.database import Database
from cluster.store.inspection import schema_state
from cluster.store.open import exists


def bring_up_to_date(database: str) -> None:
    """Takes as long as it takes, which the actors' start would not wait for. A new database is left to the Ledger.

    Raises StartError.
    """
    if exists(database) and schema_state(database) == "older":
        with Step("Bringing the database's schema up to date"):
            Database(database).close()
