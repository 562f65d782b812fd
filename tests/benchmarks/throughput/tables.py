"""The results as Markdown tables."""

import statistics
from collections.abc import Callable, Iterator, Sequence

from tests.benchmarks import report
from tests.benchmarks.throughput import loads, names, targets
from tests.benchmarks.throughput.client_check import ClientCheck
from tests.benchmarks.throughput.loads import Load
from tests.benchmarks.throughput.measuring import Measurement, Quantiles
from tests.benchmarks.throughput.results import Results
from tests.benchmarks.throughput.targets import Outcome, Target

_MIB = 2**20
_LATENCIES = ("p50 (min-max)", "p95", "p99")

Groups = Iterator[tuple[Load, str, list[Measurement]]]


def summary(results: Results, clients: ClientCheck) -> str:
    """Everything, in short, for who waits at the terminal."""
    every = list(dict.fromkeys(m.load for m in results.measurements))
    parts = [_overview(results, every)]
    if ratios := _ratios(results, every):
        parts.append(ratios)
    parts.append(client(results, clients))
    return "\n\n".join(parts)


def speeds(results: Results, tasks: Sequence[Load]) -> str:
    """Output tokens and requests per second."""
    rows = [
        [
            load.label,
            names.TITLES[system],
            report.spread([m.tokens_per_s for m in windows]),
            report.spread([m.answers_per_s for m in windows], 1),
            _against_vllm(results, load, system),
        ]
        for load, system, windows in _groups(results, tasks)
    ]
    return report.table(["load", "system", "tokens/s (min-max)", "requests/s (min-max)", "/ vLLM's own"], rows, text=2)


def latencies(results: Results, tasks: Sequence[Load]) -> str:
    """Time to the first text and gaps between texts, in milliseconds."""
    head = ["load", "system", *(f"first text {name}" for name in _LATENCIES), *(f"gap {name}" for name in _LATENCIES)]
    rows = [
        [
            load.label,
            names.TITLES[system],
            *_latency([m.first_text for m in windows]),
            *_latency([m.gap for m in windows]),
        ]
        for load, system, windows in _groups(results, tasks)
    ]
    return report.table(head, rows, text=2)


def costs(results: Results, tasks: Sequence[Load]) -> str:
    """What is around the model: its processor time per million output tokens, and its memory."""
    head = ["load", "system", "CPU s per million tokens (min-max)", "peak memory MiB", "cores: model", "control plane"]
    rows = [
        [
            load.label,
            names.TITLES[system],
            report.spread([1e6 * m.control_cpu_s / m.output_tokens for m in windows]),
            f"{max(m.control_bytes for m in windows) / _MIB:,.0f}",
            _cores(windows, lambda m: m.model_cpu_s),
            _cores(windows, lambda m: m.control_cpu_s),
        ]
        for load, system, windows in _groups(results, tasks)
    ]
    return report.table(head, rows, text=2)


def outcomes(results: Results) -> str:
    """The targets, and whether they are reached."""
    rows = [
        [
            outcome.target.what,
            _load_of(outcome),
            names.TITLES[outcome.target.other],
            names.TITLES[outcome.system],
            _wanted(outcome.target),
            report.spread(outcome.figures, 2) if outcome.figures else "-",
            outcome.verdict,
        ]
        for outcome in targets.outcomes(results)
    ]
    head = ["target", "load", "against", "of", "wanted (stretch)", "measured (min-max)", "verdict"]
    return report.table(head, rows, text=4)


def client(results: Results, clients: ClientCheck) -> str:
    """Whether the clients, or something else on the machine, were what a window was bound by."""
    most = max((m.client_cpu_s / m.wall_s for m in results.measurements), default=0.0)
    others = max((m.else_cpu_s / m.wall_s for m in results.measurements), default=0.0)
    fastest = max((m.tokens_per_s for m in results.measurements), default=0.0)
    return (
        "The clients alone, against a server that repeats canned events, took"
        f" {clients.tokens_per_s:,.0f} tokens/s, one event each, with {clients.client_cores:.2f} cores. The fastest"
        f" window had {fastest:,.0f} tokens/s, and in no window did the clients use more than {most:.2f} cores."
        f" What belongs to none of the systems used {others:.2f} cores at most."
    )


