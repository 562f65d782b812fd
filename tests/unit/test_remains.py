"""A process that is killed leaves nothing of its group behind."""

import subprocess
import sys

import psutil

LEADER = """
import os, subprocess, sys
os.setpgid(0, 0)
from actors.machine import remains
remains.end_with_this_process()
child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pthread_sigmask(0, {15}); signal.pause()"])
print(child.pid, flush=True)
sys.stdin.read()
"""


def test_what_a_killed_process_started_ends_with_it() -> None:
    with subprocess.Popen([sys.executable, "-c", LEADER], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as leader:
        assert leader.stdout is not None
        child = psutil.Process(int(leader.stdout.readline()))
        (watcher,) = [each for each in psutil.Process(leader.pid).children() if each.pid != child.pid]
        assert child.is_running()
        leader.kill()
        leader.wait()
        _, alive = psutil.wait_procs([child, watcher], timeout=10)
        assert alive == []
