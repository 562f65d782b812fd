"""The clients' own process, and what the machine's processors did while they asked."""

import asyncio
import multiprocessing
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection

import aiohttp
import uvloop

from tests.benchmarks import processes
from tests.benchmarks.dialects import Dialect
from tests.benchmarks.load.answers import Answer, Received, RequestFailed, ask, parse
from tests.benchmarks.load.loops import Loop

_SILENCE_S = 120.0
_LOOK_S = 0.5

Groups = Mapping[str, Sequence[int]]
"""Process ids by a name."""


@dataclass(frozen=True)
class Window:
    """What all clients saw, from the first request to the end of the last answer.

    `cpu_s` is the processor time used meanwhile: by each group of processes that was watched, by the `client`, and by
    everything `else` on the machine.
    """

    answers: Sequence[Answer]
    wall_s: float
    cpu_s: Mapping[str, float]


def run(dialect: Dialect, loop: Loop, watched: Groups | None = None, look: Callable[[], None] | None = None) -> Window:
    """Run the loop in a new process, and call `look` twice a second meanwhile.

    Raises RequestFailed when a request fails, and ChildProcessError when the process does.
    """
    # Forked from a process that has imported this module and nothing else: a new one would take a second.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(sender, dialect, loop, watched or {}), daemon=True)
    process.start()
    sender.close()
    try:
        while not receiver.poll(_LOOK_S):
            if look:
                look()
        result: Window | RequestFailed = receiver.recv()
    except EOFError:
        raise ChildProcessError("the clients' process failed") from None
    finally:
        process.kill()
        process.join()
    if isinstance(result, RequestFailed):
        raise result
    return result


def _work(sender: Connection, dialect: Dialect, loop: Loop, watched: Groups) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends this process
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            sender.send(runner.run(_drive(dialect, loop, watched)))
        except RequestFailed as error:
            sender.send(error)
        except (aiohttp.ClientError, TimeoutError) as error:
            sender.send(RequestFailed(f"{dialect.url}: {error!r}"))


async def _drive(dialect: Dialect, loop: Loop, watched: Groups) -> Window:
    received: list[Received] = []

    async def request(prompt: str, due_s: float) -> None:
        received.append(await ask(session, dialect, prompt, loop.output_tokens, due_s))

    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=None, sock_read=_SILENCE_S)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout, headers=dialect.headers) as session:
        before, began_s = _cpu_s(watched), time.perf_counter()
        await loop.drive(request)
        wall_s, after = time.perf_counter() - began_s, _cpu_s(watched)
    answers = [parse(dialect, one) for one in received]
    return Window(answers, wall_s, {name: after[name] - before[name] for name in after})


def _cpu_s(watched: Groups) -> dict[str, float]:
    """Processor seconds used so far, by group."""
    used = {name: processes.cpu_s(pids) for name, pids in watched.items()} | {"client": time.process_time()}
    return used | {"else": processes.machine_cpu_s() - sum(used.values())}
