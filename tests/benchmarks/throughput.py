"""Output tokens per second, against vLLM's own OpenAI server on the same model: python -m tests.benchmarks.throughput

Both systems are started once, with the same engine arguments and environment, and take turns: in each round and for
each number of clients one is under load while the other idles, and who goes first changes from round to round. A window
lasts from the first request to the end of the last answer; its tokens are those that the server's usage counts, and the
benchmark fails if an answer does not have exactly as many as were asked for, or a stream's text is not the result's.

What to read: the ratio of the two within a round; figures of different runs differ as the machine does. The processor
time of both systems, of the clients and of everything else stands beside, in cores, to see what a window was bound by.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import httpx

from actors.backends.environment import restore_priority
from cluster.catalogue import Model
from tests.benchmarks import endless_model, load, report
from tests.benchmarks.dialects import Dialect, Jobs
from tests.benchmarks.servers import Infernet, System, VllmServer, end_on_signals, raise_open_file_limit

OURS, VLLM = "infernet", "vllm"
MODEL = "endless"
PAUSE_S = 3.0
"""Between windows. vLLM's worker spins for a second after its last step."""
_WARM_UP_S = 3.0


@dataclass(frozen=True)
class Options:
    clients: tuple[int, ...]
    rounds: int
    output_tokens: int
    seconds: float
    requests: int
    systems: tuple[str, ...]
    ingress_replicas: int
    max_model_len: int
    env: Sequence[str]
    json: Path | None


@dataclass(frozen=True)
class Candidate:
    """A system under test, and how to talk to it."""

    name: str
    system: System
    dialect: Dialect


@dataclass(frozen=True)
class Measurement:
    """One window of one system. Processor time is in cores: seconds used per second of the window."""

    round: int
    system: str
    clients: int
    answers: int
    tokens: int
    wall_s: float
    events_per_answer: float
    system_cores: float
    idle_cores: float
    client_cores: float
    else_cores: float
    first_text_s: tuple[float, ...]
    gaps_s: tuple[float, ...]

    @property
    def tokens_per_s(self) -> float:
        return self.tokens / self.wall_s


def main() -> None:
    options = _options()
    end_on_signals()
    raise_open_file_limit()
    if not restore_priority():
        print("not at nice 0: vLLM's own server has less of the machine than it could", file=sys.stderr)
    try:
        measurements = measure(options)
    except (ChildProcessError, ValueError) as error:
        sys.exit(f"throughput: {error}")
    print("\n" + summary(measurements))
    if options.json:
        options.json.write_text(json.dumps(as_json(options, measurements), indent=1))


def measure(options: Options) -> list[Measurement]:
    """Start the systems, warm them up, take all windows and stop the systems."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, ExitStack() as stack:
        model = _model(endless_model.make(Path(folder, "model")), options)
        candidates = [_start(name, Path(folder), model, options, stack) for name in options.systems]
        for candidate in candidates:
            _say(f"warming up {candidate.name}")
            load.run(candidate.dialect, load.Plan(max(options.clients), options.output_tokens, _WARM_UP_S, name="w"))
        return [_told(_window(options, candidates, *turn)) for turn in _turns(options, candidates)]


def summary(measurements: Sequence[Measurement]) -> str:
    """What the rounds say together, as Markdown."""
    clients = list(dict.fromkeys(m.clients for m in measurements))
    systems = list(dict.fromkeys(m.system for m in measurements))
    head = [
        *("system", "clients", "tokens/s (min-max)", "first text p50 ms", "p95", "gap p50 ms", "p99"),
        *("events/answer", "cores: system", "idle one", "client", "else"),
    ]
    groups = [[m for m in measurements if (m.clients, m.system) == (n, s)] for n in sorted(clients) for s in systems]
    text = report.table(head, map(_row, groups))
    if {OURS, VLLM} <= set(systems):
        ratios = [[n, report.spread(_ratios(measurements, n), 2)] for n in sorted(clients)]
        text += "\n\n" + report.table(["clients", f"{OURS} / {VLLM} in the same round (min-max)"], ratios)
    return text


def as_json(options: Options, measurements: Sequence[Measurement]) -> dict[str, object]:
    """Every window, with quantiles in place of the single latencies."""
    return {
        "options": {key: value for key, value in asdict(options).items() if key != "json"},
        "cores": os.cpu_count(),
        "windows": [_window_json(m) for m in measurements],
        "ratios": {str(n): _ratios(measurements, n) for n in options.clients},
    }


def _model(folder: Path, options: Options) -> Model:
    engine = {"enforce_eager": True, "max_model_len": options.max_model_len}
    env = dict(variable.split("=", 1) for variable in options.env)
    return Model(id=MODEL, source=str(folder), gpus=0, engine=engine, env=env)


def _start(name: str, folder: Path, model: Model, options: Options, stack: ExitStack) -> Candidate:
    began_s = time.monotonic()
    _say(f"starting {name}")
    if name == OURS:
        entry = {"id": model.id, "source": model.source, "gpus": model.gpus, "engine": dict(model.engine)}
        entry["env"] = dict(model.env)
        ours = stack.enter_context(Infernet(folder / name, [entry], options.ingress_replicas))
        candidate = Candidate(name, ours, ours.dialect(model.id))
    else:
        theirs = stack.enter_context(VllmServer(folder / name, model))
        candidate = Candidate(name, theirs, theirs.dialect())
    _say(f"{name} is ready ({time.monotonic() - began_s:.0f} s)")
    return candidate


def _turns(options: Options, candidates: Sequence[Candidate]) -> Iterator[tuple[int, int, Candidate]]:
    """The round, the number of clients, and whose turn it is."""
    for number in range(1, options.rounds + 1):
        order = candidates if number % 2 else candidates[::-1]
        yield from ((number, clients, candidate) for clients in options.clients for candidate in order)


def _window(
    options: Options, candidates: Sequence[Candidate], number: int, clients: int, candidate: Candidate
) -> Measurement:
    plan = load.Plan(clients, options.output_tokens, options.seconds, options.requests, name=f"{number}")
    time.sleep(PAUSE_S)
    watched = {each.name: [process.pid for process in each.system.processes()] for each in candidates}
    window = load.run(candidate.dialect, plan, watched)
    cores = {name: used_s / window.wall_s for name, used_s in window.cpu_s.items()}
    return Measurement(
        round=number,
        system=candidate.name,
        clients=clients,
        answers=len(window.answers),
        tokens=sum(_tokens(candidate.dialect, window.answers, options.output_tokens)),
        wall_s=window.wall_s,
        events_per_answer=statistics.mean([answer.events for answer in window.answers]),
        system_cores=cores[candidate.name],
        idle_cores=sum(cores[other.name] for other in candidates if other is not candidate),
        client_cores=cores["client"],
        else_cores=cores["else"],
        first_text_s=tuple([answer.first_text_s for answer in window.answers]),
        gaps_s=tuple([gap_s for answer in window.answers for gap_s in answer.gaps_s]),
    )


def _tokens(dialect: Dialect, answers: Sequence[load.Answer], wanted: int) -> list[int]:
    """The tokens of each answer by the server's usage. Raises ValueError when one is not what was asked for."""
    counted = _asked(dialect, answers) if isinstance(dialect, Jobs) else [a.completion_tokens or 0 for a in answers]
    if wrong := [tokens for tokens in counted if tokens != wanted]:
        raise ValueError(f"{len(wrong)} of {len(counted)} answers do not have {wanted} tokens: {wrong[:5]} ...")
    return counted


