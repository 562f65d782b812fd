"""What it brings to send a conversation where its beginning has been read: python -m tests.benchmarks.prefixes

Users have conversations over a few engines, each turn a job whose prompt is all that was said before. The same
conversations are had twice: with engines chosen by their work alone, and by work and prefixes. Told are the engines'
own hit rates (tokens found in their caches, of all in prompts), and how long the first text took.

The whole control plane runs in this process, without Ray. With simulated engines it does so in virtual time, which
makes the result the same on every machine: a prompt's tokens are read one after the other, and each engine has room for
the conversations of a few users. With `--vllm` the engines are vLLM's, and the model is `capitals`. Then memory: many
prompts that have nothing in common are placed, and what the index holds is measured.
"""

import argparse
import asyncio
import gc
import multiprocessing
import os
import random
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast
from unittest import mock

import psutil
from msgspec.structs import replace

from actors import backends
from actors.backends.base import Backend
from actors.backends.builtin import resolve_source
from actors.backends.prompts.counter import PromptCounter
from actors.backends.simulated import SimulatedBackend
from cluster.catalogue import CAPITALS, Model, Replicas
from cluster.clock import SYSTEM_CLOCK, Clock
from cluster.ids import EngineId
from cluster.messages.machines import CacheTotals
from cluster.messages.work import ChatMessage, Submission
from cluster.prefixes.chain import chain
from cluster.prefixes.index import PrefixIndex
from cluster.timing import Timing
from tests.benchmarks import report
from tests.support.plain_system import PlainSystem, until
from tests.support.virtual_time import TurnCondition, TurnThread, VirtualClock, run_virtually

_WORDS = (
    "capital",
    "country",
    "city",
    "river",
    "name",
    "where",
    "what",
    "is",
    "the",
    "and",
    "or",
    "tell",
    "me",
    "more",
)
_DATABASE = "bench.db"


@dataclass(frozen=True)
class Options:
    engines: int
    users: int
    seconds: float
    think_s: float
    cache_tokens: int
    instructions: int
    vllm: bool
    distinct: int
    seed: int


@dataclass
class Result:
    """What was measured of one way to place: the engines' totals, and the seconds to the first text of each turn."""

    aware: bool
    cache: CacheTotals = field(default_factory=CacheTotals)
    first_text_s: list[float] = field(default_factory=list)
    later_text_s: list[float] = field(default_factory=list)

    @property
    def hit_rate(self) -> float:
        return self.cache.actual / max(1, self.cache.prompt)

    @property
    def predicted_rate(self) -> float:
        return self.cache.predicted / max(1, self.cache.prompt)


class Bench(PlainSystem):
    """A running system whose engines are those of the model, on this clock."""

    def new_backend(self, model: Model) -> Backend:
        if model.backend == "simulated":
            return SimulatedBackend(model.engine, self.clock, model.adapters)
        os.environ |= backends.process_env(model, os.cpu_count() or 1)
        return backends.create(model, resolve_source(model.source))


class Talk:
    """Users who have conversations, each a few turns long, that begin with one of a few instructions."""

    def __init__(self, system: PlainSystem, prompts: PromptCounter, options: Options, result: Result) -> None:
        self._system = system
        self._prompts = prompts
        self._options = options
        self._result = result
        chance = random.Random(options.seed)
        self._most_words, self._most_tokens = (30, 64) if options.vllm else (60, 512)
        self._instructions = [_text(chance, options.instructions) for _ in range(4)]

    async def all_users(self) -> None:
        ends_s = self._system.clock.monotonic_s() + self._options.seconds
        await asyncio.gather(*(self._user(number, ends_s) for number in range(self._options.users)))

    async def _user(self, number: int, ends_s: float) -> None:
        chance = random.Random(self._options.seed * 1000 + number)
        await asyncio.sleep(chance.random() * self._options.think_s)
        while self._system.clock.monotonic_s() < ends_s:
            messages = [ChatMessage("system", chance.choice(self._instructions))]
            for turn in range(chance.randrange(2, 9)):
                messages.append(ChatMessage("user", _text(chance, chance.randrange(10, self._most_words))))
                messages.append(ChatMessage("assistant", await self._ask(tuple(messages), turn)))
                await asyncio.sleep(chance.expovariate(1 / self._options.think_s))
                if self._system.clock.monotonic_s() >= ends_s:
                    return

    async def _ask(self, messages: tuple[ChatMessage, ...], turn: int) -> str:
        model = self._system.settings.models[0]
        prompt = await self._prompts.count(model, messages)
        job = self._system.job(max_tokens=self._most_tokens, messages=messages, prompt_tokens=prompt.tokens)
        prefix = prompt.prefix if self._result.aware else b""
        began_s, text = self._system.clock.monotonic_s(), ""
        await self._system.gateway.intake.submit(Submission(job, prompt_ids=prompt.ids, prefix=prefix))
        async for piece in self._system.gateway.streams.read(job.id, job.account_id):
            if piece.text and not text:
                took_s = self._system.clock.monotonic_s() - began_s
                (self._result.later_text_s if turn else self._result.first_text_s).append(took_s)
            text += piece.text
        return text


def main() -> None:
    options = _options()
    results: list[Result] = []
    for aware in (False, True):
        results.append(_measure(options, aware))
        print(_summary(results), flush=True)
    print(f"hit rate: {results[1].hit_rate / max(1e-9, results[0].hit_rate):.2f} times that of the least loaded")
    if options.distinct:
        print(_in_a_child(options.distinct))


