"""What the path of tokens carries without a model's own cost: python -m tests.benchmarks.token_path

Simulated engines at fixed steps per second, each step one token for every stream, as GPUs deliver them. Engine,
Journal, ingress, HAProxy and the client share this machine. A rate (streams x steps/s) is held when the tokens arrive
as fast as they are offered and the p99 delay is below 100 ms. A delay is the time between one arrival of text in a
stream and the next, however many tokens come with it. Every text is compared with `simulated_text`.

Of each number of streams the rates are tried from the lowest up to the second that is not held; the very first is tried
once more before, to warm up. Ends with exit code 1 when a text is wrong.
"""

import argparse
import itertools
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from actors.backends.simulated import simulated_text
from cluster.messages.work import ChatMessage
from tests.benchmarks import cheap_client, processes, report
from tests.benchmarks.cheap_client import Load, Recording, Stream
from tests.benchmarks.servers import Infernet, end_on_signals, raise_open_file_limit

HELD_P99_S = 0.1
_HELD_SHARE = 0.98
_TRIES_NOT_HELD = 2
_CONTEXT = 1 << 20
_BEGIN_S = 3.0
_END_S = 1.0
_FEW_CORES = 0.02


@dataclass(frozen=True)
class Options:
    streams: tuple[int, ...]
    steps: tuple[int, ...]
    settle_s: float
    seconds: float
    ingress_replicas: int
    json: Path | None


@dataclass(frozen=True)
class Result:
    """One rate: tokens offered and delivered per second, the delays, and the cores used by each kind of process.

    `machine_cores` is what everything on the machine used. `wrong` texts are not what `simulated_text` says.
    """

    streams: int
    steps_per_s: int
    delivered_per_s: float
    pieces_per_s: float
    p50_s: float
    p99_s: float
    most_s: float
    cores: Mapping[str, float]
    machine_cores: float
    wrong: int

    @property
    def offered_per_s(self) -> int:
        return self.streams * self.steps_per_s

    @property
    def held(self) -> bool:
        on_time = self.p99_s < HELD_P99_S and self.delivered_per_s >= _HELD_SHARE * self.offered_per_s
        return on_time and not self.wrong


def main() -> None:
    options = _options()
    end_on_signals()
    raise_open_file_limit()
    try:
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            results = list(_measure(options, Path(folder)))
    except ChildProcessError as error:
        sys.exit(f"token_path: {error}")
    print("\n" + _summary(results))
    print("\nCores, by process:\n\n" + _cores(results))
    print("\n" + _verdict(results))
    if options.json:
        told = [asdict(result) | {"held": result.held} for result in results]
        options.json.write_text(json.dumps(told, indent=1) + "\n")
    sys.exit(1 if any(result.wrong for result in results) else 0)


def _measure(options: Options, folder: Path) -> Iterator[Result]:
    models = [_model(steps_per_s, max(options.streams)) for steps_per_s in options.steps]
    with Infernet(folder / "infernet", models, options.ingress_replicas) as system:
        _try(system, min(options.streams), min(options.steps), options)
        for streams in options.streams:
            not_held = 0
            for steps_per_s in sorted(options.steps):
                result = _try(system, streams, steps_per_s, options)
                print(_line(result), file=sys.stderr, flush=True)
                yield result
                not_held += not result.held
                if not_held == _TRIES_NOT_HELD:
                    break


def _try(system: Infernet, streams: int, steps_per_s: int, options: Options) -> Result:
    began = time.time_ns()
    output_tokens = round(steps_per_s * (_BEGIN_S + options.settle_s + options.seconds + _END_S))
    prompts = [f"{began} {number}" for number in range(streams)]
    load = Load(prompts, output_tokens, options.settle_s, options.seconds)
    roles = {process.pid: processes.role(process) for process in system.processes()}
    recording = cheap_client.run(system.dialect(_name(steps_per_s)), load, list(roles))
    return _result(recording, roles, steps_per_s, output_tokens)


def _result(recording: Recording, roles: Mapping[int, str], steps_per_s: int, output_tokens: int) -> Result:
    seconds = recording.ended_s - recording.began_s
    delays_s = [delay_s for stream in recording.streams for delay_s in _delays_s(stream, recording)]
    tokens = sum(_share_in_window(stream, recording) for stream in recording.streams) * output_tokens
    cores: Counter[str] = Counter()
    for pid, used_s in recording.cpu_s.items():
        role = "client" if pid == recording.client_pid else roles[pid].rpartition(":")[2]
        cores[role] += used_s / seconds
    return Result(
        streams=len(recording.streams),
        steps_per_s=steps_per_s,
        delivered_per_s=tokens / seconds,
        pieces_per_s=len(delays_s) / seconds,
        p50_s=report.quantile(delays_s, 0.5),
        p99_s=report.quantile(delays_s, 0.99),
        most_s=max(delays_s, default=0.0),
        cores=dict(cores),
        machine_cores=recording.machine_cpu_s / seconds,
        wrong=sum(stream.text != _expected(stream.prompt, output_tokens) for stream in recording.streams),
    )


