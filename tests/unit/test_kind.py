"""Starting an actor costs the import of nothing that it is made of."""

import subprocess
import sys

from actors import directory
from cluster.ids import EngineId

SCRIPT = """
import sys
from actors import directory
for kind in (directory.LEDGER, directory.JOURNAL, directory.SCHEDULER, directory.NODE, directory.ENGINE):
    kind._actor_class()
    kind.at("somebody")
modules = {"actors.ledger", "actors.journal", "actors.scheduler", "actors.node", "actors.engine", "sqlalchemy"}
print(sorted(modules & set(sys.modules)))
"""


def test_who_starts_and_calls_actors_does_not_import_them() -> None:
    """The Supervisor does both, for all of them."""
    told = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"


def test_an_engine_is_looked_up_once_however_often_it_is_called() -> None:
    assert directory.engine(EngineId("m/1")) is directory.engine(EngineId("m/1"))
    assert directory.engine(EngineId("m/1")) is not directory.engine(EngineId("m/2"))
