"""What the tests of this folder begin with: a client of the session's system, and a system of vLLM in all its forms."""

from collections.abc import Iterator

import pytest

from api.cli.client import Client
from tests.support.forms import Forms, system_of_forms
from tests.support.serving import Serving


@pytest.fixture
def client(serving: Serving) -> Iterator[Client]:
    with serving.client() as client:
        yield client


@pytest.fixture(scope="session")
def forms(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forms]:
    """One for all of these tests: each start of it loads vLLM as often as it has models."""
    with system_of_forms(tmp_path_factory.mktemp("forms")) as forms:
        yield forms
