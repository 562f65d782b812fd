"""Prompts as long as the door takes them are counted while others are served."""

import time
from itertools import pairwise
from threading import Event, Thread

import pytest

from actors.backends.simulated import simulated_text
from api.cli.responses import RemoteError
from cluster.messages.work import ChatMessage
from tests.support.serving import Serving, in_parallel

LONG = "Où? " * 200_000
"""A body of almost 1 MiB, and a token for every character."""

QUESTION = "Beside long prompts"
TOKENS = 1500
"""More than a minute of answer, a token every 50 ms: it is left when the prompts have been counted."""

LONGEST_SILENCE = 0.5
"""Of the time in which they are counted. Without letting go of the interpreter's lock, it would be all of it."""


class Reading(Thread):
    """One stream, and when each piece of it came."""

    def __init__(self, serving: Serving) -> None:
        super().__init__(daemon=True)
        self._serving = serving
        self.pieces: list[str] = []
        self.times_s: list[float] = []
        self.begun = Event()
        self.enough = Event()

    def run(self) -> None:
        body = {"model": "sim:slow", "messages": [{"role": "user", "content": QUESTION}], "max_tokens": TOKENS}
        with self._serving.client() as client:
            for piece in client.stream({**body, "stream": True}):
                self.pieces.append(piece)
                self.times_s.append(time.monotonic())
                self.begun.set()
                if self.enough.is_set():
                    break
            client.cancel(client.headers["X-Job-Id"])


def test_streams_go_on_while_long_prompts_are_counted(serving: Serving) -> None:
    serving.wait_until_ready("capitals", "sim:slow")
    reading = Reading(serving)
    reading.start()
    assert reading.begun.wait(30)
    started_s = time.monotonic()

    def refused() -> str:
        with serving.client() as client, pytest.raises(RemoteError) as refusal:
            client.submit({"model": "capitals", "messages": [{"role": "user", "content": LONG}]})
        return refusal.value.code

    assert in_parallel([refused] * 5) == ["context_length_exceeded"] * 5
    counted_s = time.monotonic() - started_s
    during = [time_s for time_s in reading.times_s if time_s >= started_s]
    reading.enough.set()
    reading.join(30)

    assert simulated_text((ChatMessage("user", QUESTION),), None, TOKENS).startswith("".join(reading.pieces))
    assert len(during) > 10
    assert max(late_s - early_s for early_s, late_s in pairwise(during)) < LONGEST_SILENCE * counted_s
