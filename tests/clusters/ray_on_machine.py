"""`ray` as the machines of these tests have it: Ray's own, but for `ray stop`.

Ray's own ends every Ray that it sees. What it sees on such a machine are the machine's own processes; but should that
ever not be so, it would end the Ray of whoever runs these tests.
"""

import os
import sys
from pathlib import Path

import psutil

_RAY = ("raylet", "gcs_server", "ray::", "ray/autoscaler", "ray/dashboard", "log_monitor", "runtime_env/agent")
_GRACE_S = 8.0


def stop() -> None:
    """End the Ray of this machine: gcs_server last, as Ray does."""
    if "first_process.py" not in Path("/proc/1/cmdline").read_text():
        sys.exit("refused: this is no machine of tests/clusters")
    for last in (False, True):
        found = [process for process in psutil.process_iter() if _is_ray(process, last)]
        for process in found:
            process.terminate()
        _, left = psutil.wait_procs(found, timeout=_GRACE_S)
        for process in left:
            process.kill()


def _is_ray(process: psutil.Process, gcs: bool) -> bool:
    try:
        words = process.name() + " " + " ".join(process.cmdline()[:3])
    except psutil.Error:
        return False
    return process.pid != os.getpid() and any(word in words for word in _RAY) and ("gcs_server" in words) == gcs


if __name__ == "__main__":
    if sys.argv[1:2] == ["stop"]:
        stop()
    else:
        os.execv(Path(sys.executable).with_name("ray"), ["ray", *sys.argv[1:]])
