"""The commands against a real server: what they print, where, and how they end."""

import errno
import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from api.cli import chat as chat_module
from api.cli.connection import Connection, write
from api.cli.main import app, main
from api.cli.render import age, one_line, usage_line
from tests.support.contract_server import JOB, KEY, TEXT, Act, ContractServer, Stage

NODE: dict[str, Any] = {
    "id": "node_8f3a2c1d00000000",
    "status": "online",
    "gpus": [{"name": "H200", "memory_bytes": 2**37}] * 8,
    "cpus": 16.0,
    "memory_bytes": 128 * 2**30,
    "models": ["sim:fast"],
    "engines": [{"id": "sim:fast/0", "state": "ready"}, {"id": "big/0", "state": "starting"}],
    "last_heartbeat": "2026-04-30T14:23:41Z",
}
READY = {
    "id": "sim:fast",
    "nodes": 1,
    "avg_tokens_per_second": 95,
    "state": "ready",
    "replicas": 2,
    "context_length": 8192,
}
FAILED = {"id": "big[x]", "state": "failed", "replicas": 0, "state_message": "No machine has\n8 GPUs"}
COMPLETED = {
    "id": JOB,
    "status": "completed",
    "model": "sim:fast",
    "node_id": NODE["id"],
    "result": {"content": TEXT, "usage": {"prompt_tokens": 24, "completion_tokens": 8, "total_tokens": 32}},
    "created_at": "2026-04-30T14:23:41Z",
    "latency_ms": 2041,
}


@pytest.fixture(scope="module")
def server() -> Iterator[ContractServer]:
    with ContractServer() as running:
        yield running


@pytest.fixture(autouse=True)
def stage(server: ContractServer, monkeypatch: pytest.MonkeyPatch) -> Stage:
    server.stage = Stage(models=[READY], catalogue=[READY, FAILED], nodes=[NODE], jobs=[COMPLETED], job=COMPLETED)
    monkeypatch.setenv("INFERNET_URL", server.url)
    monkeypatch.setenv("INFERNET_KEY", KEY)
    return server.stage


def infernet(*args: str) -> Result:
    return CliRunner().invoke(app, args, catch_exceptions=False)


def ended(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *args: str) -> tuple[Any, str, str]:
    """The exit code, stdout and stderr of the whole program."""
    monkeypatch.setattr(sys, "argv", ["infernet", *args])
    with pytest.raises(SystemExit) as end:
        main()
    out, err = capsys.readouterr()
    return end.value.code, out, err


def test_chat_prints_the_text_and_a_newline(stage: Stage) -> None:
    result = infernet("chat", "Hello")
    assert (result.exit_code, result.stdout, result.stderr) == (0, f"{TEXT}\n", "")
    assert stage.submitted == [
        {"model": "sim:fast", "messages": [{"role": "user", "content": "Hello"}], "stream": False}
    ]


def test_chat_sends_what_it_is_given(stage: Stage) -> None:
    infernet(
        *("chat", "Hello", "--model", "other", "--system", "Be brief"),
        *("--max-tokens", "5", "--temperature", "0", "--seed", "3"),
    )
    assert stage.submitted == [
        {
            "model": "other",
            "messages": [{"role": "system", "content": "Be brief"}, {"role": "user", "content": "Hello"}],
            "max_tokens": 5,
            "temperature": 0.0,
            "seed": 3,
            "stream": False,
        }
    ]


def test_chat_prints_the_answer_without_what_was_thought(stage: Stage) -> None:
    stage.kinds = {"reasoning": 4}
    result = infernet("chat", "Hello", "--think")
    assert (result.exit_code, result.stdout, result.stderr) == (0, f"{TEXT[4:]}\n", "")
    assert stage.submitted[0]["chat_template_kwargs"] == {"enable_thinking": True}


def test_chat_survives_a_broken_stream(stage: Stage) -> None:
    stage.acts = [Act(events=3, then="cut"), Act(size=5)]
    assert infernet("chat", "Hello").stdout == f"{TEXT}\n"
    assert stage.asked == ["0", "6"]


def test_explain_says_why_in_sentences(stage: Stage) -> None:
    stage.placement = {"attempts": [], "stage": "with an engine"}
    result = infernet("explain", JOB)
    lines = result.stdout.splitlines()
    assert (result.exit_code, len(lines)) == (0, 1)
    assert lines[0].startswith(f"Job {JOB} of model sim:fast was completed at node {NODE['id']}")


def test_explain_as_json_is_the_job_and_its_placement(stage: Stage) -> None:
    stage.placement = {"attempts": []}
    result = infernet("explain", JOB, "--json")
    assert json.loads(result.stdout) == {"job": COMPLETED, "placement": {"id": JOB, "attempts": []}}