def _delays_s(stream: Stream, recording: Recording) -> list[float]:
    """The times before each arrival in the window."""
    arrivals_s = stream.arrivals_s
    return [
        after_s - before_s
        for before_s, after_s in itertools.pairwise(arrivals_s)
        if recording.began_s < after_s <= recording.ended_s
    ]


def _share_in_window(stream: Stream, recording: Recording) -> float:
    """Which share of its text came in the window."""
    until = [0, 0]
    for at_s, code_points in zip(stream.arrivals_s, stream.code_points, strict=True):
        if at_s <= recording.began_s:
            until[0] = code_points
        if at_s <= recording.ended_s:
            until[1] = code_points
    return (until[1] - until[0]) / stream.code_points[-1]


def _expected(prompt: str, output_tokens: int) -> str:
    return simulated_text([ChatMessage("user", prompt)], None, output_tokens)


def _model(steps_per_s: int, slots: int) -> dict[str, object]:
    engine = {
        "first_token_s": 0.05,
        "token_s": 1 / steps_per_s,
        "batch_slots": slots,
        "output_tokens": _CONTEXT,
        "context_length": _CONTEXT,
    }
    return {"id": _name(steps_per_s), "backend": "simulated", "engine": engine}


def _name(steps_per_s: int) -> str:
    return f"sim:{steps_per_s}"


def _line(result: Result) -> str:
    return (
        f"{result.streams} streams at {result.steps_per_s} steps/s: {result.delivered_per_s:,.0f} of "
        f"{result.offered_per_s:,} tokens/s, p99 {report.milliseconds(result.p99_s)} ms, "
        f"{result.machine_cores:.2f} cores{'' if result.held else ', not held'}"
    )


def _summary(results: Sequence[Result]) -> str:
    head = ["streams", "steps/s", "offered", "delivered", "pieces/s", "p50 ms", "p99 ms", "most ms", "cores", "held"]
    return report.table(
        head,
        [
            [
                result.streams,
                result.steps_per_s,
                f"{result.offered_per_s:,}",
                f"{result.delivered_per_s:,.0f}",
                f"{result.pieces_per_s:,.0f}",
                *(report.milliseconds(seconds) for seconds in (result.p50_s, result.p99_s, result.most_s)),
                f"{result.machine_cores:.2f}",
                "yes" if result.held else "no",
            ]
            for result in results
        ],
    )


def _cores(results: Sequence[Result]) -> str:
    """A row for every rate, a column for every kind of process that takes part, the one that uses most first."""
    total: Counter[str] = Counter()
    for result in results:
        total.update(result.cores)
    shown = [role for role, _ in total.most_common() if any(r.cores.get(role, 0) >= _FEW_CORES for r in results)]
    rows = []
    for result in results:
        of_shown = [result.cores.get(role, 0.0) for role in shown]
        others = sum(result.cores.values()) - sum(of_shown)
        cells = [f"{cores:.2f}" for cores in (*of_shown, others, result.machine_cores)]
        rows.append([f"{result.streams} x {result.steps_per_s}", *cells])
    return report.table(["streams x steps/s", *shown, "others", "machine"], rows)


def _verdict(results: Sequence[Result]) -> str:
    wrong = sum(result.wrong for result in results)
    texts = f"{sum(result.streams for result in results):,} texts, {wrong} wrong"
    best = max((result for result in results if result.held), key=lambda result: result.offered_per_s, default=None)
    if best is None:
        return f"no rate was held; {texts}"
    return f"held: {best.delivered_per_s:,.0f} tokens/s ({best.streams} streams x {best.steps_per_s} steps/s); {texts}"


def _options() -> Options:
    parser = argparse.ArgumentParser(prog="tests.benchmarks.token_path", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--streams", type=_numbers, default=(64, 256, 512), help="at once, each number in turn (64,256,512)")
    add("--steps", type=_numbers, default=(20, 50, 100, 200, 300, 400), help="per second (20,50,100,200,300,400)")
    add("--settle-s", type=float, default=1.0, help="seconds between the last first text and the measured window (1)")
    add("--seconds", type=float, default=6.0, help="of the measured window (6)")
    add("--ingress-replicas", type=int, default=1)
    add("--json", type=Path, help="where to write every rate's figures")
    return Options(**vars(parser.parse_args()))


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


if __name__ == "__main__":
    main()
