"""Both servers, once for all requests to a model."""

from collections.abc import Iterator

import pytest

from tests.differential import servers


@pytest.fixture(scope="module")
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Both]:
    """With the model of the module's `SETTING`."""
    with servers.both(tmp_path_factory.mktemp("differential"), request.module.SETTING) as both:
        yield both
