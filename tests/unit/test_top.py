"""`infernet top`: what it shows once, and live until q is pressed."""

import json
import os
import pty
import select
import sys
from collections.abc import Iterator

import pytest
from rich.console import Console

from api.cli.client import Client
from api.cli.top.glance import look
from api.cli.top.screen import drawn
from tests.support.contract_server import JOB, KEY, ContractServer, Stage
from tests.support.typed import Typed

MODEL = {
    "id": "sim[x]",
    "state": "ready",
    "replicas": 2,
    "wanted": 3,
    "queued": 4,
    "avg_tokens_per_second": 95,
    "scaling": "3 replicas: 9 jobs",
}
NODE = {
    "id": "node_1",
    "hostname": "gpu-1",
    "status": "draining",
    "gpus": [],
    "engines": [{"id": "sim/0", "model": "sim[x]", "state": "ready", "running": 5}],
    "last_heartbeat": "2026-04-30T14:23:41Z",
}
RUNNING = {"id": JOB, "status": "processing", "model": "sim[x]", "node_id": "node_1", "account_id": "acct_1"}
MINUTES = [
    {"minute": "2026-04-30T14:22:00Z", "jobs_completed": 7, "jobs_failed": 1, "first_text_p95_s": 0.125},
    {"minute": "2026-04-30T14:23:00Z", "jobs_completed": 0, "jobs_failed": 0, "tokens_per_second": 1234.5},
]


@pytest.fixture
def server() -> Iterator[ContractServer]:
    with ContractServer() as running:
        running.stage = Stage(
            catalogue=[MODEL], nodes=[NODE], jobs=[RUNNING], answers={"GET /history": {"minutes": MINUTES}}
        )
        yield running


@pytest.fixture
def infernet(server: ContractServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Typed:
    monkeypatch.setenv("INFERNET_URL", server.url)
    monkeypatch.setenv("INFERNET_KEY", KEY)
    return Typed(monkeypatch, capsys)


def test_without_a_terminal_it_is_printed_once(infernet: Typed, server: ContractServer) -> None:
    code, out, err = infernet("top")
    lines = out.splitlines()
    assert (code, err) == (0, "")
    assert lines[0].startswith(
        f"{server.url} is ready   5 running   4 waiting   1,234 tokens/s   last minute: 7 completed"
    )
    assert lines[3].split()[:7] == ["sim[x]", "ready", "2", "3", "5", "4", "95"]
    assert lines[6].split()[:3] == ["node_1", "gpu-1", "draining"]
    assert lines[9].split() == [JOB, "sim[x]", "node_1", "-", "acct_1"]
    assert server.stage.queries == [{"status": "processing", "limit": "50", "account": "all"}]


def test_as_json_it_is_what_the_api_told(infernet: Typed, server: ContractServer) -> None:
    assert json.loads(infernet("top", "--json").out) == {
        "url": server.url,
        "ready": True,
        "models": [MODEL],
        "nodes": [NODE],
        "jobs": [RUNNING],
        "minutes": MINUTES,
    }


def test_a_member_sees_what_it_may(infernet: Typed, server: ContractServer) -> None:
    server.stage.answers["GET /history"] = (403, "forbidden", "Only for admins")
    code, out, _ = infernet("top")
    assert code == 0
    assert "tokens/s   " not in out.splitlines()[0]


def test_on_a_small_screen_the_jobs_are_cut(server: ContractServer) -> None:
    server.stage.jobs = [{**RUNNING, "id": f"job_{n}"} for n in range(50)]
    console = Console(width=100, height=20)
    with Client(server.connection) as client, console.capture() as shown:
        console.print(drawn(look(client), height=20))
    lines = shown.get().splitlines()
    assert len(lines) <= 20
    assert sum("job_" in line for line in lines) == 7
    assert all(len(line) <= 100 for line in lines)


@pytest.mark.parametrize("keys", [b"q", b"Q", b"\x03"])
def test_on_a_terminal_it_is_live_until_somebody_ends_it(server: ContractServer, keys: bytes) -> None:
    child, terminal = pty.fork()
    if child == 0:
        env = {**os.environ, "INFERNET_URL": server.url, "INFERNET_KEY": KEY, "TERM": "xterm", "COLUMNS": "160"}
        os.execve(sys.executable, [sys.executable, "-c", "from api.cli.main import main; main()", "top"], env)
    shown = b""
    while b"acct_1" not in shown:
        shown += os.read(terminal, 65_536)
    server.stage.jobs = [{**RUNNING, "account_id": "acct_later"}]
    while b"acct_later" not in shown:
        shown += os.read(terminal, 65_536)
    os.write(terminal, keys)
    while select.select([terminal], [], [], 10)[0]:
        try:
            shown += os.read(terminal, 65_536)
        except OSError:  # the child has ended
            break
    _, status = os.waitpid(child, 0)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == (130 if keys == b"\x03" else 0)
    assert b"\x1b[?1049l" in shown  # the screen is what it was before


def test_it_goes_on_while_the_server_is_away(server: ContractServer) -> None:
    with Client(server.connection) as client:
        glance = look(client)
    console = Console(width=100, height=30)
    with console.capture() as shown:
        console.print(drawn(glance, 30, "As of 14:23:41: Connection refused; asking again"))
    assert "asking again" in shown.get()
