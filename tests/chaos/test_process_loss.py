"""Any one process of the system is killed while streams run: every stream ends with exactly the undisturbed text."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from functools import partial

import psutil
import pytest

from actors.backends.simulated import simulated_text
from cluster.messages.work import ChatMessage
from tests.support.serving import Serving, in_parallel

TOKENS = 120
STREAMS = 20
SETTINGS = {
    "limits": {"submissions_per_minute": 100_000, "submissions_per_hour": 1_000_000, "reads_per_minute": 100_000},
    "models": [
        {
            "id": "sim:chaos",
            "backend": "simulated",
            "replicas": 2,
            "engine": {"first_token_s": 0.02, "token_s": 0.04, "output_tokens": TOKENS},
        }
    ],
}


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    system = Serving(tmp_path_factory.mktemp("chaos"), SETTINGS)
    try:
        yield system.wait_until_ready("sim:chaos")
        assert system.stop() == 0
    finally:
        system.end()


class Streams:
    """Twenty streams, and a signal for the moment when all of them have begun to speak."""

    def __init__(self, serving: Serving, name: str) -> None:
        self._serving = serving
        self.questions = [f"{name} {number}" for number in range(STREAMS)]
        self._silent = set(self.questions)
        self.all_speak = threading.Event()

    def read_all(self) -> list[str]:
        return in_parallel([partial(self._read, question) for question in self.questions])

    def _read(self, question: str) -> str:
        body = {"model": "sim:chaos", "messages": [{"role": "user", "content": question}], "stream": True}
        pieces = []
        with self._serving.client() as client:
            for piece in client.stream(body):
                pieces.append(piece)
                self._speaks(question)
        return "".join(pieces)

    def _speaks(self, question: str) -> None:
        self._silent.discard(question)
        if not self._silent:
            self.all_speak.set()


def exact(question: str) -> str:
    return simulated_text((ChatMessage("user", question),), None, TOKENS)


@pytest.mark.parametrize(
    "kind",
    ["Engine", "Journal", "Scheduler", "Ledger", "RateLimiter", "NodeAgent", "Supervisor", "ServeReplica:infernet"],
)
def test_streams_survive_the_loss_of(kind: str, serving: Serving) -> None:
    streams = Streams(serving, kind)
    victim: list[psutil.Process] = []

    def kill() -> None:
        assert streams.all_speak.wait(60)
        victim.append(serving.actors(kind)[0])
        victim[0].kill()

    killer = threading.Thread(target=kill)
    killer.start()
    texts = streams.read_all()
    killer.join()
    assert victim, f"no process {kind} to kill"
    assert texts == [exact(question) for question in streams.questions]
    _assert_each_billed_once(serving, streams)
    _wait_until_whole(serving)


def _assert_each_billed_once(serving: Serving, streams: Streams) -> None:
    answers = {exact(question) for question in streams.questions}
    with serving.client() as client:
        jobs = [job for job in client.jobs(limit=100)["jobs"] if job["result"]["content"] in answers]
    assert len(jobs) == STREAMS
    with closing(sqlite3.connect(serving.state / "infernet.db")) as database:
        rows = dict(database.execute("SELECT job_id, sum(completion_tokens) FROM usage GROUP BY job_id"))
        (count,) = database.execute("SELECT count(*) FROM usage").fetchone()
    assert len(rows) == count
    assert [rows[job["id"]] for job in jobs] == [TOKENS] * STREAMS


def _wait_until_whole(serving: Serving) -> None:
    """Until both engines serve again, so that the next case begins like the first."""
    with serving.client() as client:
        while True:
            (model,) = client.models(all=True)["models"]
            if model["replicas"] == 2:
                return
