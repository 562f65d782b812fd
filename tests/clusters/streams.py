"""Twenty streams, read while something happens to the machines: what each was told, and how long it was silent."""

import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from actors.backends.simulated import simulated_text
from api.cli.client import Client
from cluster.messages.work import ChatMessage
from tests.support.serving import in_parallel

MODEL = "sim:spread"
TOKEN_S = 0.05
STREAMS = 20

_SPEAK_WITHIN_S = 60.0


class Told(NamedTuple):
    """What a reader was told, and the longest time for which it was told nothing, after it had begun."""

    question: str
    text: str
    tokens: int
    node_id: str
    silence_s: float

    @property
    def is_exact(self) -> bool:
        """Whether it is what an undisturbed stream tells."""
        return self.text == simulated_text((ChatMessage("user", self.question),), None, self.tokens)


class Streams:
    """So many streams of so many tokens each. `connect` gives a client; `name` makes their questions their own."""

    def __init__(self, connect: Callable[[], Client], name: str, tokens: int, count: int = STREAMS) -> None:
        self._connect = connect
        self._questions = [f"{name} {number}" for number in range(count)]
        self._tokens = tokens
        self._silent = set(self._questions)
        self._all_speak = threading.Event()

    def read_under(self, deed: Callable[[], object] | None = None) -> Sequence[Told]:
        """What all were told. The deed is done once all of them have begun to speak."""
        reads: list[Callable[[], Told | None]] = [partial(self._read, question) for question in self._questions]
        told = in_parallel([*reads, partial(self._do, deed)])
        return [each for each in told if each is not None]

    def _do(self, deed: Callable[[], object] | None) -> None:
        assert self._all_speak.wait(_SPEAK_WITHIN_S), f"not all streams began to speak: {sorted(self._silent)}"
        if deed is not None:
            deed()

    def _read(self, question: str) -> Told:
        body = {
            "model": MODEL,
            "messages": [{"role": "user", "content": question}],
            "max_tokens": self._tokens,
        }
        pieces: list[str] = []
        silence_s, heard_s = 0.0, time.monotonic()
        with self._connect() as client:
            job_id = client.submit(body)["id"]
            for piece in client.follow(job_id):
                now_s = time.monotonic()
                silence_s = max(silence_s, now_s - heard_s) if pieces else 0.0
                heard_s = now_s
                pieces.append(piece)
                self._speaks(question)
            job = client.job(job_id, wait=5)
        return Told(question, "".join(pieces), self._tokens, str(job["node_id"]), silence_s)

    def _speaks(self, question: str) -> None:
        self._silent.discard(question)
        if not self._silent:
            self._all_speak.set()


def longest_silence_s(told: Sequence[Told]) -> float:
    return max(each.silence_s for each in told)


def inexact(told: Sequence[Told]) -> list[str]:
    """The questions of those that were told something else than they should have been."""
    return [each.question for each in told if not each.is_exact]