def _asked(dialect: Jobs, answers: Sequence[load.Answer]) -> list[int]:
    """The usage that our stream does not tell: asked for job by job, when the window is over."""
    with httpx.Client() as http:
        results = [dialect.result(http, answer.id) for answer in answers]
    for answer, result in zip(answers, results, strict=True):
        if result["content"] != answer.text:
            raise ValueError(f"the stream of {answer.id} is not the text of its result")
    return [result["usage"]["completion_tokens"] for result in results]


def _told(measurement: Measurement) -> Measurement:
    m = measurement
    _say(
        f"round {m.round}, {m.clients} clients, {m.system}: {m.tokens_per_s:,.0f} tokens/s"
        f" ({m.answers} answers in {m.wall_s:.1f} s)"
    )
    return measurement


def _row(windows: Sequence[Measurement]) -> list[object]:
    first_text_s = [s for m in windows for s in m.first_text_s]
    gaps_s = [s for m in windows for s in m.gaps_s]
    return [
        windows[0].system,
        windows[0].clients,
        report.spread([m.tokens_per_s for m in windows]),
        *(report.milliseconds(report.quantile(first_text_s, share)) for share in (0.5, 0.95)),
        *(report.milliseconds(report.quantile(gaps_s, share)) for share in (0.5, 0.99)),
        f"{statistics.mean([m.events_per_answer for m in windows]):.0f}",
        f"{statistics.median([m.system_cores for m in windows]):.2f}",
        f"{statistics.median([m.idle_cores for m in windows]):.2f}",
        f"{statistics.median([m.client_cores for m in windows]):.2f}",
        f"{statistics.median([m.else_cores for m in windows]):.2f}",
    ]


def _ratios(measurements: Sequence[Measurement], clients: int) -> list[float]:
    """Ours by theirs, round by round."""
    speeds = {(m.round, m.system): m.tokens_per_s for m in measurements if m.clients == clients}
    rounds = [number for number, system in speeds if system == OURS and (number, VLLM) in speeds]
    return [speeds[number, OURS] / speeds[number, VLLM] for number in rounds]


def _window_json(measurement: Measurement) -> dict[str, object]:
    short = replace(measurement, first_text_s=(), gaps_s=())
    kept = {field.name: getattr(short, field.name) for field in fields(short) if not field.name.endswith("_s")}
    return kept | {
        "wall_s": measurement.wall_s,
        "tokens_per_s": measurement.tokens_per_s,
        "first_text_s": _quantiles(measurement.first_text_s),
        "gap_s": _quantiles(measurement.gaps_s),
    }


def _quantiles(values: Sequence[float]) -> dict[str, float]:
    return {f"p{share:.0%}".rstrip("%"): report.quantile(values, share) for share in (0.5, 0.95, 0.99)}


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _options() -> Options:
    parser = argparse.ArgumentParser(prog="tests.benchmarks.throughput", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--clients", type=_integers, default=(1, 16, 64), help="numbers of clients (1,16,64)")
    add("--rounds", type=int, default=3)
    add("--output-tokens", type=int, default=256, help="of every answer (256)")
    add("--seconds", type=float, default=15.0, help="how long a client goes on asking (15)")
    add("--requests", type=int, default=load.Plan.requests, help="the most that one client asks in a window")
    add("--systems", type=_systems, default=(OURS, VLLM), help=f"which to run ({OURS},{VLLM})")
    add("--ingress-replicas", type=int, default=1)
    add("--max-model-len", type=int, default=endless_model.CONTEXT_LENGTH)
    add("--env", action="append", default=[], metavar="NAME=VALUE", help="for the engines of both systems")
    add("--json", type=Path, help="write every window to this file")
    return Options(**vars(parser.parse_args()))


def _integers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def _systems(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    if not set(names) <= {OURS, VLLM}:
        raise argparse.ArgumentTypeError(f"known are {OURS} and {VLLM}")
    return names


if __name__ == "__main__":
    main()
