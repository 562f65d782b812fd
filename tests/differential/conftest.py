"""Both servers, once for the session."""

from collections.abc import Iterator

import pytest

from tests.differential.servers import Both, both


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    with both(tmp_path_factory.mktemp("differential")) as servers:
        yield servers
