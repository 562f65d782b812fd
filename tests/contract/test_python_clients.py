"""Clients in Python that others wrote, each unchanged in an environment of its own (`clients`)."""

import pytest

from tests.contract.clients.running import run_tests
from tests.contract.given import HIGH, KeyMaker


@pytest.mark.parametrize(
    ("client", "tests"),
    [
        ("langchain", "langchain_client.py"),
        ("pydantic-ai", "pydantic_ai_client.py"),
        ("instructor", "instructor_client.py"),
        ("generated", "generated_client.py"),
    ],
)
def test_a_client_gets_what_it_asks_for(client: str, tests: str, new_key: KeyMaker, capitals: str) -> None:
    run_tests(client, tests, new_key(limits=HIGH), model=capitals)