def _measure(options: Options, aware: bool) -> Result:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        scenario = _scenario(options, aware, Path(folder, _DATABASE))
        return asyncio.run(scenario) if options.vllm else run_virtually(scenario)


async def _scenario(options: Options, aware: bool, database: Path) -> Result:
    with ExitStack() as stack:
        clock = SYSTEM_CLOCK
        if not options.vllm:
            clock = cast(Clock, VirtualClock())
            simulated = "actors.backends.simulated.backend"
            stack.enter_context(mock.patch(f"{simulated}.Thread", TurnThread))
            stack.enter_context(mock.patch(f"{simulated}.Condition", TurnCondition))
            loop = asyncio.get_running_loop()
            loop.work_s = lambda _: 0.001  # type: ignore[attr-defined]
        model = _model(options)
        system = Bench(database, [model], options.engines, timing=Timing(), clock=clock, interval_s=0.02)
        prompts = PromptCounter([model], clock=clock)
        await prompts.start()
        async with system:
            await _ready(system, options.engines)
            result = Result(aware)
            await Talk(system, prompts, options, result).all_users()
            await until(lambda: len(system.scheduler.leases.places) == 0, "the last release")
            (view,) = system.scheduler.fleet.models.views({}, 0.0)
            result.cache = view.cache
        await prompts.stop()
    return result


async def _ready(system: PlainSystem, engines: int) -> None:
    async with asyncio.timeout(600):
        while sum(view.replicas for view in system.scheduler.fleet.models.views({}, 0.0)) < engines:  # noqa: ASYNC110
            await asyncio.sleep(0.1)


def _model(options: Options) -> Model:
    replicas = Replicas(options.engines, options.engines)
    if options.vllm:
        engine = {"block_size": 32, "max_num_seqs": 16}
        blocks = {"num_gpu_blocks_override": options.cache_tokens // 32}
        return replace(CAPITALS, cpus=1.0, replicas=replicas, engine=engine | blocks)
    engine = {
        "first_token_s": 0.02,
        "token_s": 0.02,
        "prefill_token_s": 0.00025,
        "batch_slots": 16,
        "output_tokens": 100,
        "block_size": 16,
        "prefix_blocks": options.cache_tokens // 16,
    }
    return Model("sim", backend="simulated", gpus=0, cpus=1.0, replicas=replicas, engine=engine)


def _text(chance: random.Random, words: int) -> str:
    return " ".join(chance.choices(_WORDS, k=words))


def memory_of_distinct(prompts: int) -> str:
    """What the index of 1,000 engines holds, as prompts come of which no two begin alike."""
    process, index, lines = psutil.Process(), PrefixIndex(), []
    engines = [EngineId(f"m/{number}") for number in range(1000)]
    for engine_id in engines:
        index.join(engine_id, 480_000 // 64)
    before, slowest_s = process.memory_info().rss, 0.0
    for number in range(prompts):
        prefix = chain(os.urandom(4 * 1500), 4 * 64)
        began_s = time.perf_counter()
        index.use(engines[number % len(engines)], prefix)
        slowest_s = max(slowest_s, time.perf_counter() - began_s)
        if (number + 1) % (prompts // 5) == 0:
            gc.collect()
            held = (process.memory_info().rss - before) / 1e6
            lines.append(f"{number + 1:,} distinct prompts: {len(index):,} hashes, {held:,.0f} MB")
    return "\n".join([*lines, f"the slowest of them took {slowest_s * 1000:.1f} ms"])


def _in_a_child(prompts: int) -> str:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(memory_of_distinct, prompts).result()


def _summary(results: Sequence[Result]) -> str:
    head = ["placed by", "turns", "prompt tokens", "found in cache", "predicted", "first turn p50 ms", "p99"]
    head += ["later turns p50 ms", "p99"]
    rows = []
    for result in results:
        of_turns = (result.first_text_s, result.later_text_s)
        times = [report.quantile(turns, share) for turns in of_turns for share in (0.5, 0.99)]
        rows.append(
            [
                "work and prefixes" if result.aware else "work alone",
                f"{len(result.first_text_s) + len(result.later_text_s):,}",
                f"{result.cache.prompt:,}",
                f"{result.hit_rate:.1%}",
                f"{result.predicted_rate:.1%}",
                *map(report.milliseconds, times),
            ]
        )
    return report.table(head, rows)


def _options() -> Options:
    parser = argparse.ArgumentParser(prog="tests.benchmarks.prefixes", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--engines", type=int, default=4)
    add("--users", type=int, default=48)
    add("--seconds", type=float, default=120.0, help="of conversations (120)")
    add("--think-s", type=float, default=3.0, help="mean pause before a user's next turn (3)")
    add("--cache-tokens", type=int, default=24_000, help="that an engine keeps (24000)")
    add("--instructions", type=int, default=30, help="words that many conversations begin with, one of four texts (30)")
    add("--vllm", action="store_true", help="vLLM's engines on CPU instead of simulated ones")
    add("--distinct", type=int, default=100_000, help="prompts that have nothing in common, for memory (100000)")
    add("--seed", type=int, default=1)
    return Options(**vars(parser.parse_args()))


if __name__ == "__main__":
    main()
