"""An engine as a simulation has it: jobs that share its steps, so that each slows the others down a little."""

import heapq
from typing import NamedTuple

from cluster.ids import EngineId
from cluster.placement import Candidate
from cluster.simulation.machines import SimulatedMachine
from cluster.simulation.speeds import Speed


class Running(NamedTuple):
    """A job that an engine has. It ends when the engine's work has come to `ends_at`; it began at `began_at`."""

    ends_at: float
    number: int
    began_at: float
    prompt_steps: float


class SimulatedEngine:
    """Exact for engines that run as `Speed` says: the next end is known, and only what is put in or taken out moves it.

    The work that it has done, in steps, grows at the pace of its batch. `version` counts the changes: an end that was
    told for an earlier version is no longer true.
    """

    def __init__(self, engine_id: EngineId, speed: Speed, machine: SimulatedMachine) -> None:
        self.id = engine_id
        self.machine = machine
        self.ready = False
        self.retiring_since_s: float | None = None
        self.assigned_tokens = 0
        self.version = 0
        self._speed = speed
        self._jobs: list[Running] = []
        self._tokens_of: dict[int, int] = {}
        self._work = 0.0
        self._at_s = 0.0

    def __len__(self) -> int:
        return len(self._tokens_of)

    def begin(self, number: int, tokens: int, prompt_tokens: int, output_tokens: int, now_s: float) -> None:
        """Run this job, which counts for `tokens` where engines are compared."""
        self._advance(now_s)
        work = self._speed.work(prompt_tokens, output_tokens)
        job = Running(self._work + work, number, self._work, work - output_tokens)
        heapq.heappush(self._jobs, job)
        self._tokens_of[number] = tokens
        self.assigned_tokens += tokens
        self.version += 1

    def next_end_s(self) -> float:
        """When the next job ends, if nothing changes. There has to be one."""
        return self._at_s + (self._jobs[0].ends_at - self._work) * self._speed.token_s(len(self._jobs))

    def end(self, now_s: float) -> int:
        """The next job has ended. Returns its number."""
        self._advance(now_s)
        job = heapq.heappop(self._jobs)
        self._work = max(self._work, job.ends_at)
        self._forget(job.number)
        return job.number

    def take_out(self, now_s: float) -> tuple[int, int]:
        """Give up a job that runs, the one that would run longest. Returns its number, and the tokens that it has."""
        self._advance(now_s)
        job = max(self._jobs)
        self._jobs.remove(job)
        heapq.heapify(self._jobs)
        self._forget(job.number)
        return job.number, self._tokens(job)

    def produced(self, now_s: float) -> list[tuple[int, int]]:
        """The jobs that run, by number, with the tokens that each has."""
        self._advance(now_s)
        return [(job.number, self._tokens(job)) for job in self._jobs]

    def candidate(self) -> Candidate:
        """This engine, as placement looks at it."""
        return Candidate(
            engine_id=self.id,
            node_id=self.machine.id,
            ready=self.ready,
            online=True,
            draining=self.retiring_since_s is not None,
            running=len(self._tokens_of),
            slots=self._speed.slots,
            assigned_tokens=self.assigned_tokens,
            recent_failures=0,
        )

    def _tokens(self, job: Running) -> int:
        return max(0, int(self._work - job.began_at - job.prompt_steps))

    def _advance(self, now_s: float) -> None:
        if self._jobs:
            self._work += (now_s - self._at_s) / self._speed.token_s(len(self._jobs))
        self._at_s = now_s

    def _forget(self, number: int) -> None:
        self.assigned_tokens -= self._tokens_of.pop(number)
        self.version += 1
