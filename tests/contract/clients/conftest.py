"""What each client is given: the address of /v1, a key, and the model to ask."""

import os

import pytest


@pytest.fixture(scope="session")
def url() -> str:
    return os.environ["CLIENT_URL"]


@pytest.fixture(scope="session")
def key() -> str:
    return os.environ["CLIENT_KEY"]


@pytest.fixture(scope="session")
def model() -> str:
    return os.environ["CLIENT_MODEL"]
