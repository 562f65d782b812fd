"""How properties are checked; the system that tests/integration and tests/contract share; the options of the latter.

The system is imported and started when a test asks for it: unit tests pay nothing.
"""

import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import Phase, settings

if TYPE_CHECKING:
    from tests.support.serving import Serving

# An example may take as long as a busy machine needs: how fast something is, a benchmark tells.
settings.register_profile("without a deadline", deadline=None)
# A mutant that is noticed need not be explained.
settings.register_profile("mutants", deadline=None, phases=[Phase.explicit, Phase.generate], database=None)
settings.load_profile("without a deadline")

# Whoever runs the tests in the background may ignore Ctrl-C, and commands that are tested would begin so, too.
signal.signal(signal.SIGINT, signal.default_int_handler)

SYSTEM = Path(__file__).parent / "contract" / "system.yaml"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("contract", "tests/contract on a system that runs already")
    group.addoption("--url", help="its address, such as http://127.0.0.1:8000 (default: start one)")
    group.addoption("--postgres", action="store_true", help="on a system that is started with a PostgreSQL")
    group.addoption("--key", help="an admin key of it")
    group.addoption("--model", action="append", help="a model for the rules that hold for any (may be repeated)")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Warnings are errors where our code runs alone. Beside vLLM, Ray and others' clients, theirs are only told."""
    here = Path(__file__).parent
    for item in items:
        if item.path.relative_to(here).parts[0] not in ("unit", "system"):
            item.add_marker(pytest.mark.filterwarnings("default"))


@pytest.fixture(scope="session")
def serving(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> "Iterator[Serving]":
    """One system for the session: two ingress replicas, simulated models, and the built-in one on real vLLM."""
    import yaml

    from tests.support.serving import Serving

    with ExitStack() as stack:
        settings = yaml.safe_load(SYSTEM.read_text())
        if request.config.getoption("--postgres"):
            from tests.support.postgres import PostgresServer

            settings["database"] = stack.enter_context(PostgresServer.installed()).create()
        system = Serving(tmp_path_factory.mktemp("system"), settings)
        stack.callback(system.end)
        yield system.wait_until_ready("sim:fast")
        assert system.stop() == 0
