"""What traces cost, off and on: `python -m tests.benchmarks.tracing`. It needs no Ray, and measures what is added.

Off means that the settings name no collector, on that they do; then a request is traced or not.
"""

import asyncio
import multiprocessing
import statistics
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from multiprocessing.queues import SimpleQueue
from typing import Any

from actors.backends.base import Chunk
from actors.ray import remote
from actors.ray.remote import Remote
from actors.scheduling.job_spans import JobSpans
from actors.telemetry import origins, spans
from actors.telemetry.generations import GenerationSpans
from cluster.ids import AccountId, EngineId, JobId, KeyId
from cluster.messages.money import Usage
from cluster.messages.origin import Origin
from cluster.messages.work import ChatMessage, Dispatch, Finished, Job, Released, Sampling
from cluster.settings.sections.traces import Traces
from tests.support.collector import collecting

CALLS = 20_000
JOBS = 2_000
ROUNDS = 7
PLACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class Method:
    """A method of Ray's handle that answers at once."""

    def options(self, **_: object) -> "Method":
        return self

    async def remote(self, *_: object) -> None:
        return None


class Handle:
    call = traced = Method()


async def find(name: str, lookup_s: float) -> Any:
    return Handle()


async def calls_us(call: Callable[[], Awaitable[object]]) -> float:
    """Microseconds of the processor for a call, all threads together, the median of some rounds."""
    rounds = []
    for _ in range(ROUNDS):
        began_s = time.process_time()
        for _ in range(CALLS):
            await call()
        rounds.append((time.process_time() - began_s) / CALLS * 1e6)
    return statistics.median(rounds)


def jobs_us(trace: str) -> float:
    """Microseconds of the processor in which Scheduler and engine tell a job's spans, of which there are five."""
    rounds = []
    for _ in range(ROUNDS):
        scheduler, engine = JobSpans(), GenerationSpans(EngineId("m/0"))
        began_s = time.process_time()
        for number in range(JOBS):
            one_job(scheduler, engine, number, trace)
        rounds.append((time.process_time() - began_s) / JOBS * 1e6)
    return statistics.median(rounds)


def one_job(scheduler: JobSpans, engine: GenerationSpans, number: int, trace: str) -> None:
    message, job_id = ChatMessage("user", "Hello"), JobId(f"job_{number}")
    asked = Sampling(max_tokens=8)
    job = Job(job_id, AccountId("a"), KeyId("k"), "m", (message,), asked, 0, 1, origin=Origin("request", trace))
    dispatch = Dispatch(job, 1)
    scheduler.submitted([job])
    scheduler.ordered(EngineId("m/0"), [dispatch])
    engine.begin(dispatch)
    engine.hear(Chunk(job_id, 1, "x", (1,)))
    engine.hear(Chunk(job_id, 1, "y", (2,), end=Finished(Usage(3, 2), "stop")))
    scheduler.released([Released(job_id, 1)], lambda _: False)


@contextmanager
def elsewhere() -> Iterator[str]:
    """The URL of a collector in a process of its own."""
    context = multiprocessing.get_context("spawn")
    urls = context.SimpleQueue()
    process = context.Process(target=collect, args=(urls,), daemon=True)
    process.start()
    try:
        yield urls.get()
    finally:
        process.terminate()
        process.join()


def collect(urls: "SimpleQueue[str]") -> None:
    with collecting() as collector:
        urls.put(collector.url)
        threading.Event().wait()


async def main() -> None:
    remote._find = find
    actor = Remote("engine/m/0", "Engine", frozenset(), 0, 0.0)
    direct = await calls_us(lambda: actor._answer("call", "describe", 0, "describe"))
    off = await calls_us(actor.describe)
    print(f"a call as it was, without Ray              {direct:8.2f} us")
    print(f"a call, off                                {off:8.2f} us")
    print(f"a job's spans, off                         {jobs_us(''):8.2f} us")
    with elsewhere() as url:
        spans.begin("benchmark", Traces(url))
        print(f"a call, on, of a request not traced        {await calls_us(actor.describe):8.2f} us")
        with origins.within("request", PLACE):
            print(f"a call, on, traced                         {await calls_us(actor.describe):8.2f} us")
        print(f"a job's spans, on, of one not traced       {jobs_us(''):8.2f} us")
        print(f"a job's spans, on, traced                  {jobs_us(PLACE):8.2f} us")
        spans.end()


if __name__ == "__main__":
    asyncio.run(main())
