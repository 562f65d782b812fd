"""The results as files: a page, its plots, and every window as JSON."""

import json
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from tests.benchmarks.throughput import loads, tables, targets
from tests.benchmarks.throughput.client_check import ClientCheck
from tests.benchmarks.throughput.options import Options
from tests.benchmarks.throughput.results import Results
from tests.benchmarks.throughput.setting import Setting

Publish = Callable[[Options, Setting, Results, ClientCheck], None]

_PLOTS = {
    "throughput.png": "Output tokens per second by clients",
    "first-text.png": "Time to the first text by clients",
    "gaps.png": "Gaps between texts by clients",
    "control-plane.png": "Processor time and memory of the control plane",
}


def publisher(folder: Path) -> Publish:
    """What writes throughput.md, throughput.json and the plots to `folder`.

    Raises ModuleNotFoundError at once when there is no matplotlib, rather than when everything has been measured.
    """
    from tests.benchmarks.throughput import plots

    def publish(chosen: Options, setting: Setting, results: Results, clients: ClientCheck) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        plots.draw(results, folder)
        (folder / "throughput.md").write_text(page(setting, results, clients))
        figures = {"setting": asdict(setting)} | as_json(chosen, results, clients)
        (folder / "throughput.json").write_text(json.dumps(figures, indent=1) + "\n")

    return publish


def as_json(chosen: Options, results: Results, clients: ClientCheck) -> dict[str, object]:
    """Every window, the failed ones, the systems that were not there, and the targets."""
    options = {key: value for key, value in asdict(chosen).items() if key not in ("json", "write")}
    return {
        "options": options,
        "cores": os.cpu_count(),
        "client_check": asdict(clients),
        "windows": [
            asdict(m) | {"tokens_per_s": m.tokens_per_s, "answers_per_s": m.answers_per_s} for m in results.measurements
        ],
        "failures": [asdict(failure) for failure in results.failures],
        "absent": results.absent,
        "targets": [
            {
                "target": outcome.target.what,
                "against": outcome.target.other,
                "system": outcome.system,
                "part": outcome.target.part,
                "clients": outcome.clients,
                "share": outcome.target.share,
                "wanted": outcome.target.wanted,
                "stretch": outcome.target.stretch,
                "figures": outcome.figures,
                "verdict": outcome.verdict,
            }
            for outcome in targets.outcomes(results)
        ],
    }


def page(setting: Setting, results: Results, clients: ClientCheck) -> str:
    """The generated page, as Markdown."""
    by_clients, opened = results.loads(loads.CLIENTS), results.loads(loads.OPEN)
    parts = [
        "# Throughput and latency",
        "Written by `make bench`; how it is measured stands in [benchmarks.md](../benchmarks.md#throughput). Every"
        " window is in [throughput.json](throughput.json).",
        _setting(setting),
        "## Targets",
        tables.outcomes(results),
        "## By the number of clients",
        _describe(by_clients),
        _plot("throughput.png"),
        tables.speeds(results, by_clients),
        _plot("first-text.png"),
        _plot("gaps.png"),
        "Milliseconds:",
        tables.latencies(results, by_clients),
    ]
    if opened:
        parts += ["## Open loop", _describe(opened), tables.speeds(results, opened), tables.latencies(results, opened)]
    for part in (loads.LONG_PROMPTS, loads.LONG_ANSWERS, loads.SUSTAINED):
        if tasks := results.loads(part):
            parts += [
                f"## {part.capitalize()}",
                _describe(tasks),
                tables.speeds(results, tasks),
                tables.latencies(results, tasks),
            ]
    parts += [
        "## What the control plane costs",
        "Everything but the model's own processes:",
        _plot("control-plane.png"),
        tables.costs(results, by_clients),
        "## The clients",
        tables.client(results, clients),
    ]
    if missing := tables.missing(results):
        parts += ["## Not measured", missing]
    return "\n\n".join(parts) + "\n"


def _setting(setting: Setting) -> str:
    rows = [
        ("machine", setting.machine),
        ("model", setting.model),
        ("versions", setting.versions),
        ("command", f"`{setting.command}` ({setting.minutes:.0f} minutes)"),
        ("date", setting.date),
    ]
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)])


def _describe(tasks: list[loads.Load]) -> str:
    first = tasks[0]
    lengths = f"answers of {first.output_tokens} tokens"
    kind = "Open loop (Poisson)" if first.share is not None else "Closed loop"
    questions = "one question" if first.questions == 1 else f"{first.questions} questions"
    return f"{kind}, prompts of {questions}, {lengths}, {first.seconds:g} s of asking in a window."


def _plot(file: str) -> str:
    return f"![{_PLOTS[file]}]({file})"
