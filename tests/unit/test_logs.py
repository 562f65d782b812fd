"""Logs say when and who, each thing once in a while, and are there after the run that wrote them."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from actors import directory
from actors.machine import logs
from actors.machine.log_lines import about
from actors.machine.repeats import Repeats
from actors.ray.kind import Kind
from api.cli.run import kept_logs, run_log, runs
from cluster.errors import StartError
from cluster.settings.sections.logs import Part

WRITES = """
import logging
from actors.machine import logs
from actors.machine.log_lines import about
from actors.telemetry import origins
from cluster.messages.origin import Origin
from cluster.settings.sections.logs import Logs
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


CONCERNS = (
    WRITES
    + """
logs.begin("engine/sim/0", Logs({format!r}, "warning", {{"engine": "debug", "node": "error"}}))
told = logging.getLogger("actors.engine")
told.debug("a")
told.info("b", extra=about("job_1"))
trace = "00-" + "4b" * 16 + "-00f067aa0ba902b7-01"
told.warning("c %s", "d", extra=about("job_1", Origin("of-a-client", trace)))
with origins.within("another", ""):
    told.error("e")
    told.error("f", extra=about("job_2", Origin("of-the-job", "")))
try:
    raise ValueError("x" + chr(10) + "y")
except ValueError:
    told.exception("g")
logs.begin("node/n", Logs({format!r}, "warning", {{"engine": "debug", "node": "error"}}))
told.warning("not from a node")
logs.begin("ledger", Logs({format!r}, "warning", {{"engine": "debug", "node": "error"}}))
told.info("not at this level")
told.warning("h")
"""
)


def concerns(written_as: str, tmp_path: Path) -> list[str]:
    log = tmp_path / "infernet.log"
    env = {**os.environ, logs.VARIABLE: str(log)}
    subprocess.run([sys.executable, "-c", CONCERNS.format(format=written_as)], env=env, check=True)
    return log.read_text().splitlines()[2:]


def test_lines_say_what_they_concern(tmp_path: Path) -> None:
    lines = [line.partition("] ")[2] for line in concerns("text", tmp_path) if "] " in line]
    assert lines == [
        "a",
        "b job=job_1",
        f"c d job=job_1 request=of-a-client trace={'4b' * 16}",
        "e request=another",
        "f job=job_2 request=of-the-job",
        "g",
        "h",
    ]


def test_as_json_a_line_is_an_object_of_fixed_fields(tmp_path: Path) -> None:
    lines = [json.loads(line) for line in concerns("json", tmp_path)]
    fields = ["time", "level", "part", "pid", "message", "job", "request", "trace"]
    assert {tuple(line) for line in lines} == {tuple(fields)}
    assert [(line["level"], line["part"]) for line in lines[:3]] == [
        ("debug", "engine/sim/0"),
        ("info", "engine/sim/0"),
        ("warning", "engine/sim/0"),
    ]
    assert [tuple(line.values())[5:] for line in lines[:5]] == [
        (None, None, None),
        ("job_1", None, None),
        ("job_1", "of-a-client", "4b" * 16),
        (None, "another", None),
        ("job_2", "of-the-job", None),
    ]
    assert len(lines[0]["time"]) == len("2026-11-27T09:31:25.123Z")
    assert lines[5]["message"].startswith("g\nTraceback ")
    assert lines[5]["message"].endswith("ValueError: x\ny")
    assert (lines[-1]["part"], lines[-1]["message"]) == ("ledger", "h")


def test_every_part_has_a_level_of_its_own() -> None:
    kinds = {kind.full_name() for kind in vars(directory).values() if isinstance(kind, Kind)}
    assert set(get_args(Part)) == {"infernet", "ingress", *kinds}
    page = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
    assert [part for part in get_args(Part) if f"`{part}`" not in page] == []


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


def warning(text: str, line: int = 1, level: int = logging.WARNING, job_id: str = "") -> logging.LogRecord:
    record = logging.LogRecord("actors.x", level, "x.py", line, "%s", (text,), None)
    record.__dict__.update(about(job_id))
    return record


def test_of_the_same_and_of_what_is_alike_only_some_lines_are_written() -> None:
    clock = Clock()
    repeats = Repeats(clock)
    assert [repeats.filter(warning("away")) for _ in range(5)] == [True, False, False, False, False]
    assert repeats.filter(warning("away", line=2)), "another place says it"
    assert repeats.filter(warning("away", job_id="job_1")), "of a job"
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
