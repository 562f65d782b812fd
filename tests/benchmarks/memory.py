"""What every process holds after rounds of many concurrent streams: python -m tests.benchmarks.memory

A simulated model on two engines, two ingress replicas, 200 clients. Every streamed text must equal `simulated_text` to
the character. A round is over when nothing is under way and what is kept for late readers has been let go; memory is
read then. What a process still gains between the second round and the last, it may go on gaining.

Ends with exit code 1 when a text is wrong.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from actors.backends.simulated import simulated_text
from cluster.messages.work import ChatMessage
from cluster.timing import Timing
from tests.benchmarks import load, processes, report
from tests.benchmarks.processes import Memory
from tests.benchmarks.servers import Infernet, end_on_signals, raise_open_file_limit

MODEL = "sim"
_MIB = 2**20
_FIRST_COMPARED = 2
_SETTLE_S = Timing().linger_s + 5


@dataclass(frozen=True)
class Options:
    streams: int
    rounds: int
    answers: int
    output_tokens: int
    token_s: float
    settle_s: float
    json: Path | None


def main() -> None:
    options = _options()
    end_on_signals()
    raise_open_file_limit()
    try:
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            rounds, wrong = measure(options, Path(folder))
    except (ChildProcessError, load.RequestFailed) as error:
        sys.exit(f"memory: {error}")
    for measure_name in ("rss", "uss"):
        print(f"\n{measure_name.upper()} in MiB\n\n{growth(rounds, measure_name)}")
    print(f"\nwrong texts: {wrong} of {options.rounds * options.streams * options.answers}")
    if options.json:
        options.json.write_text(json.dumps(as_json(options, rounds, wrong), indent=1))
    sys.exit(1 if wrong else 0)


def measure(options: Options, folder: Path) -> tuple[list[list[Memory]], int]:
    """The memory of all processes before the first round and after each, and how many texts were wrong."""
    with Infernet(folder / "infernet", [_model(options)], ingress_replicas=2) as infernet:
        rounds, wrong = [processes.memory(infernet.processes())], 0
        for number in range(1, options.rounds + 1):
            loop = load.ClosedLoop(options.streams, options.output_tokens, requests=options.answers, name=f"{number}")
            window = load.run(infernet.dialect(MODEL), loop)
            wrong += sum(answer.text != _expected(answer, options) for answer in window.answers)
            time.sleep(options.settle_s)
            rounds.append(processes.memory(infernet.processes()))
            print(_line(number, window, rounds[-1], wrong), file=sys.stderr, flush=True)
    return rounds, wrong


def growth(rounds: Sequence[Sequence[Memory]], what: str) -> str:
    """A row for every process that was there after the last round or the compared one, the greatest growth first."""
    last, first = len(rounds) - 1, min(_FIRST_COMPARED, len(rounds) - 1)
    held = [{memory.pid: getattr(memory, what) / _MIB for memory in memories} for memories in rounds]
    roles = {memory.pid: memory.role for memories in (rounds[first], rounds[last]) for memory in memories}
    gains = {pid: held[last].get(pid, 0.0) - held[first].get(pid, 0.0) for pid in roles}
    rows = [
        [f"{roles[pid]} {pid}", *(_mib(each.get(pid)) for each in held), f"{gains[pid]:+.1f}"]
        for pid in sorted(roles, key=lambda pid: -gains[pid])
    ]
    rows.append(["all", *(_mib(sum(each.values())) for each in held), f"{sum(gains.values()):+.1f}"])
    return report.table(["process", "start", *map(str, range(1, len(rounds))), f"round {first} to {last}"], rows)


def as_json(options: Options, rounds: Sequence[Sequence[Memory]], wrong: int) -> dict[str, object]:
    return {
        "options": {key: value for key, value in asdict(options).items() if key != "json"},
        "wrong_texts": wrong,
        "rounds": [[asdict(memory) for memory in memories] for memories in rounds],
    }


def _model(options: Options) -> dict[str, object]:
    engine = {
        "first_token_s": 0.05,
        "token_s": options.token_s,
        "batch_slots": options.streams,
        "output_tokens": options.output_tokens,
    }
    return {"id": MODEL, "backend": "simulated", "replicas": 2, "engine": engine}


def _expected(answer: load.Answer, options: Options) -> str:
    return simulated_text([ChatMessage("user", answer.prompt)], None, options.output_tokens)


def _line(number: int, window: load.Window, memories: Sequence[Memory], wrong: int) -> str:
    held_mib = sum(memory.uss for memory in memories) / _MIB
    answers = len(window.answers)
    return f"round {number}: {answers} answers in {window.wall_s:.1f} s, USS {held_mib:,.0f} MiB, {wrong} texts wrong"


def _mib(bytes_in_mib: float | None) -> str:
    return "-" if bytes_in_mib is None else f"{bytes_in_mib:,.1f}"


def _options() -> Options:
    parser = argparse.ArgumentParser(prog="tests.benchmarks.memory", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--streams", type=int, default=200, help="at once (200)")
    add("--rounds", type=int, default=5)
    add("--answers", type=int, default=2, help="that each client reads in a round, one after the other (2)")
    add("--output-tokens", type=int, default=512, help="of every answer (512)")
    add("--token-s", type=float, default=0.02, help="seconds a token takes (0.02)")
    add("--settle-s", type=float, default=_SETTLE_S, help=f"seconds to wait after a round ({_SETTLE_S:.0f})")
    add("--json", type=Path, help="write every process after every round to this file")
    return Options(**vars(parser.parse_args()))


if __name__ == "__main__":
    main()
