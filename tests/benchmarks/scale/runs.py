"""The same day of traffic under each of the ways to serve it, in a process each."""

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

from msgspec import Struct, structs

from cluster.placement import Ranking
from cluster.simulation import oracle
from cluster.simulation.fairness import Fairness
from cluster.simulation.machines import MachinePark
from cluster.simulation.placing import Placing, RoundRobin
from cluster.simulation.results import Moment, Result, quantile
from cluster.simulation.served import Served
from cluster.simulation.shapes import DAY_S
from cluster.simulation.simulation import Simulation, Terms
from cluster.simulation.sizing import ByRule, Fixed, Planned, Sizing
from cluster.simulation.speeds import Subject
from cluster.simulation.static import allotted
from cluster.timing import Timing
from tests.benchmarks.scale.scenario import MACHINE, MACHINES, Scenario

RULES, ORACLE = "rules", "oracle"
LEAST_LOADED, IN_TURNS, ROUND_ROBIN = "static, least loaded", "static, in turns", "static, round robin"
STATIC = (LEAST_LOADED, IN_TURNS, ROUND_ROBIN)

_QUANTILES = (0.5, 0.9, 0.95, 0.99, 0.999, 1.0)
_FAIR_WINDOW_S = 300.0
_TERMS = Terms(tick_s=5.0, job_timeout_s=900)


class Run(Struct, frozen=True):
    """What one way made of the day. `waits_s` are the quantiles of `wait_at`; `contended` the windows of the index."""

    name: str
    gpu_hours: float
    machine_gpu_hours: float
    machines_most: int
    completed: int
    refused: dict[str, int]
    late: int
    starts: int
    moved: int
    wait_at: tuple[float, ...]
    waits_s: tuple[float, ...]
    waits_mean_s: float
    jain: float | None
    contended: int
    moments: list[Moment]


_scenario: Scenario


def all_runs(scenario: Scenario, processes: int, say: Callable[[Run], Any]) -> list[Run]:
    """The rules and the oracle first: the others have as many GPU hours as the rules took."""
    global _scenario
    _scenario = scenario  # the processes are forked and find it there
    with ProcessPoolExecutor(processes, mp_context=get_context("fork")) as pool:
        runs = _said(pool.map(_run, (RULES, ORACLE), (0.0, 0.0)), say)
        hours = [runs[0].gpu_hours] * len(STATIC)
        return runs + _said(pool.map(_run, STATIC, hours), say)


def _said(runs: Any, say: Callable[[Run], Any]) -> list[Run]:
    done = []
    for run in runs:
        say(run)
        done.append(run)
    return done


def _run(name: str, gpu_hours: float) -> Run:
    """`gpu_hours` are those that fixed replicas are to have."""
    scenario, subjects, machine = _scenario, _scenario.subjects, MACHINE
    sizings: list[Sizing]
    match name:
        case "rules":
            window_s = Timing().scaling_window_s
            sizings = [ByRule(subject.model.replicas, window_s) for subject in subjects]
        case "oracle":
            # Its machines are there when it wants them.
            machine = structs.replace(MACHINE, boot_s=0.0)
            sizings = [Planned(steps) for steps in oracle.plan(scenario.traffic, subjects, machine.boot_s)]
        case _:
            machine = structs.replace(MACHINE, boot_s=0.0)
            sizings = [Fixed(number) for number in allotted(scenario.traffic, subjects, gpu_hours * 3600 / DAY_S)]
            subjects = [Subject(each.model, structs.replace(each.speed, load_s=0.0)) for each in subjects]
    placings: list[Placing] = [RoundRobin() if name == ROUND_ROBIN else Ranking() for _ in subjects]
    park, fairness = MachinePark([machine], MACHINES), Fairness(_FAIR_WINDOW_S)
    served = [Served(*each, park) for each in zip(subjects, sizings, placings, strict=True)]
    terms = structs.replace(_TERMS, turns=name in (RULES, IN_TURNS))
    result = Simulation(scenario.traffic, served, park, terms, fairness).run(DAY_S if name in STATIC else None)
    return _summary(name, result, fairness)


def _summary(name: str, result: Result, fairness: Fairness) -> Run:
    waits_s = result.waits_s()
    return Run(
        name=name,
        gpu_hours=result.gpu_hours,
        machine_gpu_hours=result.machine_gpu_hours,
        machines_most=result.peak().machines,
        completed=result.completed,
        refused=dict(result.refused()),
        late=sum(model.late for model in result.models.values()),
        starts=result.starts,
        moved=result.moved,
        wait_at=_QUANTILES,
        waits_s=tuple(quantile(waits_s, share) for share in _QUANTILES),
        waits_mean_s=sum(waits_s) / max(1, len(waits_s)),
        jain=fairness.index(),
        contended=len(fairness.indices),
        moments=[moment for moment in result.moments if moment.at_s % 300 == 0],
    )
