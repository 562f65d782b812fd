"""One system for the session: simulated models, and the built-in one on real vLLM."""

from collections.abc import Iterator

import pytest

from api.cli.client import Client
from tests.integration.serving import Serving

SETTINGS = {
    "limits": {"submissions_per_minute": 100_000, "submissions_per_hour": 1_000_000, "reads_per_minute": 100_000},
    "models": [
        {"id": "capitals", "aliases": ["capitals:latest"], "source": "builtin:capitals", "gpus": 0},
        {
            "id": "sim:fast",
            "backend": "simulated",
            "replicas": 2,
            "engine": {"first_token_s": 0.02, "token_s": 0.01, "batch_slots": 256, "output_tokens": 64},
        },
        {"id": "sim:failing", "backend": "simulated", "engine": {"fail_at_token": 5}},
        {"id": "sim:broken", "backend": "simulated", "engine": {"fail_on_load": "the weights are torn"}},
    ],
}


@pytest.fixture(scope="session")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    system = Serving(tmp_path_factory.mktemp("system"), SETTINGS)
    try:
        yield system.wait_until_ready("sim:fast")
        assert system.stop() == 0
    finally:
        system.end()


@pytest.fixture
def client(serving: Serving) -> Iterator[Client]:
    with serving.client() as client:
        yield client
