"""What the tests of this folder begin with: a client of the session's system."""

from collections.abc import Iterator

import pytest

from api.cli.client import Client
from tests.support.serving import Serving


@pytest.fixture
def client(serving: Serving) -> Iterator[Client]:
    with serving.client() as client:
        yield client
