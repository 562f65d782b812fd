"""What a rate-limit check costs a request: python -m tests.benchmarks.admission

A Ray of its own with the real RateLimiter, the real Ledger on SQLite, and caller processes that ask as the ingress
does: each through one Batcher. Requests come at moments drawn in advance (Poisson), whatever the answers do, and each
one's time counts from that moment. All must pass: the limits are twice what is asked for, so that marks move as they
do in earnest.
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from actors.directory import LEDGER, RATE_LIMITER
from actors.ray import secrets
from actors.ray.kind import Kind
from actors.wire.batcher import Batcher
from api.cli.run import guard, kept_logs
from api.cli.run.door.limits import Limits, open_files
from api.cli.run.ray_cluster import OwnCluster
from cluster.ids import KeyId
from cluster.limits.windows import Decision, Take
from cluster.messages.people import KeyLimits
from cluster.settings.sections.server import Server
from tests.benchmarks import report
from tests.benchmarks.servers import end_on_signals

_WARM_UP_S = 2.0


@dataclass(frozen=True)
class Options:
    rates: tuple[float, ...]
    seconds: float
    callers: int
    keys: int
    rounds: int


class Caller:
    """A process that asks, as an ingress replica does."""

    def __init__(self, number: int) -> None:
        self._random = random.Random(number)
        self._takes = Batcher[Take, Decision](RATE_LIMITER.at().take)

    async def start(self) -> None:
        """Nothing to do before it is asked to."""

    async def ask(self, per_s: float, seconds: float, takes: Sequence[Take]) -> list[float]:
        """The seconds that each request waited for its decision. Raises RuntimeError if one was refused."""
        due_s = time.perf_counter()
        end_s, asking = due_s + seconds, []
        while (due_s := due_s + self._random.expovariate(per_s)) < end_s:
            await asyncio.sleep(due_s - time.perf_counter())
            asking.append(asyncio.create_task(self._ask(due_s, self._random.choice(takes))))
        return await asyncio.gather(*asking)

    async def _ask(self, due_s: float, take: Take) -> float:
        decision = await self._takes.add(take)
        if not decision.allowed:
            raise RuntimeError(f"{take.key_id} was refused: {decision}")
        return time.perf_counter() - due_s


async def _make_caller(number: int) -> Caller:
    return Caller(number)


CALLER: Kind[Caller] = Kind("tests.benchmarks.admission:Caller", _make_caller)


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        sys.exit(guard.run(Path(folder), partial(_run, options, Path(folder))))


def _run(options: Options, folder: Path) -> None:
    end_on_signals()
    with OwnCluster(folder, kept_logs.begin(folder), Limits.of(Server(), open_files())):
        LEDGER.start("", secrets.keep(f"sqlite:///{folder}/infernet.db"), None, KeyLimits(), None)
        RATE_LIMITER.start("")
        for number in range(options.callers):
            CALLER.start(str(number), number)
        measured = asyncio.run(_measure(options))
    print("\n" + _summary(measured))


async def _measure(options: Options) -> dict[float, list[float]]:
    """All waits at each rate, of all rounds together."""
    await _window(options, "warm-up", max(options.rates), _WARM_UP_S)
    measured: dict[float, list[float]] = {rate: [] for rate in options.rates}
    for number in range(options.rounds):
        for rate in options.rates:
            waits_s = await _window(options, f"round-{number}-{rate:g}", rate, options.seconds)
            _say(f"round {number + 1}, {rate:,g}/s: p50 {report.milliseconds(report.quantile(waits_s, 0.5))} ms")
            measured[rate] += waits_s
    return measured


async def _window(options: Options, name: str, rate: float, seconds: float) -> list[float]:
    """Of keys that were never used before, so that each window begins with marks to be written."""
    per_minute = max(1, round(2 * 60 * rate / options.keys))
    limits = KeyLimits(submissions_per_minute=max(60, per_minute), submissions_per_hour=max(1000, 60 * per_minute))
    takes = [Take(KeyId(f"key_{name}_{number}"), "submissions", limits) for number in range(options.keys)]
    share = rate / options.callers
    asked = [CALLER.at(str(number)).ask(share, seconds, takes) for number in range(options.callers)]
    return [wait_s for waits_s in await asyncio.gather(*asked) for wait_s in waits_s]


def _summary(measured: dict[float, list[float]]) -> str:
    shares = (0.5, 0.95, 0.99, 1.0)
    rows = [
        [f"{rate:,g}", f"{len(waits_s):,}", *(f"{report.quantile(waits_s, share) * 1000:.2f}" for share in shares)]
        for rate, waits_s in measured.items()
    ]
    return report.table(["requests/s", "requests", "p50 ms", "p95", "p99", "max"], rows)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _options() -> Options:
    parser = argparse.ArgumentParser(prog="tests.benchmarks.admission", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--rates", type=_numbers, default=(1.0, 1000.0), help="requests per second, of all callers together (1,1000)")
    add("--seconds", type=float, default=30.0, help="of a window (30)")
    add("--callers", type=int, default=2, help="processes that ask (2)")
    add("--keys", type=int, default=10, help="that share a window's requests (10)")
    add("--rounds", type=int, default=3)
    return Options(**vars(parser.parse_args()))


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(float(part) for part in text.split(","))


if __name__ == "__main__":
    main()