def missing(results: Results) -> str:
    """What gave no figures, and why; empty if everything did."""
    absent = [f"- {names.TITLES[system]}: {_line(reason)}" for system, reason in results.absent.items()]
    failed = [
        f"- {names.TITLES[failure.system]}, {failure.load.name}, round {failure.round}: {_line(failure.reason)}"
        for failure in results.failures
    ]
    return "\n".join(absent + failed)


def _overview(results: Results, tasks: Sequence[Load]) -> str:
    head = [
        *("load", "system", "tokens/s (min-max)", "first text p50 ms", "p95", "gap p50 ms", "p99"),
        *("events/answer", "cores: system", "idle ones", "client", "else"),
    ]
    rows = [
        [
            load.name,
            system,
            report.spread([m.tokens_per_s for m in windows]),
            *(_median_ms([m.first_text for m in windows], share) for share in ("p50", "p95")),
            *(_median_ms([m.gap for m in windows], share) for share in ("p50", "p99")),
            f"{statistics.mean([m.events_per_answer for m in windows]):.0f}",
            _cores(windows, lambda m: m.model_cpu_s + m.control_cpu_s),
            _cores(windows, lambda m: m.idle_cpu_s),
            _cores(windows, lambda m: m.client_cpu_s),
            _cores(windows, lambda m: m.else_cpu_s),
        ]
        for load, system, windows in _groups(results, tasks)
    ]
    return report.table(head, rows, text=2)


def _ratios(results: Results, tasks: Sequence[Load]) -> str:
    rows = [
        [load.name, system, ratio]
        for load in tasks
        for system in results.systems()
        if system != names.VLLM and (ratio := _against_vllm(results, load, system)) != "-"
    ]
    return report.table(["load", "system", "tokens/s / vLLM's in the same round"], rows, text=2) if rows else ""


def _groups(results: Results, tasks: Sequence[Load]) -> Groups:
    """The windows of every system under every load."""
    for load in tasks:
        for system in results.systems():
            if windows := results.windows(load, system):
                yield load, system, windows


def _against_vllm(results: Results, load: Load, system: str) -> str:
    pairs = results.paired(load, system, names.VLLM, lambda m: m.tokens_per_s)
    if not pairs or system == names.VLLM:
        return "-"
    return report.spread([ours / theirs for ours, theirs in pairs], 2)


def _latency(windows: Sequence[Quantiles]) -> list[str]:
    p50_ms = report.spread([1000 * quantiles.p50 for quantiles in windows], 1)
    return [p50_ms, _median_ms(windows, "p95"), _median_ms(windows, "p99")]


def _median_ms(windows: Sequence[Quantiles], share: str) -> str:
    return report.milliseconds(statistics.median([getattr(quantiles, share) for quantiles in windows]))


def _cores(windows: Sequence[Measurement], cpu_s: Callable[[Measurement], float]) -> str:
    return f"{statistics.median([cpu_s(m) / m.wall_s for m in windows]):.2f}"


def _load_of(outcome: Outcome) -> str:
    target = outcome.target
    where = "1 client" if outcome.clients == 1 else f"{outcome.clients} clients"
    if target.share:
        where = f"{target.share:.0%} of the maximum of {where}"
    return where if target.part == loads.CLIENTS else f"{target.part}, {where}"


def _wanted(target: Target) -> str:
    sign = "at most" if target.less_is_better else "at least"
    return f"{sign} {target.wanted:g}{target.unit} ({target.stretch:g}{target.unit})"


def _line(reason: str) -> str:
    lines = [line.strip() for line in reason.strip().splitlines() if line.strip()]
    return lines[0] if len(lines) == 1 else f"{lines[0]} {lines[-1]}"
