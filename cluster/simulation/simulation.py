"""Traffic through the rules, in virtual time: what happens when is a heap, and each job costs three events."""

import heapq
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from msgspec import Struct

from cluster.catalogue import Model
from cluster.ids import AccountId, JobId, KeyId
from cluster.leases.deadlines import Deadlines
from cluster.leases.starts import Starts
from cluster.messages.work import Job, Sampling
from cluster.queue import JobQueue, Waiting
from cluster.simulation.engine import SimulatedEngine
from cluster.simulation.fairness import Fairness, service
from cluster.simulation.machines import MachinePark
from cluster.simulation.results import ModelResult, Moment, Result
from cluster.simulation.served import Served
from cluster.simulation.traffic import Request, Traffic

QUEUE_FULL = "the model's queue was full"
TOO_LATE = "waited for longer than a job may take"
NO_MACHINE = "no machine is large enough for a replica"

_EVERYBODY = AccountId("everybody")
_LEAST_LIMIT = 1024


class Terms(Struct, frozen=True):
    """How the system is run: how often it decides, how long a job may take, whether accounts take turns."""

    tick_s: float = 0.5
    job_timeout_s: int = 300
    turns: bool = True
    sample_s: float = 60.0


class _Event(NamedTuple):
    """An engine becomes ready, or its next job ends: true only while the engine is of this version."""

    at_s: float
    number: int
    served: Served
    engine: SimulatedEngine
    version: int


_STARTED = -1


