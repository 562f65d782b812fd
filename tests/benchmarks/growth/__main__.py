"""What a million ended jobs cost, and what it costs to remove them: python -m tests.benchmarks.growth

For each size a database is filled in bulk, and the Ledger asked what a system asks it. Then, on the last one, a copy is
made, the whole is checked, and old jobs are removed, each while jobs are submitted.
"""

import argparse
import asyncio
import contextlib
import shutil
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cluster.clock import wall_ms
from cluster.store.backup import back_up
from cluster.store.inspection import inspect
from tests.benchmarks import report
from tests.benchmarks.growth.measures import START, end_all, ledger_of, measured, start, submitting, upgrade
from tests.benchmarks.growth.rows import DAYS, fill
from tests.support.ledger_stage import Place, url
from tests.support.postgres import PostgresServer, binaries

_BEFORE = "0009"

Make = Callable[[], Place]


@dataclass(frozen=True)
class Options:
    database: str
    jobs: tuple[int, ...]
    repeats: int
    starts: int
    prune_s: float


def main() -> None:
    options = _options()
    with _databases(options.database) as make:
        columns = {}
        for jobs in options.jobs:
            place = make()
            began_s = time.perf_counter()
            fill(place, jobs, wall_ms())
            print(f"{jobs:,} jobs in {time.perf_counter() - began_s:.0f} s", flush=True)
            columns[f"{jobs:,} jobs"] = asyncio.run(_column(place, options))
        print(f"\n{options.database}: median ms (least-most)\n\n{_table(columns)}\n")
        asyncio.run(_while_submitting(place, options))
        print(f"\nfrom schema {_BEFORE} to the newest: {upgrade(place, _BEFORE):.1f} s")


async def _column(place: Place, options: Options) -> dict[str, list[float]]:
    starts = [await start(place) for _ in range(options.starts)]
    ledger = ledger_of(place)
    try:
        return {START: starts} | await measured(ledger, options.repeats)
    finally:
        await end_all(ledger)
        await ledger.stop()


async def _while_submitting(place: Place, options: Options) -> None:
    """What is done to a whole database while jobs are submitted, and what those notice."""
    rows = [await _beside(place, "nothing", _pass(options.prune_s))]
    if isinstance(place, Path):
        rows.append(await _beside(place, "`infernet backup`", asyncio.to_thread(_back_up, place)))
    rows.append(await _beside(place, "`infernet db check`", asyncio.to_thread(_check, place)))
    before = _ended(place)
    rows.append(await _beside(place, "removal of old jobs", _pass(options.prune_s), retention_days=DAYS // 2))
    removed = before - _ended(place)
    print(report.table(["beside submissions", "", "p50 ms", "p99 ms", "most ms", "submissions"], rows, text=2))
    print(f"\n{removed:,} jobs were removed: {removed / options.prune_s:,.0f} a second")


async def _beside(place: Place, what: str, work: Awaitable[str], retention_days: int | None = None) -> list[str]:
    """A row of what submissions noticed meanwhile. A Ledger with a retention removes old jobs from its start on."""
    ledger = ledger_of(place, retention_days)
    done = asyncio.Event()
    submissions = asyncio.create_task(submitting(ledger, done))
    told = await work
    done.set()
    seconds = await submissions
    await ledger.stop()
    await _leave_none_open(place)
    return [what, told, *_latencies(seconds), f"{len(seconds):,}"]


async def _leave_none_open(place: Place) -> None:
    ledger = ledger_of(place)
    await end_all(ledger)
    await ledger.stop()


async def _pass(seconds: float) -> str:
    await asyncio.sleep(seconds)
    return f"{seconds:.0f} s"


def _back_up(place: Path) -> str:
    began_s = time.perf_counter()
    size = back_up(url(place), place.with_name("copy.db"), replace=True)
    return f"{size / 1e9:.1f} GB in {time.perf_counter() - began_s:.0f} s"


def _check(place: Place) -> str:
    began_s = time.perf_counter()
    found = inspect(url(place))
    assert not found.faults, found.faults
    return f"{time.perf_counter() - began_s:.0f} s"


def _ended(place: Place) -> int:
    return inspect(url(place)).ended_jobs


def _latencies(seconds: list[float]) -> list[str]:
    return [report.milliseconds(report.quantile(seconds, share)) for share in (0.5, 0.99, 1.0)]


def _table(columns: dict[str, dict[str, list[float]]]) -> str:
    names = list(next(iter(columns.values())))
    rows = [
        [name, *(report.spread([1000 * s for s in column[name]], 1) for column in columns.values())] for name in names
    ]
    return report.table(["", *columns], rows)


@contextlib.contextmanager
def _databases(kind: str) -> Iterator[Make]:
    """Makes empty databases of this kind, on the disk."""
    if kind == "sqlite":
        folder = Path(tempfile.mkdtemp(prefix="growth-"))
        try:
            yield lambda: folder / f"{len(list(folder.iterdir()))}.db"
        finally:
            shutil.rmtree(folder)
        return
    programs = binaries()
    if programs is None:
        raise SystemExit("PostgreSQL's programs are not here: see `make postgres`")
    with PostgresServer(programs, durable=True) as server:
        yield server.create


def _options() -> Options:
    parser = argparse.ArgumentParser(prog="tests.benchmarks.growth", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--database", choices=("sqlite", "postgresql"), default="sqlite")
    add("--jobs", type=_numbers, default=(1_000, 1_000_000), help="ended jobs of each database (1000,1000000)")
    add("--repeats", type=int, default=50, help="of each question (50)")
    add("--starts", type=int, default=5)
    add("--prune-s", type=float, default=30.0, help="seconds for which old jobs are removed (30)")
    return Options(**vars(parser.parse_args()))


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


if __name__ == "__main__":
    main()
