"""`infernet logs`: the log of a run as it is written, in both formats, by several processes, moved away meanwhile."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from api.cli.logs import files
from api.cli.logs.entries import Filter, entries
from tests.support.typed import Typed

JOB, REQUEST = "job_" + "a" * 20, "req-1"
TEXT = f"""\
2026-11-28T10:37:08.352Z INFO supervisor[3121] ledger is there
2026-11-28T10:37:09.018Z ERROR ingress/k3x1[3307] answering requests: Unreachable job={JOB} request={REQUEST} trace=00ff
Traceback (most recent call last):
  File "x.py", line 1
2026-11-28T10:38:00.000Z WARNING engine/sim/0[3400] {JOB} is slow
""".splitlines()
JSON = [
    {
        "time": "2026-11-28T10:37:08.352Z",
        "level": "info",
        "part": "supervisor",
        "pid": 3121,
        "message": "ledger is there",
        "job": None,
        "request": None,
        "trace": None,
    },
    {
        "time": "2026-11-28T10:37:09.018Z",
        "level": "error",
        "part": "ingress/k3x1",
        "pid": 3307,
        "message": "answering requests: Unreachable",
        "job": JOB,
        "request": REQUEST,
        "trace": "00ff",
    },
    {
        "time": "2026-11-28T10:38:00.000Z",
        "level": "warning",
        "part": "engine/sim/0",
        "pid": 3400,
        "message": f"{JOB} is slow",
        "job": None,
        "request": None,
        "trace": None,
    },
]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    for run, line in (
        ("2026-11-27_09-00-00", "2026-11-27T09:00:00.000Z INFO infernet[1] long ago"),
        ("2026-11-28_10-37-08", ""),
    ):
        folder = tmp_path / "logs" / run
        folder.mkdir(parents=True)
        (folder / "infernet.log").write_text(f"{line}\n" if line else "")
    (tmp_path / "logs" / "2026-11-28_10-37-09").mkdir()  # of a run that has not written anything
    return tmp_path


@pytest.fixture
def infernet(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], state: Path) -> Typed:
    monkeypatch.setenv("INFERNET_STATE", str(state))
    return Typed(monkeypatch, capsys)


def log(state: Path) -> Path:
    return state / "logs" / "2026-11-28_10-37-08" / "infernet.log"


@pytest.fixture(params=["text", "json"])
def written(request: pytest.FixtureRequest, state: Path) -> str:
    lines = TEXT if request.param == "text" else [json.dumps(line) for line in JSON]
    log(state).write_text("\n".join(lines) + "\n")
    return str(request.param)


@pytest.mark.parametrize(
    ("args", "wanted"),
    [
        ((), [0, 1, 2]),
        (("--level", "warning"), [1, 2]),
        (("--level", "error"), [1]),
        (("--part", "supervisor"), [0]),
        (("--part", "engine"), [2]),
        (("--part", "ingress/k3x1"), [1]),
        (("--part", "ingress/k"), []),
        (("--job", JOB), [1, 2]),
        (("--job", JOB[:8]), [1, 2]),
        (("--job", "aaa"), []),
        (("--request", REQUEST), [1]),
        (("--since", "2026-11-28T10:38:00Z"), [2]),
        (("--since", "2026-11-28T11:37:30+01:00", "--job", JOB), [1, 2][1:]),
        (("-n", "1"), [2]),
        (("-n", "0"), [0, 1, 2]),
    ],
)
def test_what_is_asked_for_is_shown_in_either_format(
    infernet: Typed, written: str, args: tuple[str, ...], wanted: list[int]
) -> None:
    code, out, err = infernet("logs", *args, "--json")
    assert (code, err) == (0, "")
    assert [(line["time"], line["part"]) for line in map(json.loads, out.splitlines())] == [
        (JSON[index]["time"], JSON[index]["part"]) for index in wanted
    ]


def test_lines_are_shown_as_they_were_written_and_tracebacks_with_them(infernet: Typed, state: Path) -> None:
    log(state).write_text("\n".join(TEXT) + "\n")
    assert infernet("logs", "--level", "error").out.splitlines() == TEXT[1:4]


def test_text_as_json_has_the_fields_of_json(infernet: Typed, written: str) -> None:
    told = [json.loads(line) for line in infernet("logs", "--json").out.splitlines()]
    assert [list(line) for line in told] == [list(JSON[0])] * 3
    assert (told[1]["job"], told[1]["request"], told[1]["pid"], told[0]["job"]) == (JOB, REQUEST, 3307, None)


def test_nothing_in_a_log_steers_a_terminal(infernet: Typed, state: Path) -> None:
    log(state).write_text("2026-11-28T10:37:08.352Z INFO node[1] a\x1b[2Jb\n\tindented\n")
    assert infernet("logs").out == "2026-11-28T10:37:08.352Z INFO node[1] a?[2Jb\n\tindented\n"


def test_what_was_moved_away_comes_first(infernet: Typed, state: Path) -> None:
    for name, second in (("infernet.log", 3), ("infernet.log.1", 2), ("infernet.log.2", 1)):
        (log(state).parent / name).write_text(f"2026-11-28T10:37:0{second}.000Z INFO node[1] {second}\n")
    assert [line[-1] for line in infernet("logs").out.splitlines()] == ["1", "2", "3"]


def test_earlier_runs_are_shown_too(infernet: Typed, written: str) -> None:
    assert "long ago" in infernet("logs", "--run", "1").out
    assert "long ago" not in infernet("logs").out
    assert "long ago" in infernet("logs", "--since", "2026-11-27").out
    assert infernet("logs", "--run", "2").code == 2
    assert infernet("logs", "--run", "1", "--follow").code == 2


def test_without_any_run_it_is_said_where_was_looked(infernet: Typed, tmp_path: Path) -> None:
    code, _, err = infernet("logs", "--state", str(tmp_path / "none"))
    assert (code, err.count("\n")) == (4, 1)
    assert str(tmp_path / "none") in err


def test_what_is_written_from_now_on_is_read_across_files(state: Path) -> None:
    log(state).write_text("before\n")
    tail = files.Tail(state)
    assert tail.read() == []
    with log(state).open("a") as out:
        out.write("first\nsec")
    assert tail.read() == ["first"]
    with log(state).open("a") as out:
        out.write("ond\n")
    assert tail.read() == ["second"]
    log(state).rename(log(state).with_name("infernet.log.1"))
    assert tail.read() == []
    log(state).write_text("third\n")
    assert tail.read() == ["third"]
    (state / "logs" / "2026-11-28_10-37-09" / "infernet.log").write_text("another run\n")
    assert tail.read() == ["another run"]
    tail.close()


def test_following_goes_on_until_it_is_interrupted(state: Path) -> None:
    log(state).write_text(f"{TEXT[0]}\n")
    following = subprocess.Popen(
        [sys.executable, "-c", "from api.cli.main import main; main()", "logs", "--follow", "--level", "info"],
        env={**os.environ, "INFERNET_STATE": str(state)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert following.stdout is not None
    with following, following.stdout as out:
        assert out.readline() == f"{TEXT[0]}\n"
        with log(state).open("a") as more:
            more.write(f"{TEXT[4]}\n")
        assert out.readline() == f"{TEXT[4]}\n"
        following.send_signal(2)
        assert following.wait(20) == 130


def test_a_line_that_is_no_entry_is_shown_whatever_is_wanted() -> None:
    (entry,) = entries(["{half of a line"])
    assert Filter(level="error").wants(entry)


def test_since_is_compared_as_the_log_writes_times() -> None:
    from api.cli.times import iso, past

    now = datetime(2026, 11, 28, 10, 38, tzinfo=UTC)
    assert iso(past("30s", "--since", now)) == "2026-11-28T10:37:30.000Z"
