"""The whole system on real processes while its PostgreSQL is frozen: clients are told, streams go on, it heals."""

import re
import threading
import time
from collections.abc import Iterator

import httpx
import pytest

from actors.backends.simulated import simulated_text
from cluster.messages.work import ChatMessage
from tests.outages.rehearsal import lines
from tests.support.postgres import PostgresServer
from tests.support.serving import Serving, in_parallel

TOKENS = 600
ENGINE = {"first_token_s": 0, "token_s": 0.05, "output_tokens": TOKENS}
SETTINGS = {"models": [{"id": "sim:slow", "backend": "simulated", "engine": ENGINE}]}
QUESTION = {"model": "sim:slow", "messages": [{"role": "user", "content": "Go on"}], "max_tokens": TOKENS}
PROMISED_S = 10.0

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with PostgresServer.installed() as server:
        yield server


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory, server: PostgresServer) -> Iterator[Serving]:
    system = Serving(tmp_path_factory.mktemp("frozen"), {**SETTINGS, "database": server.create()})
    try:
        yield system.wait_until_ready("sim:slow")
        assert system.stop() == 0
    finally:
        system.end()


class Stream:
    """A job's stream, read by a thread of its own."""

    def __init__(self, serving: Serving) -> None:
        self.text = ""
        self._serving = serving
        self._begun = threading.Event()
        self._thread = threading.Thread(target=self._read)
        self._thread.start()
        assert self._begun.wait(60)

    def _read(self) -> None:
        with self._serving.client() as client:
            for piece in client.stream(QUESTION):
                self.text += piece
                self._begun.set()

    def goes_on(self) -> None:
        before, give_up_s = len(self.text), time.monotonic() + PROMISED_S
        while len(self.text) == before:
            assert time.monotonic() < give_up_s, "the stream stands still"
            time.sleep(0.05)

    def whole(self) -> str:
        self._thread.join(120)
        return self.text


def timed(http: httpx.Client, method: str, path: str) -> httpx.Response:
    began_s = time.monotonic()
    answer = http.request(method, path, json=QUESTION if method == "POST" else None)
    assert time.monotonic() - began_s < PROMISED_S + 1, "with a second for the way there and back"
    return answer


def test_while_the_database_is_frozen_clients_are_told_and_streams_go_on(
    serving: Serving, server: PostgresServer
) -> None:
    stream = Stream(serving)
    with serving.http() as http:
        with server.frozen():
            asked = [("POST", "/api/v1/jobs"), ("POST", "/v1/chat/completions"), ("GET", "/api/v1/jobs")]
            answers = in_parallel([lambda asked=one: timed(http, *asked) for one in asked])
            # Once a write has failed, it is known that the next one will.
            for answer in (*answers, timed(http, "GET", "/readyz")):
                assert answer.status_code == 503, (answer.request.url, answer.text)
                assert int(answer.headers["Retry-After"]) >= 1
                assert not {"127.0.0.1", str(server.port), "infernet"} & set(answer.text.split())
            stream.goes_on()
            metrics = timed(http, "GET", "/metrics")
            assert metrics.status_code == 200
            assert 'infernet_up{part="database"} 0.0' in metrics.text
            (running,) = re.findall(r'infernet_jobs_running{model="sim:slow"} (.*)', metrics.text)
            assert float(running) >= 1  # those that could not be made durable may be begun, and told to nobody
        job = timed(http, "POST", "/api/v1/jobs")
        assert job.status_code == 200, job.text
        assert timed(http, "GET", "/readyz").status_code == 200
        assert http.post(f"/api/v1/jobs/{job.json()['id']}/cancel").status_code == 200
    assert stream.whole() == simulated_text((ChatMessage("user", "Go on"),), None, TOKENS)
    assert any("answering requests: DatabaseUnavailable" in line for line in lines(serving))


@pytest.mark.parametrize("kind", ["Engine", "Journal", "Scheduler", "Ledger", "RateLimiter"])
def test_a_stream_goes_on_exactly_when_an_actor_is_killed_meanwhile(
    serving: Serving, server: PostgresServer, kind: str
) -> None:
    stream = Stream(serving)
    with server.frozen():
        stream.goes_on()
        (victim,) = serving.actors(kind)
        victim.kill()
        victim.wait(PROMISED_S)
    assert stream.whole() == simulated_text((ChatMessage("user", "Go on"),), None, TOKENS)
    with serving.http() as http:
        jobs = http.get("/api/v1/jobs", params={"limit": 1}).json()["jobs"]
        assert (jobs[0]["status"], jobs[0]["result"]["usage"]["completion_tokens"]) == ("completed", TOKENS)
