"""The day and the step as pictures. matplotlib comes with the extra `bench`."""

from bisect import bisect_right
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cluster.simulation.results import Result
from cluster.simulation.traffic import Traffic
from tests.benchmarks.scale import runs
from tests.benchmarks.scale.runs import Run
from tests.benchmarks.scale.step import SPEED

# Okabe and Ito's colours, which most colour-blind people can tell apart.
_COLOURS = {
    runs.RULES: "#0072B2",
    runs.ORACLE: "#000000",
    runs.LEAST_LOADED: "#D55E00",
    runs.IN_TURNS: "#CC79A7",
    runs.ROUND_ROBIN: "#E69F00",
}
_LABELS = {
    runs.RULES: "the rules",
    runs.ORACLE: "oracle",
    runs.LEAST_LOADED: "fixed replicas, least loaded",
    runs.IN_TURNS: "fixed replicas, in turns",
    runs.ROUND_ROBIN: "fixed replicas, round robin",
}


def draw(day: list[Run], traffic: Traffic, step: Result, folder: Path) -> list[Path]:
    """Write the plots to the folder. Returns their files."""
    return [
        _day(day, folder / "scale-day.png"),
        _cost_and_wait(day, folder / "scale-waits.png"),
        _step(traffic, step, folder / "scale-step.png"),
    ]


def _day(day: list[Run], file: Path) -> Path:
    figure = Figure(figsize=(10.5, 6.4), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    for run in day:
        if run.name in (runs.RULES, runs.ORACLE, runs.LEAST_LOADED):
            hours = [moment.at_s / 3600 for moment in run.moments]
            style = {"color": _COLOURS[run.name], "label": _LABELS[run.name]}
            above.plot(hours, [moment.gpus_held for moment in run.moments], linewidth=1.5, **style)
            below.plot(hours, [moment.waiting for moment in run.moments], linewidth=1.2, **style)
    above.set(ylabel="GPUs that replicas hold", title="GPUs", ylim=(0, None))
    below.set(
        ylabel="jobs", xlabel="hour of the day", title="Jobs that wait", xlim=(0, 24.5), yscale="symlog", ylim=(0, None)
    )
    below.set_xticks(range(0, 25, 2))
    above.legend(loc="upper left", frameon=False)
    return _saved(figure, (above, below), file)


def _cost_and_wait(day: list[Run], file: Path) -> Path:
    figure = Figure(figsize=(10.5, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    names = [_LABELS[run.name] for run in day][::-1]
    colours = [_COLOURS[run.name] for run in day][::-1]
    bars = left.barh(names, [run.gpu_hours for run in day][::-1], color=colours, height=0.6)
    left.bar_label(bars, fmt="{:,.0f}", padding=4)
    left.set(title="GPU hours that replicas held")
    left.margins(x=0.18)
    p99_s = [run.waits_s[run.wait_at.index(0.99)] for run in day][::-1]
    bars = right.barh(names, p99_s, color=colours, height=0.6)
    right.bar_label(bars, labels=[f"{wait_s:,.1f} s" for wait_s in p99_s], padding=4)
    right.set(title="Queueing delay, p99, of the jobs that began")
    right.margins(x=0.18)
    return _saved(figure, (left, right), file)


def _step(traffic: Traffic, step: Result, file: Path) -> Path:
    figure = Figure(figsize=(10.5, 5.6), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(1, 2))
    minutes = [moment.at_s / 60 for moment in step.moments]
    width_s = 30.0
    starts = [width_s * number for number in range(int(traffic.lasts_s / width_s) + 1)]
    counts = [
        bisect_right(traffic.arrived_s, at_s + width_s) - bisect_right(traffic.arrived_s, at_s) for at_s in starts
    ]
    above.step([at_s / 60 for at_s in starts], [number / width_s for number in counts], where="post", color="#777777")
    above.set(ylabel="jobs a second", title="Load", ylim=(0, None))
    wanted = [replicas for model in step.models.values() for _, replicas in model.sizes]
    since = [at_s / 60 for model in step.models.values() for at_s, _ in model.sizes]
    below.step([0, *since], [0, *wanted], where="post", color="#0072B2", label="replicas, those that start included")
    below.plot(minutes, [moment.ready for moment in step.moments], color="#56B4E9", label="replicas that are ready")
    below.plot(
        minutes,
        [(moment.running + moment.waiting) / SPEED.slots for moment in step.moments],
        color="#E69F00",
        linewidth=1,
        label="jobs that run and wait, in replicas",
    )
    below.plot(minutes, [moment.machines for moment in step.moments], color="#000000", label="machines")
    below.set(xlabel="minute", title="Replicas and machines", ylim=(0, None))
    below.legend(loc="upper right", frameon=False)
    return _saved(figure, (above, below), file)


def _saved(figure: Figure, axes: tuple[Axes, ...], file: Path) -> Path:
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(color="#e4e4e4", linewidth=0.8)
        axis.set_axisbelow(True)
        axis.title.set_fontsize(11)
        axis.title.set_horizontalalignment("left")
        axis.title.set_x(0.0)
    figure.savefig(file, dpi=130)
    return file
