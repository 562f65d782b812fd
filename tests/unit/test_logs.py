"""Logs say when and who, and are there after the run that wrote them."""

import subprocess
import sys
from pathlib import Path

from api.cli.run import kept_logs, runs

WRITES = """
import logging
from actors.machine import logs
logs.begin("Scheduler node/a")
logging.getLogger("actors.scheduler").warning("engine %s is lost", "sim/0")
logging.getLogger("actors.node").info("engine sim/1 is started")
logging.getLogger("httpx").info("not ours, and of no interest")
"""


def test_each_line_has_its_time_level_and_component() -> None:
    told = subprocess.run([sys.executable, "-c", WRITES], capture_output=True, text=True, check=True)
    times, lines = zip(*(line.split(" ", 1) for line in told.stderr.splitlines()), strict=True)
    assert lines == (
        "WARNING Scheduler node/a: engine sim/0 is lost",
        "INFO Scheduler node/a: engine sim/1 is started",
    )
    assert all(len(time) == len("2026-11-27T09:31:25.123Z") and time.endswith("Z") for time in times)


def run_with_logs(folder: Path, number: int, text: str) -> Path:
    temp = folder / f"infernet-{number}"
    logs = temp / "ray" / f"session_2026-11-27_09-31-{number:02}_274315_14154" / "logs"
    (logs / "serve").mkdir(parents=True)
    (logs / "worker-1.err").write_text(text)
    (logs / "worker-1.out").write_text("")
    (logs / "serve" / "replica.log").write_text("of Serve")
    (temp / "ray" / "session_latest").symlink_to(logs.parent)
    return temp


def test_what_a_run_wrote_outlives_it(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    temp = run_with_logs(tmp_path, 7, "why it ended")
    runs.record(state, temp)
    runs.clear(state)
    assert not temp.exists()
    kept = state / "logs" / "2026-11-27_09-31-07"
    assert (kept / "worker-1.err").read_text() == "why it ended"
    assert (kept / "serve" / "replica.log").read_text() == "of Serve"
    assert not (kept / "worker-1.out").exists()
    assert kept.stat().st_mode & 0o077 == 0


def test_the_last_runs_are_kept_and_of_each_log_its_end(tmp_path: Path) -> None:
    for number in range(kept_logs.RUNS + 3):
        kept_logs.keep(run_with_logs(tmp_path, number, "x" * kept_logs.BYTES + str(number)), tmp_path)
    kept = sorted((tmp_path / "logs").iterdir())
    assert [int(run.name[-2:]) for run in kept] == list(range(3, kept_logs.RUNS + 3))
    text = (kept[-1] / "worker-1.err").read_text()
    assert (len(text), text[-1]) == (kept_logs.BYTES, str(kept_logs.RUNS + 2))
