"""Durable submissions per second, POST /api/v1/jobs over HTTP: python -m tests.benchmarks.submissions

The whole system runs on this machine: HAProxy, ingress replicas, control plane, a simulated engine that ends every job
after one token, SQLite, and the clients. First a closed loop finds the most that is accepted; then jobs are posted at
steady rates, at moments drawn in advance (Poisson), whatever the answers do, and the latency counts from that moment.
At the end every job that was accepted is looked for: all must have completed.
"""

import argparse
import asyncio
import itertools
import json
import multiprocessing
import random
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import aiohttp
import httpx
import uvloop

from tests.benchmarks import processes, report
from tests.benchmarks.servers import Infernet, end_on_signals, raise_open_file_limit

MODEL = "sim:short"
_ENGINE = {"first_token_s": 0.0, "token_s": 0.001, "output_tokens": 1, "batch_slots": 1024}
_MODEL = {"id": MODEL, "backend": "simulated", "engine": _ENGINE, "max_queue": 1_000_000}
_BODY = json.dumps({"model": MODEL, "messages": [{"role": "user", "content": "What is the capital of Norway?"}]})
_PATIENCE_S = 120.0
_WARM_UP_S = 3.0


@dataclass(frozen=True)
class Options:
    clients: int
    seconds: float
    rates: tuple[float, ...]
    rounds: int
    ingress_replicas: int
    json: Path | None


@dataclass(frozen=True)
class Window:
    """What was accepted, the latencies, what was answered otherwise, and the cores used meanwhile."""

    asked_per_s: float | None
    wall_s: float
    job_ids: Sequence[str]
    latencies_s: Sequence[float]
    refused: int
    system_cores: float
    client_cores: float

    @property
    def per_s(self) -> float:
        return len(self.job_ids) / self.wall_s


def main() -> None:
    options = _options()
    end_on_signals()
    raise_open_file_limit()
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        Infernet(Path(folder, "infernet"), [_MODEL], options.ingress_replicas) as system,
    ):
        _run(system, options, None, _WARM_UP_S)
        windows = [
            _told(_run(system, options, rate, options.seconds))
            for _ in range(options.rounds)
            for rate in (None, *options.rates)
        ]
        lost = _lost(system, {job_id for window in windows for job_id in window.job_ids})
    print("\n" + _summary(windows))
    print(f"\n{sum(len(w.job_ids) for w in windows):,} accepted, {len(lost)} of them not completed")
    if options.json:
        short = [asdict(w) | {"job_ids": len(w.job_ids), "latencies_s": _quantiles(w)} for w in windows]
        options.json.write_text(json.dumps(short, indent=1))
    if lost or any(window.refused for window in windows):
        sys.exit("submissions: jobs were lost or refused")


