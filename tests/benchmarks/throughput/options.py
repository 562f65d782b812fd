"""The command line."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.benchmarks import dummy_model
from tests.benchmarks.load import ClosedLoop
from tests.benchmarks.throughput import loads, names
from tests.benchmarks.throughput.answers import KINDS, Answers
from tests.benchmarks.throughput.loads import Load

_FULL = {"clients": (1, 16, 64, 128, 256), "rounds": 3, "seconds": 4.0, "systems": names.ALL}


@dataclass(frozen=True)
class Options:
    full: bool
    clients: tuple[int, ...]
    rounds: int
    output_tokens: int
    kind: str
    seconds: float
    requests: int
    systems: tuple[str, ...]
    ingress_replicas: int
    model: str | None
    dummy: str | None
    gpus: int
    engine: dict[str, Any]
    env: dict[str, str]
    json: Path | None
    write: Path | None

    @property
    def answers(self) -> Answers:
        return KINDS[self.kind]

    def loads(self) -> list[Load]:
        """What a round consists of."""
        if self.full:
            return loads.full(self.clients, self.output_tokens, self.seconds, self.systems)
        return loads.closed(self.clients, self.output_tokens, self.seconds, self.requests, self.systems)


def parse(arguments: Sequence[str], description: str) -> Options:
    """Exits, saying why, when the arguments are not as they should be."""
    parser = argparse.ArgumentParser(prog="tests.benchmarks.throughput", description=description)
    add = parser.add_argument
    add(
        "--full",
        action="store_true",
        help="the whole comparison: all systems; 1 to 256 clients, open loops, long prompts and answers, 60 seconds",
    )
    add("--clients", type=_integers, default=(1, 16, 64), help="numbers of clients (1,16,64; full: 1,16,64,128,256)")
    add("--rounds", type=int, default=3)
    add("--output-tokens", type=int, default=256, help="of every answer (256)")
    add("--kind", choices=KINDS, default="text", help="of every answer (text); of this system and vLLM only")
    add(
        "--seconds",
        type=float,
        default=15.0,
        help="of asking in a window (15; full: 4, and 60 in one load)",
    )
    add("--requests", type=int, default=ClosedLoop.requests, help="the most that one client asks in a window")
    add("--systems", type=_systems, default=(names.INFERNET, names.VLLM), help=f"of {','.join(names.KNOWN)}")
    add("--ingress-replicas", type=int, default=1)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--model", metavar="FOLDER_OR_HUB_ID", help="to serve in place of the built-in one")
    which.add_argument("--dummy", choices=dummy_model.SHAPES, help="serve made-up weights of this shape")
    add("--gpus", type=int, default=0, help="per engine (0: on the CPU)")
    add(
        "--engine",
        type=_engine_argument,
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="of vLLM, for all systems; on one GPU, gpu_memory_utilization has to leave room for four engines",
    )
    add(
        "--env",
        type=_variable,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="for the engines of all systems",
    )
    add("--json", type=Path, help="write every window to this file")
    add("--write", type=Path, metavar="FOLDER", help="write throughput.md, throughput.json and the plots there")
    if "--full" in arguments:
        parser.set_defaults(**_FULL)
    values = vars(parser.parse_args(arguments))
    return Options(**values | {"engine": dict(values["engine"]), "env": dict(values["env"])})


def _integers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def _systems(text: str) -> tuple[str, ...]:
    chosen = tuple(dict.fromkeys(text.split(",")))
    if unknown := set(chosen) - set(names.KNOWN):
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; known are {', '.join(names.KNOWN)}")
    return chosen


def _variable(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator:
        raise argparse.ArgumentTypeError(f"{text} has no =")
    return name, value


def _engine_argument(text: str) -> tuple[str, Any]:
    """The value as YAML reads it: a number, true or false, a list, or text."""
    name, value = _variable(text)
    return name, yaml.safe_load(value)
