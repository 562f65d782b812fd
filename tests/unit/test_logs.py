"""Logs say when and who, each thing once in a while, and are there after the run that wrote them."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from actors.machine import logs
from actors.machine.repeats import Repeats
from api.cli.run import kept_logs, run_log, runs
from cluster.errors import StartError

WRITES = """
import logging
from actors.machine import logs
logs.begin("scheduler")
logging.getLogger("actors.scheduler").warning("engine %s is lost", "sim/0")
logging.getLogger("actors.node").info("engine sim/1 is started")
logging.getLogger("httpx").info("not ours, and of no interest")
"""


def written_by(env: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", WRITES], capture_output=True, text=True, check=True, env={**os.environ, **env}
    )


def without_times(text: str) -> list[str]:
    times, lines = zip(*(line.split(" ", 1) for line in text.splitlines()), strict=True)
    assert all(len(time) == len("2026-11-27T09:31:25.123Z") and time.endswith("Z") for time in times)
    return [line.partition("[")[0] + line.partition("]")[2] for line in lines]


LINES = ["WARNING scheduler engine sim/0 is lost", "INFO scheduler engine sim/1 is started"]


def test_each_line_has_its_time_level_and_process() -> None:
    assert without_times(written_by({}).stderr) == LINES


def test_all_processes_of_a_run_write_to_one_private_file(tmp_path: Path) -> None:
    log = tmp_path / "infernet.log"
    for _ in range(2):
        assert written_by({logs.VARIABLE: str(log)}).stderr == ""
    assert without_times(log.read_text()) == LINES * 2
    assert log.stat().st_mode & 0o077 == 0


def test_a_log_that_is_moved_away_goes_on_in_a_new_file_and_the_oldest_go(tmp_path: Path) -> None:
    log = tmp_path / "infernet.log"
    logs.rotate(log, 1)
    for number in range(logs.KEPT + 3):
        log.write_text(str(number))
        logs.rotate(log, 2)
        assert log.exists(), "it is short enough"
        logs.rotate(log, 1)
    assert not log.exists()
    kept = [log.with_name(f"{log.name}.{number}").read_text() for number in range(1, logs.KEPT + 1)]
    assert kept == ["5", "4", "3"]
    assert len(list(tmp_path.iterdir())) == logs.KEPT


def test_a_run_writes_when_it_begins_and_why_it_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(logs.VARIABLE, "")
    with pytest.raises(StartError), run_log.written(tmp_path) as folder:
        run_log.rotate()
        raise StartError("no room for model big")
    assert without_times((folder / kept_logs.NAME).read_text())[1] == "ERROR infernet ends: no room for model big"
    with pytest.raises(ZeroDivisionError), run_log.written(tmp_path) as folder:
        raise ZeroDivisionError
    assert "ZeroDivisionError" in (folder / kept_logs.NAME).read_text()
    with run_log.written(tmp_path) as folder:
        pass
    assert (folder / kept_logs.NAME).read_text().endswith(f"infernet[{os.getpid()}] stopped\n")


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def warning(text: str, line: int = 1, level: int = logging.WARNING) -> logging.LogRecord:
    return logging.LogRecord("actors.x", level, "x.py", line, "%s", (text,), None)


def test_of_the_same_and_of_what_is_alike_only_some_lines_are_written() -> None:
    clock = Clock()
    repeats = Repeats(clock)
    assert [repeats.filter(warning("away")) for _ in range(5)] == [True, False, False, False, False]
    assert repeats.filter(warning("away", line=2)), "another place says it"
    assert all(repeats.filter(warning("told", level=logging.INFO)) for _ in range(50)), "those are no errors"
    alike = [repeats.filter(warning(f"engine {number} is lost", line=3)) for number in range(200)]
    assert (alike.count(True), alike[:20].count(True)) == (20, 20)
    clock.now_s += 30
    again = warning("away")
    assert repeats.filter(again)
    assert again.getMessage() == "away (4 more like it)"
    clock.now_s += 30
    assert repeats.filter(once_more := warning("away"))
    assert once_more.getMessage() == "away"


def run_with_logs(folder: Path, number: int, text: str) -> Path:
    temp = folder / f"infernet-{number}"
    session_logs = temp / "ray" / f"session_2026-11-27_09-31-{number:02}_274315_14154" / "logs"
    (session_logs / "serve").mkdir(parents=True)
    (session_logs / "worker-1.err").write_text(text)
    (session_logs / "worker-1.out").write_text("")
    (session_logs / "serve" / "replica.log").write_text("of Serve")
    (temp / "ray" / "session_latest").symlink_to(session_logs.parent)
    return temp


def test_what_a_run_wrote_outlives_it(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    temp = run_with_logs(tmp_path, 7, "why it ended")
    folder = kept_logs.begin(state)
    runs.record(state, temp, folder)
    runs.clear(state)
    assert not temp.exists()
    kept = folder / "ray_2026-11-27_09-31-07"
    assert (kept / "worker-1.err").read_text() == "why it ended"
    assert (kept / "serve" / "replica.log").read_text() == "of Serve"
    assert not (kept / "worker-1.out").exists()
    assert [path for path in kept.rglob("*") if path.is_file() and path.stat().st_mode & 0o077] == []
    assert folder.stat().st_mode & 0o077 == 0


def test_of_each_log_its_end_is_kept(tmp_path: Path) -> None:
    kept_logs.keep(run_with_logs(tmp_path, 1, "x" * kept_logs.BYTES + "y"), tmp_path / "kept")
    text = (tmp_path / "kept" / "ray_2026-11-27_09-31-01" / "worker-1.err").read_text()
    assert (len(text), text[-1]) == (kept_logs.BYTES, "y")


def test_the_last_runs_are_kept(tmp_path: Path) -> None:
    old = [tmp_path / "logs" / f"2026-11-27_09-31-{number:02}" for number in range(kept_logs.RUNS + 3)]
    for folder in old:
        folder.mkdir(parents=True)
    now = kept_logs.begin(tmp_path)
    assert sorted((tmp_path / "logs").iterdir()) == [*old[-kept_logs.RUNS + 1 :], now]
