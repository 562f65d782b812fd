"""A process that is killed leaves nothing of what it started behind."""

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

LEADER = """
import subprocess, sys
from multiprocessing.shared_memory import SharedMemory
from actors.machine import remains
remains.end_with_this_process()
child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
shared = SharedMemory(create=True, size=4096)
print(child.pid, shared.name, flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("group", [None, 0], ids=["in its parent's group", "leading one already"])
def test_what_a_killed_process_started_ends_with_it_and_its_shared_memory_is_freed(group: int | None) -> None:
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", LEADER], stdin=pipe, stdout=pipe, process_group=group) as leader:
        assert leader.stdout is not None
        child, shared = leader.stdout.readline().decode().split()
        started = psutil.Process(leader.pid).children()
        assert int(child) in {process.pid for process in started}
        assert Path("/dev/shm", shared).exists()
        leader.kill()
        leader.wait()
        _, alive = psutil.wait_procs(started, timeout=10)
        assert alive == []
        assert not Path("/dev/shm", shared).exists()
