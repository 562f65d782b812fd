"""Runs the tests of one client by its own environment's pytest."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.contract.given import MadeKey

HERE = Path(__file__).parent
FOLDER = HERE.parents[2] / "build" / "clients"
_LONGEST_S = 150


def python_of(client: str) -> Path:
    """The client's own interpreter. Skips the test where it is not installed."""
    python = FOLDER / client / "bin" / "python"
    if not python.exists():
        pytest.skip(f"{client} is not installed: make build/clients/{client}/installed")
    return python


def run_tests(client: str, tests: str, key: MadeKey, **given: str) -> None:
    """Run this file's tests with the address of /v1, this key, and what else is `given` to them by name."""
    told = {"url": f"{key.api.url}/v1", "key": key.secret, **given}
    done = subprocess.run(
        [python_of(client), "-m", "pytest", "-c", HERE / "pytest.ini", "--durations=3", HERE / tests],
        env={**os.environ, **{f"CLIENT_{name.upper()}": value for name, value in told.items()}},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_LONGEST_S,
    )
    print(done.stdout)
    assert done.returncode == 0, f"{client} does not get what it should"
