"""python -m tests.benchmarks.throughput; `--help` lists the options."""

import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from actors.machine.scheduling_class import restore_priority
from tests.benchmarks import load, throughput
from tests.benchmarks.servers import end_on_signals, raise_open_file_limit
from tests.benchmarks.throughput import client_check, loads, names, options, setting, subject, tables, written
from tests.benchmarks.throughput.candidates import Candidate, Starter
from tests.benchmarks.throughput.loads import Load
from tests.benchmarks.throughput.measuring import Measurement, Meter
from tests.benchmarks.throughput.options import Options
from tests.benchmarks.throughput.results import Failure, Results
from tests.benchmarks.throughput.subject import Subject

_WARM_UP_S = 3.0
_WARM_UP_CLIENTS = 64


def main() -> None:
    chosen = options.parse(sys.argv[1:], (throughput.__doc__ or "").splitlines()[0])
    publish = written.publisher(chosen.write) if chosen.write else None
    end_on_signals()
    raise_open_file_limit()
    if not restore_priority():
        print("not at nice 0: vLLM's own server has less of the machine than it could", file=sys.stderr)
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        model = _subject(chosen, Path(folder))
        clients = client_check.check(Path(folder, "canned"), chosen.output_tokens)
        results = measure(chosen, model, Path(folder))
    print("\n" + tables.summary(results, clients))
    if chosen.json:
        chosen.json.write_text(json.dumps(written.as_json(chosen, results, clients), indent=1) + "\n")
    if publish:
        where = setting.describe(sys.argv[1:], model.title, time.monotonic() - began_s)
        publish(chosen, where, results, clients)
    if own := [failure for failure in results.failures if failure.system not in names.PEERS]:
        sys.exit(f"throughput: {len(own)} windows of our own or of vLLM's own server failed")


def measure(chosen: Options, model: Subject, folder: Path) -> Results:
    """Start the systems, warm them up, take all windows and stop the systems."""
    results = Results()
    with ExitStack() as stack:
        starter = Starter(folder, model.model, chosen.answers.fields, chosen.ingress_replicas, stack)
        candidates = _start(starter, chosen.systems, results)
        meter = Meter(candidates, model.exact)
        for candidate in candidates:
            _say(f"warming up {candidate.name}")
            meter.warm_up(candidate, _WARM_UP_CLIENTS, _WARM_UP_S)
        for round, task, candidate in _turns(chosen, candidates):
            _take(meter, candidate, task, round, results)
    return results


def _subject(chosen: Options, folder: Path) -> Subject:
    # What is compiled at first use is the same for all: a quarter of a minute for each of them.
    env = {"TORCHINDUCTOR_CACHE_DIR": str(folder / "compiled"), **chosen.env}
    engine = {**chosen.answers.engine, **chosen.engine}
    if chosen.model:
        return subject.given(chosen.model, chosen.gpus, engine, env)
    return subject.made(folder / "model", chosen.dummy, chosen.gpus, engine, env, ends=chosen.answers.ends)


def _start(starter: Starter, systems: Sequence[str], results: Results) -> list[Candidate]:
    """Those that start. A peer that does not is noted in the results; without ours or vLLM's own the run ends."""
    started = []
    for name in systems:
        began_s = time.monotonic()
        _say(f"starting {name}")
        try:
            started.append(starter.start(name))
        except ChildProcessError as error:
            if name not in names.PEERS:
                sys.exit(f"throughput: {error}")
            results.absent[name] = str(error)
            _say(str(error))
            continue
        _say(f"{name} is ready ({time.monotonic() - began_s:.0f} s)")
    return started


def _turns(chosen: Options, candidates: Sequence[Candidate]) -> Iterator[tuple[int, Load, Candidate]]:
    """The round, the load, and whose turn it is."""
    for number in range(1, chosen.rounds + 1):
        order = candidates if number % 2 else candidates[::-1]
        for task in chosen.loads():
            yield from ((number, task, candidate) for candidate in order if candidate.name in task.systems)


def _take(meter: Meter, candidate: Candidate, task: Load, round: int, results: Results) -> None:
    maximum_per_s = results.maximum_per_s(loads.CLIENTS, loads.OPEN_CLIENTS, names.VLLM)
    place = f"round {round}, {task.name}, {candidate.name}"
    try:
        measured = meter.measure(candidate, task, round, maximum_per_s)
    except load.RequestFailed as error:
        results.failures.append(Failure(round, candidate.name, task, str(error)))
        _say(f"{place}: failed: {error}")
        return
    results.measurements.append(measured)
    _say(f"{place}: {_line(measured)}")


def _line(m: Measurement) -> str:
    return f"{m.tokens_per_s:,.0f} tokens/s ({m.answers} answers in {m.wall_s:.1f} s)"


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
