"""A core actor that is stopped is replaced, HAProxy is back at once, and no failing start takes the system down.

With real processes: which signals the kernel delivers, and what Ray makes of a death, no plain object can show.
"""

import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import httpx
import psutil
import pytest

from actors.backends.simulated import simulated_text
from api.cli.run import runs
from cluster.messages.work import ChatMessage
from tests.outages.rehearsal import lines
from tests.support.database_outages import locked_sqlite
from tests.support.serving import Serving

TOKENS = 60
SETTINGS = {
    "limits": {"submissions_per_minute": 100_000, "submissions_per_hour": 1_000_000, "reads_per_minute": 100_000},
    "models": [
        {
            "id": "sim:core",
            "backend": "simulated",
            "engine": {"first_token_s": 0.02, "token_s": 0.05, "output_tokens": TOKENS},
        }
    ],
}
HUNG_S = 10.0
PORT_S = 2.0
PATIENCE_S = 60.0
LOOK_S = 0.02


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    system = Serving(tmp_path_factory.mktemp("core"), SETTINGS)
    try:
        yield system.wait_until_ready("sim:core")
        assert system.stop() == 0
    finally:
        system.end()


def took_s(condition: Callable[[], object], within_s: float = PATIENCE_S) -> float:
    """Seconds until the condition held."""
    began_s = time.monotonic()
    while not condition():
        assert time.monotonic() - began_s < within_s, f"not within {within_s} s"
        time.sleep(LOOK_S)
    return time.monotonic() - began_s


def answers(serving: Serving, path: str) -> bool:
    """Whether this public path is answered with 200."""
    with suppress(httpx.HTTPError):
        return httpx.get(f"{serving.connection.url}{path}", timeout=5).status_code == 200
    return False


def accepts(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=PORT_S):
        return True
    return False


def read_through(serving: Serving, question: str, disturb: Callable[[], None]) -> str:
    """The text of a job that is disturbed once its stream has begun."""
    pieces: list[str] = []
    with serving.client() as client:
        for piece in client.stream({**body(question), "stream": True}):
            if not pieces:
                threading.Thread(target=disturb).start()
            pieces.append(piece)
    return "".join(pieces)


def body(question: str) -> dict[str, Any]:
    return {"model": "sim:core", "messages": [{"role": "user", "content": question}]}


def exact(question: str) -> str:
    return simulated_text((ChatMessage("user", question),), None, TOKENS)


LONG = [pytest.param(kind, marks=pytest.mark.long) for kind in ("Scheduler", "Ledger", "RateLimiter", "Supervisor")]


@pytest.mark.parametrize("kind", ["Journal", "NodeAgent", *LONG])
def test_a_stopped_core_actor_is_replaced(kind: str, serving: Serving) -> None:
    (victim,) = serving.actors(kind)
    gone_after_s: list[float] = []

    def stop() -> None:
        victim.suspend()
        gone_after_s.append(took_s(lambda: not victim.is_running()))

    assert read_through(serving, f"while {kind} is stopped", stop) == exact(f"while {kind} is stopped")
    took_s(lambda: gone_after_s)
    assert gone_after_s[0] < HUNG_S
    took_s(lambda: [process.pid for process in serving.actors(kind)] not in ([], [victim.pid]))
    took_s(lambda: answers(serving, "/readyz"))


def test_haproxy_killed_again_and_again_accepts_connections_at_once(serving: Serving) -> None:
    port = serving.connection.url.rpartition(":")[2]
    for _ in range(5):
        for process in haproxies(serving):
            process.kill()
            process.wait(PATIENCE_S)
        assert took_s(lambda: accepts(int(port))) < PORT_S
        took_s(lambda: answers(serving, "/healthz"))


def haproxies(serving: Serving) -> list[psutil.Process]:
    return [process for process in runs.processes(serving.run) if process.name() == "haproxy"]


def test_while_the_database_is_locked_what_can_be_read_is_read(serving: Serving) -> None:
    """As a backup locks it, or an operator with a transaction open. The stream of a running job goes on."""
    question = "while the database is locked"
    with serving.http() as http:
        job = http.post("/api/v1/jobs", json=body(question)).json()["id"]
        with locked_sqlite(serving.state / "infernet.db"):
            took_s(lambda: httpx.get(f"{serving.connection.url}/readyz").status_code == 503)
            for path in ("/api/v1/models", "/api/v1/nodes", "/api/v1/jobs", f"/api/v1/jobs/{job}", "/v1/models"):
                assert http.get(path).status_code == 200, path
            assert 'infernet_up{part="database"} 0.0' in httpx.get(f"{serving.connection.url}/metrics").text
            refused = http.post("/api/v1/jobs", json=body("one more"))
            assert (refused.status_code, int(refused.headers["Retry-After"]) >= 1) == (503, True)
        took_s(lambda: answers(serving, "/readyz"))
        ended = http.get(f"/api/v1/jobs/{job}", params={"wait": 60}).json()
    assert (ended["status"], ended["result"]["content"]) == ("completed", exact(question))
    about = Counter(line.partition(" ")[2] for line in lines(serving) if "locked" in line or "no answer within" in line)
    assert about, "nobody said why"
    assert max(about.values()) <= 2, about  # the same is said once in half a minute


def test_restarts_are_counted_and_told(serving: Serving) -> None:
    def restarts() -> float:
        metrics = httpx.get(f"{serving.connection.url}/metrics").text
        found = re.search(r'^infernet_actor_restarts_total{actor="rate_limiter"} (.*)$', metrics, re.MULTILINE)
        return float(found[1]) if found else -1

    took_s(lambda: restarts() >= 0)
    before = restarts()
    (victim,) = serving.actors("RateLimiter")
    victim.kill()
    serving.wait_for("The rate_limiter has ended, and was started again")
    assert restarts() == before + 1
    assert any("rate_limiter has ended and is started again" in line for line in lines(serving))
    took_s(lambda: answers(serving, "/readyz"))


def test_the_system_waits_for_a_database_that_is_away(serving: Serving) -> None:
    """While it is, everything that needs it is killed: all of it is there again once the database is."""
    files = list(serving.state.glob("infernet.db*"))
    away = serving.folder / "away"
    away.mkdir()
    for file in files:
        file.rename(away / file.name)
    (serving.state / "infernet.db").mkdir()  # so that no empty one is made in its place
    killed = [process for kind in ("Ledger", "Scheduler", "RateLimiter") for process in serving.actors(kind)]
    for process in killed:
        process.kill()
    _, alive = psutil.wait_procs(killed, PATIENCE_S)
    assert alive == []
    took_s(lambda: all(serving.actors(kind) for kind in ("Ledger", "Scheduler", "RateLimiter")))
    took_s(lambda: not answers(serving, "/readyz"))
    serving.wait_for("The models' states are not known")
    assert answers(serving, "/healthz")
    (serving.state / "infernet.db").rmdir()
    for file in files:
        (away / file.name).rename(file)
    took_s(lambda: answers(serving, "/readyz"))
    assert read_through(serving, "after it", lambda: None) == exact("after it")
    assert serving.process.poll() is None
