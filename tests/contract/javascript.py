"""Runs the clients of tests/contract/node."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.contract.given import MadeKey

FOLDER = Path(__file__).parent / "node"
_ALONE = {"fetch_reader.mjs"}
"""Scripts that need no package."""
_LONGEST_S = 60


def node(key: MadeKey, script: str, *arguments: str) -> Any:
    """What the script prints. Skips the test where there is nothing to run it with."""
    program = shutil.which("node")
    if program is None:
        pytest.skip("node is not installed")
    if script not in _ALONE and not (FOLDER / "node_modules" / "installed").exists():
        pytest.skip("the JavaScript clients are not installed: make tests/contract/node/node_modules/installed")
    done = subprocess.run(
        [program, str(FOLDER / script), *arguments],
        env={**os.environ, "INFERNET_URL": key.api.url, "INFERNET_KEY": key.secret},
        capture_output=True,
        text=True,
        timeout=_LONGEST_S,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