def _run(system: Infernet, options: Options, rate: float | None, seconds: float) -> Window:
    """One window, its clients in a process of their own."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    pids = [process.pid for process in system.processes()]
    args = (sender, f"{system.url}/api/v1/jobs", system.key, options.clients, rate, seconds, pids)
    process = context.Process(target=_work, args=args, daemon=True)
    process.start()
    sender.close()
    try:
        window: Window = receiver.recv()
    except EOFError:
        raise ChildProcessError("the clients' process failed") from None
    finally:
        process.kill()
        process.join()
    return window


def _work(
    sender: Connection, url: str, key: str, clients: int, rate: float | None, seconds: float, pids: Sequence[int]
) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        sender.send(runner.run(_drive(url, key, clients, rate, seconds, pids)))


async def _drive(url: str, key: str, clients: int, rate: float | None, seconds: float, pids: Sequence[int]) -> Window:
    job_ids: list[str] = []
    latencies_s: list[float] = []
    refused = 0
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}

    async def submit(due_s: float) -> None:
        nonlocal refused
        async with session.post(url, data=_BODY) as response:
            body = await response.read()
        latencies_s.append(time.perf_counter() - due_s)
        if response.status == 200:
            job_ids.append(json.loads(body)["id"])
        else:
            refused += 1

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), headers=headers) as session:
        used, own, began_s = processes.cpu_s(pids), time.process_time(), time.perf_counter()
        await (_closed_loop(submit, clients, seconds) if rate is None else _open_loop(submit, rate, seconds))
        wall_s = time.perf_counter() - began_s
    system_cores, client_cores = (processes.cpu_s(pids) - used) / wall_s, (time.process_time() - own) / wall_s
    return Window(rate, wall_s, job_ids, latencies_s, refused, system_cores, client_cores)


Submit = Callable[[float], Coroutine[None, None, None]]


async def _closed_loop(submit: Submit, clients: int, seconds: float) -> None:
    end_s = time.perf_counter() + seconds

    async def client() -> None:
        while (now_s := time.perf_counter()) < end_s:
            await submit(now_s)

    await asyncio.gather(*(client() for _ in range(clients)))


async def _open_loop(submit: Submit, rate: float, seconds: float) -> None:
    chance = random.Random(1)
    moments = itertools.accumulate(chance.expovariate(rate) for _ in range(int(rate * seconds)))
    began_s = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for moment_s in moments:
            await asyncio.sleep(began_s + moment_s - time.perf_counter())
            group.create_task(submit(began_s + moment_s))


def _lost(system: Infernet, job_ids: set[str]) -> set[str]:
    """The jobs that do not complete."""
    give_up_s = time.monotonic() + _PATIENCE_S
    with httpx.Client(base_url=system.url, headers={"Authorization": f"Bearer {system.key}"}, timeout=60) as http:
        while missing := job_ids - _completed(http):
            if time.monotonic() > give_up_s:
                return missing
            time.sleep(1)
    return set()


def _completed(http: httpx.Client) -> set[str]:
    found: set[str] = set()
    query = {"limit": "100", "status": "completed"}
    while True:
        page = http.get("/api/v1/jobs", params=query).raise_for_status().json()
        found |= {job["id"] for job in page["jobs"]}
        if "next_cursor" not in page:
            return found
        query["cursor"] = page["next_cursor"]


def _told(window: Window) -> Window:
    print(_line(window), file=sys.stderr, flush=True)
    return window


def _line(window: Window) -> str:
    loop = "closed loop" if window.asked_per_s is None else f"{window.asked_per_s:g} jobs/s"
    p99 = report.milliseconds(report.quantile(window.latencies_s, 0.99))
    return f"{loop}: {window.per_s:,.0f} accepted/s, p99 {p99} ms"


def _summary(windows: Sequence[Window]) -> str:
    head = ["load", "accepted/s (min-max)", "p50 ms", "p99 ms (min-max)", "refused", "cores: system", "client"]
    loads = list(dict.fromkeys(window.asked_per_s for window in windows))
    return report.table(head, [_row([w for w in windows if w.asked_per_s == load]) for load in loads])


def _row(windows: Sequence[Window]) -> list[object]:
    load = windows[0].asked_per_s
    latencies_s = [latency for window in windows for latency in window.latencies_s]
    return [
        "closed loop" if load is None else f"{load:g} /s",
        report.spread([window.per_s for window in windows]),
        report.milliseconds(report.quantile(latencies_s, 0.5)),
        report.spread([1000 * report.quantile(window.latencies_s, 0.99) for window in windows], 1),
        sum(window.refused for window in windows),
        f"{sum(window.system_cores for window in windows) / len(windows):.2f}",
        f"{sum(window.client_cores for window in windows) / len(windows):.2f}",
    ]


def _quantiles(window: Window) -> dict[str, float]:
    return {f"p{share:.0%}".rstrip("%"): report.quantile(window.latencies_s, share) for share in (0.5, 0.95, 0.99)}


def _options() -> Options:
    parser = argparse.ArgumentParser(prog="tests.benchmarks.submissions", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--clients", type=int, default=64, help="of the closed loop (64)")
    add("--seconds", type=float, default=20.0, help="of every window (20)")
    add("--rates", type=_rates, default=(250.0, 500.0), help="jobs per second of the open loops (250,500)")
    add("--rounds", type=int, default=3)
    add("--ingress-replicas", type=int, default=1)
    add("--json", type=Path, help="write every window to this file")
    return Options(**vars(parser.parse_args()))


def _rates(text: str) -> tuple[float, ...]:
    return tuple(float(part) for part in text.split(","))


if __name__ == "__main__":
    main()
