"""A cold start by its phases: python -m tests.benchmarks.cold_start

A model that nobody runs (`replicas: {min: 0}`) is asked for once, on the CPU, and the time to its first token is taken
apart. Every round begins with empty caches, and then with those that the start before it has filled, each time in a new
system. HF_HOME, VLLM_CACHE_ROOT and TORCHINDUCTOR_CACHE_DIR say where they are.
"""

import argparse
import contextlib
import json
import re
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import httpx

from tests.benchmarks import report
from tests.benchmarks.servers import Infernet, end_on_signals

_CACHES = {"HF_HOME": "huggingface", "VLLM_CACHE_ROOT": "vllm", "TORCHINDUCTOR_CACHE_DIR": "torchinductor"}
_QUESTION = {
    "model": "capitals",
    "messages": [{"role": "user", "content": "What is the capital of France?"}],
}
# What the engine logs of its load: `(time) ... is ready after 20.1 s: (phase) 8.5 s, (phase) 7.0 s`.
_READY = re.compile(r"(\S+Z) .* is ready after ([\d.]+) s: (.*)")
_PATIENCE_S = 600.0
_BEFORE, _AFTER, _ALL = "its seat, its node's order and its process", "the first token, once it is ready", "all"

Phases = Mapping[str, float]


@dataclass(frozen=True)
class Options:
    rounds: int
    json: Path | None


def main() -> None:
    options = _options()
    end_on_signals()
    starts: dict[str, list[Phases]] = {"empty caches": [], "kept caches": []}
    try:
        for _ in range(options.rounds):
            with tempfile.TemporaryDirectory(prefix="bench-caches-") as caches:
                for kind, of_kind in starts.items():
                    of_kind.append(start(Path(caches)))
                    print(f"{kind}: {of_kind[-1]}", file=sys.stderr, flush=True)
    except ChildProcessError as error:
        sys.exit(f"cold_start: {error}")
    print(_table(starts))
    if options.json:
        options.json.write_text(json.dumps(starts, indent=1) + "\n")


def start(caches: Path) -> Phases:
    """The seconds of each phase of one start."""
    env = {variable: str(caches / name) for variable, name in _CACHES.items()}
    model = {"id": "capitals", "source": "builtin:capitals", "gpus": 0, "replicas": {"min": 0, "max": 1}, "env": env}
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        Infernet(Path(folder) / "infernet", [model], ingress_replicas=1) as infernet,
    ):
        asked_s = time.time()
        _wait_for_text(infernet)
        answered_s = time.time()
        (line,) = infernet.log_lines("is ready after")
    found = _READY.search(line)
    assert found is not None, line
    ready_s = datetime.fromisoformat(found[1]).timestamp()
    loading = {phase: float(seconds) for phase, seconds in re.findall(r"([^,]+?) ([\d.]+) s(?:, |$)", found[3])}
    before_s = ready_s - float(found[2]) - asked_s
    return {_BEFORE: before_s, **loading, _AFTER: answered_s - ready_s, _ALL: answered_s - asked_s}


def _wait_for_text(infernet: Infernet) -> None:
    """Ask, and read until there is a text; again, where the connection breaks."""
    headers = {"Authorization": f"Bearer {infernet.key}"}
    asked = httpx.post(f"{infernet.url}/api/v1/jobs", headers=headers, json=_QUESTION, timeout=_PATIENCE_S)
    url = f"{infernet.url}/api/v1/jobs/{asked.raise_for_status().json()['id']}/stream"
    while True:
        with (
            contextlib.suppress(httpx.RemoteProtocolError),
            httpx.stream("GET", url, headers=headers, timeout=_PATIENCE_S) as answer,
        ):
            answer.raise_for_status()
            for line in answer.iter_lines():
                if line.startswith('data: {"text"'):
                    return
                if line.startswith("data:"):
                    raise ChildProcessError(f"the stream ended without a text: {line}")


def _table(starts: Mapping[str, Sequence[Phases]]) -> str:
    phases = next(iter(starts.values()))[0]
    rows = [
        [phase, *(report.spread([each[phase] for each in found], 1) for found in starts.values())] for phase in phases
    ]
    return report.table(["seconds", *starts], rows)


def _options() -> Options:
    parser = argparse.ArgumentParser(prog="tests.benchmarks.cold_start", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="starts of each kind, interleaved (3)")
    parser.add_argument("--json", type=Path, help="write the phases of every start to this file")
    return Options(**vars(parser.parse_args()))


if __name__ == "__main__":
    main()
