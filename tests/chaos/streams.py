"""Streams that are read while a system is disturbed, what each of them was told, and what is kept of it."""

import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from typing import NamedTuple

from actors.backends.simulated import simulated_text
from api.cli.responses import RemoteError
from cluster.errors import StreamLost
from cluster.messages.work import ChatMessage
from tests.chaos.disturbances import Disturbance
from tests.support.serving import Serving, in_parallel

MODEL = "sim:chaos"
ENGINES = 2
STREAMS = 20
TOKENS = 80
TOKEN_S = 0.04
SETTINGS = {
    "limits": {"submissions_per_minute": 100_000, "submissions_per_hour": 1_000_000, "reads_per_minute": 100_000},
    "webhooks": {"private_hosts": ["127.0.0.1"]},
    "models": [
        {
            "id": MODEL,
            "backend": "simulated",
            "replicas": ENGINES,
            "engine": {"first_token_s": 0.02, "token_s": TOKEN_S, "output_tokens": TOKENS, "vary_by_attempt": True},
        }
    ],
}
SPEAK_WITHIN_S = 60.0
WHOLE_WITHIN_S = 120.0
MOST_ATTEMPTS = 10


class Told(NamedTuple):
    """What one reader was told, and the longest time for which it was told nothing after it had begun.

    One that `was_lost` was told so, and read the job again from its start.
    """

    question: str
    job_id: str
    text: str
    longest_pause_s: float
    was_lost: bool = False


def exact(question: str, attempt: int = 1) -> str:
    """What an undisturbed stream tells; one that begins anew in a later attempt is told another text."""
    return simulated_text((ChatMessage("user", question),), None, TOKENS, attempt)


class Streams:
    """Twenty streams, disturbed once all of them have begun to speak."""

    def __init__(self, serving: Serving, name: str) -> None:
        self._serving = serving
        self._questions = [f"{name} {number}" for number in range(STREAMS)]
        self._silent = set(self._questions)
        self._all_speak = threading.Event()

    def read_under(self, disturbance: Disturbance) -> list[Told]:
        """What all were told, while this was done."""
        failed: list[BaseException] = []
        deeds = [deed.on(self._serving) for deed in disturbance]
        disturber = threading.Thread(target=self._disturb, args=(deeds, failed))
        disturber.start()
        told: list[Told] = in_parallel([partial(self._read, question) for question in self._questions])
        disturber.join()
        if failed:
            raise failed[0]
        return told

    def _disturb(self, deeds: list[Callable[[], None]], failed: list[BaseException]) -> None:
        try:
            assert self._all_speak.wait(SPEAK_WITHIN_S), "not all streams began to speak"
            in_parallel(deeds)
        except BaseException as error:  # noqa: BLE001 - raised by who waits for this thread
            failed.append(error)

    def _read(self, question: str) -> Told:
        body = {"model": MODEL, "messages": [{"role": "user", "content": question}], "stream": True}
        pieces = []
        longest_pause_s, heard_s = 0.0, None
        with self._serving.client() as client:
            job_id = ""
            try:
                for piece in client.stream(body):
                    job_id = job_id or client.headers["X-Job-Id"]
                    pieces.append(piece)
                    self._speaks(question)
                    now_s = time.monotonic()
                    longest_pause_s = max(longest_pause_s, now_s - (heard_s or now_s))
                    heard_s = now_s
            except RemoteError as error:
                if error.code != StreamLost.code:
                    raise
                return Told(question, job_id, "".join(client.follow(job_id)), longest_pause_s, was_lost=True)
        return Told(question, job_id, "".join(pieces), longest_pause_s)

    def _speaks(self, question: str) -> None:
        self._silent.discard(question)
        if not self._silent:
            self._all_speak.set()


def wrongs(serving: Serving, told: list[Told], may_lose_texts: bool = False) -> list[str]:
    """What is not as it must be: every text exact and kept as it was told, every job there once and billed once."""
    found = [f"{t.job_id}: told {t.text!r}" for t in told if t.text not in _texts(t)]
    found += [f"{t.job_id}: its text was lost" for t in told if t.was_lost and not may_lose_texts]
    with closing(sqlite3.connect(serving.state / "infernet.db")) as database:
        for t in told:
            kept = database.execute("SELECT content FROM jobs WHERE id = ?", (t.job_id,)).fetchone()
            if kept is None or kept[0].decode() != t.text:
                found.append(f"{t.job_id}: what is kept is not what was told")
            billed = database.execute("SELECT completion_tokens FROM usage WHERE job_id = ?", (t.job_id,)).fetchall()
            if billed != [(TOKENS,)]:
                found.append(f"{t.job_id}: billed {billed}")
        (jobs,) = database.execute("SELECT count(*) FROM jobs").fetchone()
        (usage,) = database.execute("SELECT count(*) FROM usage").fetchone()
        (still_open,) = database.execute("SELECT count(*) FROM jobs WHERE ended_ms IS NULL").fetchone()
    if still_open or jobs != usage:
        found.append(f"{jobs} jobs, of which {still_open} have not ended, and {usage} bills")
    return found


def _texts(told: Told) -> list[str]:
    """What this reader may have been told."""
    return [exact(told.question, attempt) for attempt in range(1, MOST_ATTEMPTS if told.was_lost else 2)]


def wait_until_whole(serving: Serving) -> float:
    """As `wait_until_serving`, with all engines of these streams."""
    return wait_until_serving(serving, ENGINES)


def wait_until_serving(serving: Serving, engines: int) -> float:
    """Until so many engines serve again: the next disturbance finds what the first found. Returns the seconds."""
    began_s = time.monotonic()
    while time.monotonic() - began_s < WHOLE_WITHIN_S:
        try:
            with serving.client() as client:
                (model,) = client.models(all=True)["models"]
                if model["replicas"] == engines and client.ready():
                    return time.monotonic() - began_s
        except Exception:  # noqa: BLE001 - a part of it is not back yet
            time.sleep(0.2)
        time.sleep(0.05)
    raise AssertionError(f"not whole within {WHOLE_WITHIN_S:.0f} s")
