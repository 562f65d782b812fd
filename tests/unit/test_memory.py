"""A process may offer itself to the kernel, and what it starts with it."""

import subprocess
import sys

import pytest

OFFERS = """
import subprocess
from pathlib import Path
from actors.machine import memory
memory.be_expendable()
memory.be_expendable()
print(subprocess.run(["cat", "/proc/self/oom_score_adj"], capture_output=True, text=True).stdout.strip())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Linux's own")
def test_who_offers_itself_is_ended_first() -> None:
    told = subprocess.run([sys.executable, "-c", OFFERS], capture_output=True, text=True, check=True)
    assert (int(told.stdout), told.stderr) == (500, "")