class Simulation:
    """Plays the whole of some traffic. The queue, the turns, the placing, the sizing and the time limits are the
    project's own; machines and engines are made up.

    Simpler than the system: a job is known to be durable and an engine to be ready at once, nothing fails, and a job
    that has begun is let end, however late (`ModelResult.late`). No idle replica is ended to make room for another
    model: where there may be no more machines, jobs wait for one until their time is over.
    """

    def __init__(
        self,
        traffic: Traffic,
        served: Sequence[Served],
        park: MachinePark,
        terms: Terms,
        fairness: Fairness | None = None,
    ) -> None:
        """`served` are the traffic's models, in its order."""
        self._traffic = traffic
        self._served = served
        self._park = park
        self._terms = terms
        self._fairness = fairness
        self._queue = JobQueue()
        self._deadlines = Deadlines()
        self._starts = Starts()
        self._events: list[_Event] = []
        self._numbers = 0
        self._waiting: dict[int, Job] = {}
        # The models for which jobs wait.
        self._contended: dict[int, Served] = {}
        # Tokens of jobs that were moved, and those that accounts have been charged for while others wait.
        self._has: dict[int, int] = {}
        self._charged: dict[int, int] = {}
        self._running = 0
        self._results = [ModelResult() for _ in served]
        self._result = Result(dict(zip(traffic.models, self._results, strict=True)))

    def run(self, until_s: float | None = None) -> Result:
        """Until all jobs have ended and all machines are gone, or at `until_s` at the earliest, whatever stays then."""
        requests, number = iter(self._traffic), 0
        request = next(requests, None)
        tick_s = next_sample_s = 0.0
        while True:
            arrival_s = request.arrived_s if request else math.inf
            event_s = self._events[0].at_s if self._events else math.inf
            if tick_s <= arrival_s and tick_s <= event_s:
                if tick_s >= next_sample_s:
                    self._sample(tick_s)
                    next_sample_s += self._terms.sample_s
                self._tick(tick_s)
                if request is None and self._is_over(tick_s, until_s):
                    break
                tick_s += self._terms.tick_s
            elif event_s <= arrival_s:
                self._happen(heapq.heappop(self._events))
            elif request is not None:
                self._arrive(number, request)
                request, number = next(requests, None), number + 1
        self._sample(tick_s)
        return self._report(tick_s)

    # What happens -------------------------------------------------------------------------------------------------

    def _arrive(self, number: int, request: Request) -> None:
        """A job is submitted: it begins at once where an engine has room and nobody waits."""
        now_s, model, _, prompt_tokens, output_tokens = request
        served = self._served[model]
        if not served.waiting and (best := served.placing.best(None)) is not None:
            self._results[model].waits_s.append(0.0)
            self._begin(number, served, served.engines[best.engine_id], prompt_tokens, output_tokens, now_s)
        elif not self._park.ever_fits(served.model):
            self._results[model].refused[NO_MACHINE] += 1
        elif served.waiting >= served.model.max_queue:
            self._results[model].refused[QUEUE_FULL] += 1
        else:
            if not served.waiting:
                self._note_charged(served, now_s)
            self._enqueue(number, request, served)

    def _happen(self, event: _Event) -> None:
        if event.version == _STARTED:
            self._started(event)
        elif event.engine.version == event.version:
            self._ended(event)

    def _started(self, event: _Event) -> None:
        """An engine is ready, unless it was given up while it started."""
        if event.engine.id in event.served.engines:
            event.served.become_ready(event.engine)
            self._dispatch(event.served, event.at_s)

    def _ended(self, event: _Event) -> None:
        """The next job of an engine has ended."""
        now_s, served, engine = event.at_s, event.served, event.engine
        number = engine.end(now_s)
        request = self._traffic[number]
        served.placing.put(engine.candidate())
        served.running -= 1
        served.ended += 1
        self._running -= 1
        self._result.completed += 1
        self._has.pop(number, None)
        if served.waiting:
            charged = self._charged.pop(number, 0)
            self._queue.charge(served.model.id, self._account(request), output_tokens=request.output_tokens - charged)
            self._dispatch(served, now_s)
        if now_s - request.arrived_s > self._terms.job_timeout_s and self._is_late(number, request, now_s):
            self._results[request.model].late += 1
        self._expect_end(served, engine)

    def _tick(self, now_s: float) -> None:
        """Time has passed."""
        self._charge(now_s)
        self._time_out(now_s)
        self._scale(now_s)
        self._park.let_go(now_s)
        if self._fairness is not None:
            self._fairness.look(now_s)

    # Steps of a tick ----------------------------------------------------------------------------------------------

    def _charge(self, now_s: float) -> None:
        """Where jobs wait, accounts pay for the tokens that engines have made for them since."""
        if not self._waiting:
            self._charged.clear()
            return
        if not self._terms.turns:
            return
        for served in self._contended.values():
            for number, tokens in self._produced(served, now_s):
                if (more := tokens - self._charged.get(number, 0)) > 0:
                    self._charged[number] = tokens
                    account = self._account(self._traffic[number])
                    self._queue.charge(served.model.id, account, output_tokens=more)

    def _time_out(self, now_s: float) -> None:
        """Jobs that have waited for too long end, the time not counted in which their model had to be started."""
        now_ms = round(now_s * 1000)
        self._starts.note(
            [served.model for served in self._contended.values() if served.starting and not served.ready], now_ms
        )
        for job_id in self._deadlines.passed(now_ms):
            number = int(job_id)
            if (job := self._waiting.get(number)) is None:
                continue
            if (due_ms := self._starts.due_ms(job)) > now_ms:
                self._deadlines.keep(job_id, due_ms)
                continue
            request = self._traffic[number]
            served = self._served[request.model]
            self._queue.remove(served.lane, job.account_id, job_id)
            self._waits_no_more(number, served)
            self._results[request.model].refused[TOO_LATE] += 1
            if self._fairness is not None:
                self._fairness.went(
                    request.model, request.account, service(request.prompt_tokens, request.output_tokens)
                )

    def _scale(self, now_s: float) -> None:
        for served in self._served:
            if not (served.engines or served.waiting or served.is_due(now_s)):
                continue
            for engine in served.scale(now_s):
                ready_s = max(now_s, engine.machine.joined_s) + served.speed.load_s
                self._expect(ready_s, served, engine, _STARTED)
            if served.waiting:
                self._dispatch(served, now_s)
            if served.retiring:
                self._wind_down(served, now_s)

    def _wind_down(self, served: Served, now_s: float) -> None:
        """Retiring engines end when they have no jobs. What they have not ended in time goes on elsewhere."""
        for engine in list(served.retiring.values()):
            assert engine.retiring_since_s is not None
            if len(engine) and now_s - engine.retiring_since_s >= served.model.replicas.drain_s:
                self._empty(served, engine, now_s)
            if not len(engine):
                served.end(engine, now_s)

    def _empty(self, served: Served, engine: SimulatedEngine, now_s: float) -> None:
        """As many of its jobs as there is room for elsewhere go on there."""
        while len(engine) and (best := served.placing.best(None)) is not None:
            number, tokens = engine.take_out(now_s)
            self._has[number] = has = self._has.get(number, 0) + tokens
            request = self._traffic[number]
            self._result.moved += 1
            served.running -= 1
            self._running -= 1
            other = served.engines[best.engine_id]
            self._begin(number, served, other, request.prompt_tokens + has, request.output_tokens - has, now_s)
        self._expect_end(served, engine)

    # Jobs ---------------------------------------------------------------------------------------------------------

    def _enqueue(self, number: int, request: Request, served: Served) -> None:
        job = self._job(number, request, served.model)
        self._waiting[number] = job
        served.waiting += 1
        self._contended[request.model] = served
        self._queue.push(served.lane, Waiting(job))
        self._deadlines.keep(job.id, job.deadline_ms)
        if self._fairness is not None:
            self._fairness.came(request.model, request.account, service(request.prompt_tokens, request.output_tokens))

    def _dispatch(self, served: Served, now_s: float) -> None:
        """Every job for which there is an engine goes to it."""
        while (best := served.placing.best(None)) is not None and (waiting := self._queue.pop(served.lane)) is not None:
            number = int(waiting.job.id)
            self._waits_no_more(number, served)
            request = self._traffic[number]
            prompt_tokens, output_tokens = request.prompt_tokens, request.output_tokens
            self._results[request.model].waits_s.append(now_s - request.arrived_s)
            if self._fairness is not None:
                self._fairness.began(request.model, request.account, service(prompt_tokens, output_tokens))
            self._queue.charge(served.model.id, waiting.job.account_id, prompt_tokens=prompt_tokens)
            self._begin(number, served, served.engines[best.engine_id], prompt_tokens, output_tokens, now_s)

    def _begin(
        self, number: int, served: Served, engine: SimulatedEngine, prompt_tokens: int, output_tokens: int, now_s: float
    ) -> None:
        engine.begin(number, prompt_tokens + _limit(output_tokens), prompt_tokens, output_tokens, now_s)
        served.placing.put(engine.candidate())
        served.running += 1
        self._running += 1
        self._expect_end(served, engine)

    def _waits_no_more(self, number: int, served: Served) -> None:
        del self._waiting[number]
        served.waiting -= 1
        if not served.waiting:
            del self._contended[self._traffic.model[number]]

    def _job(self, number: int, request: Request, model: Model) -> Job:
        created_ms = round(request.arrived_s * 1000)
        return Job(
            id=JobId(str(number)),
            account_id=self._account(request),
            key_id=KeyId(""),
            model=model.id,
            messages=(),
            sampling=Sampling(max_tokens=_limit(request.output_tokens)),
            created_ms=created_ms,
            deadline_ms=created_ms + self._terms.job_timeout_s * 1000,
            prompt_tokens=request.prompt_tokens,
        )

    def _account(self, request: Request) -> AccountId:
        return AccountId(self._traffic.accounts[request.account]) if self._terms.turns else _EVERYBODY

    def _note_charged(self, served: Served, now_s: float) -> None:
        """Somebody comes to wait: what has been made until now is not charged."""
        if self._terms.turns:
            self._charged.update(self._produced(served, now_s))

    def _produced(self, served: Served, now_s: float) -> Iterator[tuple[int, int]]:
        """The jobs that engines of this model run, and the tokens that each has, wherever it got them."""
        for engine in served.engines.values():
            for number, tokens in engine.produced(now_s):
                yield number, self._has.get(number, 0) + tokens

    def _is_late(self, number: int, request: Request, now_s: float) -> bool:
        job = self._job(number, request, self._served[request.model].model)
        return now_s * 1000 > self._starts.due_ms(job)

    # Inside -------------------------------------------------------------------------------------------------------

    def _expect_end(self, served: Served, engine: SimulatedEngine) -> None:
        if len(engine):
            self._expect(engine.next_end_s(), served, engine, engine.version)

    def _expect(self, at_s: float, served: Served, engine: SimulatedEngine, version: int) -> None:
        self._numbers += 1
        heapq.heappush(self._events, _Event(at_s, self._numbers, served, engine, version))

    def _is_over(self, now_s: float, until_s: float | None) -> bool:
        if self._running or self._waiting:
            return False
        return not len(self._park) if until_s is None else now_s >= until_s

    def _sample(self, now_s: float) -> None:
        engines = [(served, len(served.engines)) for served in self._served]
        self._result.moments.append(
            Moment(
                at_s=now_s,
                machines=len(self._park),
                gpus=self._park.gpus,
                gpus_held=sum(served.model.gpus * number for served, number in engines),
                replicas=sum(number for _, number in engines),
                ready=sum(served.ready for served in self._served),
                waiting=len(self._waiting),
                running=self._running,
            )
        )

    def _report(self, now_s: float) -> Result:
        for served, result in zip(self._served, self._results, strict=True):
            result.gpu_hours = served.gpu_s_so_far(now_s) / 3600
            result.starts = served.starts
            result.sizes = served.sizes
        self._result.machine_gpu_hours = self._park.gpu_s(now_s) / 3600
        self._result.ended_s = now_s
        return self._result


def _limit(output_tokens: int) -> int:
    """What a client allows a job: it does not know how long the answer will be, and neither do the rules."""
    return max(_LEAST_LIMIT, 1 << (output_tokens - 1).bit_length())