def test_explain_of_nobodys_job_fails(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = ended(monkeypatch, capsys, "explain", f"{JOB}00")
    assert (code, out, err) == (4, "", f"infernet: No job begins with '{JOB}00'\n")


def test_delete_removes_a_job(stage: Stage) -> None:
    result = infernet("delete", JOB)
    assert (result.exit_code, result.stdout, result.stderr) == (0, f"{JOB} is removed\n", "")
    assert stage.removed == [JOB]


def test_delete_of_nobodys_job_fails(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = ended(monkeypatch, capsys, "delete", "job_of_another")
    assert (code, out, err) == (4, "", "infernet: No such job (job_not_found)\n")


def test_chat_as_json_is_the_job() -> None:
    result = infernet("chat", "Hello", "--json")
    assert (result.exit_code, json.loads(result.stdout)) == (0, COMPLETED)


def test_chat_as_json_prints_a_failed_job_and_exits_with_1(stage: Stage) -> None:
    stage.acts = [Act(events=1, then="error")]
    stage.job = {"id": JOB, "status": "failed", "error": "node_disconnected"}
    result = infernet("chat", "Hello", "--json")
    assert (result.exit_code, json.loads(result.stdout)) == (1, stage.job)


def test_chat_of_a_failing_job_ends_in_one_line(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stage.acts = [Act(events=2, then="error")]
    assert ended(monkeypatch, capsys, "chat", "Hello") == (
        1,
        f"{TEXT[:4]}\n",
        "infernet: The node is gone (node_disconnected)\n",
    )


def test_chat_without_a_ready_model_says_so(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stage.models = []
    code, out, err = ended(monkeypatch, capsys, "chat", "Hello")
    assert (code, out) == (6, "")
    assert "--model" in err
    assert stage.submitted == []


@pytest.mark.parametrize(
    ("end", "code"), [(KeyboardInterrupt(), 130), (BrokenPipeError(errno.EPIPE, "Broken pipe"), 1)]
)
def test_who_stops_reading_cancels_the_job(
    stage: Stage,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    end: BaseException,
    code: int,
) -> None:
    def stop(*_: object) -> None:
        raise end

    monkeypatch.setattr(chat_module, "_print_said", stop)
    assert ended(monkeypatch, capsys, "chat", "Hello") == (code, "", "")
    assert stage.cancelled == [JOB]


def test_on_a_terminal_chat_adds_the_usage_on_stderr() -> None:
    terminal, far_end = pty.openpty()
    try:
        done = subprocess.run(
            [sys.executable, "-c", "from api.cli.main import main; main()", "chat", "Hello"],
            stdout=subprocess.PIPE,
            stderr=far_end,
            env={**os.environ, "PYTHONIOENCODING": "ascii"},
            check=True,
        )
        stderr = os.read(terminal, 1_000).decode()
    finally:
        os.close(terminal)
        os.close(far_end)
    # An encoding that lacks the characters costs these characters and nothing else.
    assert done.stdout.decode("ascii") == TEXT.encode("ascii", "replace").decode() + "\n"
    assert stderr.strip() == f"24 prompt + 8 completion tokens, 2041 ms, {NODE['id']}"


def test_models_shows_states_and_reasons() -> None:
    lines = infernet("models").stdout.splitlines()
    assert [line.split() for line in lines[:2]] == [
        ["MODEL", "STATE", "REPLICAS", "NODES", "TOKENS/S", "CONTEXT", "REASON"],
        ["sim:fast", "ready", "2", "1", "95", "8192", "-"],
    ]
    assert lines[2].startswith("big[x]")
    assert lines[2].endswith("No machine has 8 GPUs")
    assert len(lines) == 3


def test_nodes_shows_hardware_and_engines() -> None:
    head, row = infernet("nodes").stdout.splitlines()
    assert head.split() == ["NODE", "STATUS", "GPUS", "CPUS", "MEMORY", "MODELS", "ENGINES", "HEARTBEAT"]
    for cell in (
        NODE["id"],
        "online",
        "8 x H200",
        "16",
        "128.0 GiB",
        "sim:fast",
        "sim:fast/0, big/0 (starting)",
    ):
        assert f"{cell} " in row


def test_jobs_asks_and_shows(stage: Stage) -> None:
    head, row = infernet("jobs", "--limit", "3", "--status", "completed").stdout.splitlines()
    assert stage.queries == [{"limit": "3", "status": "completed"}]
    assert head.split()[:5] == ["JOB", "STATUS", "MODEL", "CREATED", "TOKENS"]
    assert row.split() == [
        *(JOB, "completed", "sim:fast", "2026-04-30T14:23:41Z", "32", "2041", "ms", NODE["id"], "-"),
    ]


@pytest.mark.parametrize(
    ("command", "body"),
    [
        ("models", {"models": [READY, FAILED]}),
        ("nodes", {"nodes": [NODE]}),
        ("jobs", {"jobs": [COMPLETED]}),
    ],
)
def test_json_is_the_apis_own(command: str, body: dict[str, Any]) -> None:
    assert json.loads(infernet(command, "--json").stdout) == body


def test_status_shows_the_server_at_a_glance(server: ContractServer) -> None:
    result = infernet("status")
    assert result.exit_code == 0
    assert result.stdout.startswith(f"{server.url} is ready\n")
    assert "big[x]" in result.stdout
    assert NODE["id"] in result.stdout
    assert KEY not in result.output


def test_status_of_an_unready_server_exits_with_1(stage: Stage, server: ContractServer) -> None:
    stage.ready = False
    text, as_json = infernet("status"), infernet("status", "--json")
    assert (text.exit_code, as_json.exit_code) == (1, 1)
    assert text.stdout.startswith(f"{server.url} is not ready\n")
    assert json.loads(as_json.stdout) == {
        "url": server.url,
        "ready": False,
        "models": [READY, FAILED],
        "nodes": [NODE],
    }


def test_the_state_folder_gives_the_connection(
    server: ContractServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("INFERNET_URL")
    monkeypatch.delenv("INFERNET_KEY")
    write(tmp_path, Connection(server.url, KEY))
    assert infernet("status", "--state", str(tmp_path)).exit_code == 0


@pytest.mark.parametrize(
    ("args", "expected", "line"),
    [
        (("models", "--url", "nowhere"), 1, "must begin with http://"),
        (("nodes", "drain"), 2, "Missing argument 'NODE' (`infernet nodes drain --help` says more)"),
        (("model",), 2, "No such command 'model'. Did you mean 'models'"),
        (("keys", "rm", "x"), 2, "No such command 'rm'"),
        (("nodes", "--url", "http://other", "drain", "x"), 2, "unexpected extra argument"),
        (("jobs", "--limit", "many"), 2, "--limit"),
        (("models", "--url", "http://127.0.0.1:1"), 3, "Cannot reach http://127.0.0.1:1/"),
        (("chat", "Hello", "--model", "none"), 4, "No model 'none' (model_not_found)"),
        (("nodes", "drain", "node_other"), 4, "No node begins with 'node_other'"),
        (("models", "--key", "inft_wrong"), 5, "Invalid or expired bearer token (unauthorized)"),
    ],
)
def test_a_failure_is_one_line_and_a_code_of_its_kind(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    args: tuple[str, ...],
    expected: int,
    line: str,
) -> None:
    code, out, err = ended(monkeypatch, capsys, *args)
    assert (code, out) == (expected, "")
    assert err.startswith("infernet: ")
    assert err.count("\n") == 1
    assert line in err


def test_a_page_that_is_not_ours_is_one_line(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stage.page = "<html>\nWelcome"
    code, _, err = ended(monkeypatch, capsys, "models")
    assert (code, err) == (
        1,
        "infernet: The answer is not one of Infernet's: is the URL right? (bad_answer)\n",
    )


def test_nothing_known_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.delenv("INFERNET_URL")
    code, _, err = ended(monkeypatch, capsys, "status", "--state", str(tmp_path))
    assert (code, err.count("\n")) == (1, 1)
    assert "infernet up" in err


@pytest.mark.parametrize(
    ("second", "words"), [(41, "0 s"), (42, "1 s"), (0, "0 s")], ids=["now", "later", "a clock behind"]
)
def test_age_counts_from_the_heartbeat(second: int, words: str) -> None:
    assert age("2026-04-30T14:23:41Z", datetime(2026, 4, 30, 14, 23, second, tzinfo=UTC)) == words


@pytest.mark.parametrize(("hour", "day", "words"), [(15, 30, "36 min"), (18, 30, "3 h"), (15, 29, None)])
def test_age_uses_the_largest_unit_that_fits(hour: int, day: int, words: str | None) -> None:
    time = None if words is None else "2026-04-30T14:23:41Z"
    assert age(time, datetime(2026, 4, day, hour, tzinfo=UTC)) == words


def test_one_line_steers_no_terminal() -> None:
    assert one_line("a\n\tb \x1b[2Jc") == "a b [2Jc"


def test_usage_line_leaves_out_what_is_absent() -> None:
    assert usage_line({"result": COMPLETED["result"]}) == "24 prompt + 8 completion tokens"
