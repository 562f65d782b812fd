"""What is shown on a terminal: answers, plain where there is none, and the progress of slow steps."""

import json
import sys
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

_PLAIN_WIDTH = 10_000
_NAMES = ("id", "name")

# The terminal itself: `sys.stdout` is Ray's while it runs, which prints there from threads of its own.
# What is shown are names that users chose: `sim:new: ready` holds no emoji, and `big[x]` no markup.
console = Console(file=sys.__stdout__, highlight=False, soft_wrap=True, emoji=False, markup=False)


class Step:
    """A slow step: said when it begins, and with its seconds when it is done."""

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None:
        self._began_s = time.monotonic()
        console.print(f"{self._what} ... ", end="")

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        console.print(f"{time.monotonic() - self._began_s:.1f} s" if kind is None else "not done")


def show_json(body: Mapping[str, Any]) -> None:
    """Print the body as JSON, its keys in the server's order."""
    print(json_text(body))


def json_text(body: Mapping[str, Any]) -> str:
    return json.dumps(body, indent=2, ensure_ascii=False)


def show_models(models: Iterable[Mapping[str, Any]]) -> None:
    show_table(
        ("MODEL", "STATE", "REPLICAS", "NODES", "TOKENS/S", "CONTEXT", "REASON"),
        (
            (
                model.get("id"),
                model.get("state"),
                model.get("replicas"),
                model.get("nodes"),
                model.get("avg_tokens_per_second"),
                model.get("context_length"),
                model.get("state_message") if model.get("state") == "failed" else model.get("starting"),
            )
            for model in models
        ),
    )


def show_nodes(nodes: Iterable[Mapping[str, Any]], now: datetime) -> None:
    """`now` is the clock that wrote the heartbeats."""
    show_table(
        ("NODE", "STATUS", "GPUS", "CPUS", "MEMORY", "MODELS", "ENGINES", "HEARTBEAT"),
        (
            (
                node.get("id"),
                node.get("status"),
                node.get("gpus"),
                node.get("cpus"),
                _size(node.get("memory_bytes")),
                node.get("models"),
                node.get("engines"),
                age(node.get("last_heartbeat"), now),
            )
            for node in nodes
        ),
    )


def show_jobs(jobs: Iterable[Mapping[str, Any]]) -> None:
    show_table(
        ("JOB", "STATUS", "MODEL", "CREATED", "TOKENS", "LATENCY", "NODE", "ERROR"),
        (
            (
                job.get("id"),
                job.get("status"),
                job.get("model"),
                job.get("created_at"),
                job.get("result", {}).get("usage", {}).get("total_tokens"),
                _milliseconds(job.get("latency_ms")),
                job.get("node_id"),
                job.get("error"),
            )
            for job in jobs
        ),
    )


def usage_line(job: Mapping[str, Any]) -> str:
    """What a completed job took, in one line."""
    usage = job["result"]["usage"]
    parts = (
        f"{usage['prompt_tokens']} prompt + {usage['completion_tokens']} completion tokens",
        _milliseconds(job.get("latency_ms")),
        job.get("node_id"),
    )
    return one_line(", ".join(part for part in parts if part))


def age(time: str | None, now: datetime) -> str | None:
    """How long ago an ISO 8601 time was, such as `3 s` or `5 min`."""
    if time is None:
        return None
    seconds = max(0, int((now - datetime.fromisoformat(time)).total_seconds()))
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"


def one_line(text: str) -> str:
    """The text in one line, without the control characters that could steer a terminal."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def show_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows under their columns, for eyes on a terminal, else one line each."""
    table = Table(*columns, box=box.SIMPLE_HEAD if sys.stdout.isatty() else None, pad_edge=False)
    for row in rows:
        table.add_row(*map(cell, row))
    plain_console().print(table)


def plain_console() -> Console:
    """Where tables go. Wide where nobody looks, so that nothing is cut or folded; an id may hold brackets."""
    width = None if sys.stdout.isatty() else _PLAIN_WIDTH
    return Console(file=sys.stdout, markup=False, emoji=False, highlight=False, width=width)


def cell(value: object) -> str:
    """A value as it stands in a table."""
    match value:
        case None | "" | []:
            return "-"
        case list():
            counts = Counter(map(cell, value))
            return ", ".join(name if count == 1 else f"{count} x {name}" for name, count in counts.items())
        case dict():
            return _named(value)
        case float():
            return f"{value:g}"
        case _:
            return one_line(str(value))


def _named(thing: Mapping[str, Any]) -> str:
    """A GPU by its name, an engine by its id and, while it is not ready, its state."""
    name = next((str(thing[name]) for name in _NAMES if name in thing), json.dumps(thing))
    state = thing.get("state", "ready")
    return one_line(name if state == "ready" else f"{name} ({state})")


def _size(count: float | None) -> str | None:
    return None if count is None else f"{count / 2**30:.1f} GiB"


def _milliseconds(count: int | None) -> str | None:
    return None if count is None else f"{count} ms"
