"""The results as pictures. The only importer of matplotlib, which the extra `bench` brings."""

import statistics
from collections.abc import Callable
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from tests.benchmarks.throughput import loads, names
from tests.benchmarks.throughput.measuring import Measurement
from tests.benchmarks.throughput.results import Results, Value

matplotlib.rcParams.update(
    {
        "font.size": 10,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.color": "#e4e4e4",
        "grid.linewidth": 0.8,
        "axes.axisbelow": True,
        "axes.titlesize": 11,
        "axes.titlelocation": "left",
    }
)

_LABELS = {
    names.VLLM: "vLLM's own server",
    names.INFERNET: "Infernet, /api/v1/jobs",
    names.INFERNET_CHAT: "Infernet, /v1/chat/completions",
    names.VLLM_ROUTER: "vllm-router",
    names.RAY_SERVE_LLM_TUNED: "ray.serve.llm, tuned",
    names.RAY_SERVE_LLM: "ray.serve.llm, as it comes",
    names.LITELLM: "LiteLLM proxy",
}
# Okabe and Ito's colours, which most colour-blind people can tell apart.
_COLOURS = {
    names.VLLM: "#000000",
    names.INFERNET: "#0072B2",
    names.INFERNET_CHAT: "#56B4E9",
    names.VLLM_ROUTER: "#009E73",
    names.RAY_SERVE_LLM_TUNED: "#D55E00",
    names.RAY_SERVE_LLM: "#E69F00",
    names.LITELLM: "#CC79A7",
}
_MARKERS = dict(zip(names.ALL, "osDv^<P", strict=True))

Points = Callable[[Results, str, loads.Load], list[float]]


def draw(results: Results, folder: Path) -> list[Path]:
    """Write the plots to `folder`. Returns their files: throughput, first text, gaps, cost of the control plane."""
    by_clients: list[tuple[str, str, list[tuple[str, str, Points]]]] = [
        (
            "throughput",
            "Output tokens per second",
            [
                ("tokens/s", "all clients together", _each(_tokens_per_s)),
                ("ratio", "as a multiple of vLLM's own server", _ratio),
            ],
        ),
        (
            "first-text",
            "Time to the first text",
            [("ms", "p50", _each(_first_text_p50)), ("ms", "p99", _each(_first_text_p99))],
        ),
        (
            "gaps",
            "Gap between texts, as the client sees them arrive",
            [("ms", "p50", _each(_gap_p50)), ("ms", "p99", _each(_gap_p99))],
        ),
    ]
    files = [_by_clients(results, folder / f"{name}.png", title, panels) for name, title, panels in by_clients]
    return [*files, _costs(results, folder / "control-plane.png")]


def _by_clients(results: Results, file: Path, title: str, panels: list[tuple[str, str, Points]]) -> Path:
    """Two panels beside each other, the number of clients to the right in both."""
    figure = Figure(figsize=(10.5, 4.4), layout="constrained")
    axes = figure.subplots(1, len(panels))
    for axis, (unit, subtitle, points) in zip(axes, panels, strict=True):
        _lines(axis, results, points)
        axis.set(title=subtitle, xlabel="clients", ylabel=unit)
        if unit == "ms":
            axis.set_yscale("log")
            axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.yaxis.set_minor_locator(NullLocator())
        else:
            axis.set_ylim(bottom=0)
        axis.yaxis.set_major_formatter("{x:,g}")
    axes[-1].legend(*axes[0].get_legend_handles_labels(), loc="center left", bbox_to_anchor=(1.02, 0.5), frameon=False)
    figure.suptitle(f"{title} (median of the rounds; bars from the least to the greatest)", x=0.01, ha="left")
    figure.savefig(file, dpi=150)
    return file


def _lines(axis: Axes, results: Results, points: Points) -> None:
    """A line for each system, with the spread of the rounds at every number of clients."""
    tasks = results.loads(loads.CLIENTS)
    steps = range(len(tasks))
    for system in sorted(results.systems(), key=names.ALL.index):
        found = [(step, values) for step in steps if (values := points(results, system, tasks[step]))]
        if not found:
            continue
        middles = [statistics.median(values) for _, values in found]
        below = [middle - min(values) for middle, (_, values) in zip(middles, found, strict=True)]
        above = [max(values) - middle for middle, (_, values) in zip(middles, found, strict=True)]
        ours = system in (names.INFERNET, names.INFERNET_CHAT)
        axis.errorbar(
            [step for step, _ in found],
            middles,
            yerr=[below, above],
            label=_LABELS[system],
            color=_COLOURS[system],
            marker=_MARKERS[system],
            markersize=5,
            linewidth=2.2 if ours else 1.4,
            capsize=3,
            zorder=3 if ours else 2,
        )
    axis.set_xticks(steps, [str(task.clients) for task in tasks])


def _costs(results: Results, file: Path) -> Path:
    """Processor time and memory of what is around the model, at the number of clients that all systems have."""
    task = results.find(loads.CLIENTS, loads.OPEN_CLIENTS) or results.loads(loads.CLIENTS)[-1]
    systems = [name for name in reversed(names.ALL) if results.windows(task, name)]
    figure = Figure(figsize=(10.5, 0.9 + 0.42 * len(systems)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    _bars(left, results, task, systems, _cpu_s_per_million)
    left.set(xlabel="processor seconds per million output tokens")
    _bars(right, results, task, systems, _control_mib)
    right.set(xlabel="memory, MiB")
    figure.suptitle(f"Everything but the model's own processes, {task.label}", x=0.01, ha="left")
    figure.savefig(file, dpi=150)
    return file


def _bars(axis: Axes, results: Results, task: loads.Load, systems: list[str], value: Value) -> None:
    values = [[value(m) for m in results.windows(task, system)] for system in systems]
    middles = [statistics.median(each) for each in values]
    below = [middle - min(each) for middle, each in zip(middles, values, strict=True)]
    above = [max(each) - middle for middle, each in zip(middles, values, strict=True)]
    bars = axis.barh(
        [_LABELS[system] for system in systems],
        middles,
        xerr=[below, above],
        color=[_COLOURS[system] for system in systems],
        error_kw={"capsize": 3, "ecolor": "#777777"},
        height=0.65,
    )
    axis.bar_label(bars, fmt="{:,.0f}", padding=6)
    axis.margins(x=0.15)
    axis.grid(visible=False, axis="y")


def _each(value: Value) -> Points:
    return lambda results, system, task: [value(m) for m in results.windows(task, system)]


def _ratio(results: Results, system: str, task: loads.Load) -> list[float]:
    return [ours / theirs for ours, theirs in results.paired(task, system, names.VLLM, _tokens_per_s)]


def _tokens_per_s(m: Measurement) -> float:
    return m.tokens_per_s


def _first_text_p50(m: Measurement) -> float:
    return 1000 * m.first_text.p50


def _first_text_p99(m: Measurement) -> float:
    return 1000 * m.first_text.p99


def _gap_p50(m: Measurement) -> float:
    return 1000 * m.gap.p50


def _gap_p99(m: Measurement) -> float:
    return 1000 * m.gap.p99


def _cpu_s_per_million(m: Measurement) -> float:
    return 1e6 * m.control_cpu_s / m.output_tokens


def _control_mib(m: Measurement) -> float:
    return m.control_bytes / 2**20
