"""When the clients ask: when they have read their last answer, or at moments that nothing delays."""

import asyncio
import itertools
import math
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from tests.benchmarks.load.prompts import prompt

Ask = Callable[[str, float], Awaitable[None]]
"""Asks a prompt that is due at a moment of `time.perf_counter`, and returns when its answer has been read."""


class Loop(Protocol):
    """A load: what is asked when. Crosses to the clients' process by pickle."""

    @property
    def output_tokens(self) -> int:
        """The most an answer may have."""

    async def drive(self, ask: Ask) -> None:
        """Ask everything. Returns when the last answer has been read."""


@dataclass(frozen=True)
class ClosedLoop:
    """Clients that each send their next request when they have read the answer to the last.

    `requests` each, or until `seconds` are over, whichever comes first. The prompts are a function of `name`, the
    client and the request: the same loop asks the same things.
    """

    clients: int
    output_tokens: int
    seconds: float = math.inf
    requests: int = 1_000_000
    name: str = ""
    questions: int = 1

    async def drive(self, ask: Ask) -> None:
        end_s = time.perf_counter() + self.seconds
        await asyncio.gather(*(self._client(ask, number, end_s) for number in range(self.clients)))

    async def _client(self, ask: Ask, number: int, end_s: float) -> None:
        for request in range(self.requests):
            if (now_s := time.perf_counter()) >= end_s:
                return
            await ask(prompt(self.name, number, request, self.questions), now_s)


@dataclass(frozen=True)
class OpenLoop:
    """Requests at moments drawn in advance (Poisson), whatever the answers do. The same `seed` draws the same."""

    per_s: float
    output_tokens: int
    seconds: float
    seed: int
    name: str = ""
    questions: int = 1

    async def drive(self, ask: Ask) -> None:
        began_s, asked = time.perf_counter(), []
        for number, moment_s in enumerate(self.moments_s()):
            due_s = began_s + moment_s
            await asyncio.sleep(due_s - time.perf_counter())
            asked.append(asyncio.ensure_future(ask(prompt(self.name, 0, number, self.questions), due_s)))
        await asyncio.gather(*asked)

    def moments_s(self) -> list[float]:
        """When the requests are due, in seconds from the beginning."""
        chance = random.Random(self.seed)
        moments_s = itertools.accumulate(chance.expovariate(self.per_s) for _ in itertools.count())
        return list(itertools.takewhile(lambda moment_s: moment_s < self.seconds, moments_s))
