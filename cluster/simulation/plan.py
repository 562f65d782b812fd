"""What a load would need: the rules played against a trace, and what fixed numbers of replicas would do with it."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence

from msgspec import Struct

from cluster.catalogue import Catalogue, Model
from cluster.errors import ConfigError
from cluster.placement import Ranking
from cluster.simulation.machines import MachineKind, MachinePark
from cluster.simulation.results import ModelResult, Moment, Result, quantile
from cluster.simulation.served import Served
from cluster.simulation.simulation import Simulation, Terms
from cluster.simulation.sizing import ByRule, Fixed, Sizing
from cluster.simulation.speeds import Speed, Subject
from cluster.simulation.static import allotted
from cluster.simulation.traffic import Request, Traffic
from cluster.timing import Timing

HOUR_S = 3600.0
NOT_IN_CATALOGUE = "not a model of the catalogue"


class Hour(Struct, frozen=True):
    """An hour of the trace, counted from 0: machines and GPUs that replicas held, on average and at most."""

    hour: int
    machines_mean: float
    machines_most: int
    gpus_held_mean: float
    waiting_most: int


class ModelPlan(Struct, frozen=True):
    """What one model's jobs met. `replicas` is from which second on there were how many."""

    model: str
    jobs: int
    wait_p50_s: float
    wait_p99_s: float
    replicas_most: int
    starts: int
    gpu_hours: float
    refused: dict[str, int]
    late: int
    replicas: list[tuple[float, int]]


class Static(Struct, frozen=True):
    """Replicas that are there all the time, in their numbers per model, and what that does to the jobs."""

    replicas: dict[str, int]
    gpu_hours: float
    wait_p50_s: float
    wait_p99_s: float
    refused: int


class Plan(Struct, frozen=True):
    """`static_at_peak` has as many replicas all day as the rules had at most, `static_same_hours` as many GPU hours."""

    requests: int
    lasts_s: float
    machines_most: int
    machines_mean: float
    gpu_hours: float
    machine_gpu_hours: float
    wait_p50_s: float
    wait_p99_s: float
    refused: dict[str, int]
    hours: list[Hour]
    models: list[ModelPlan]
    static_at_peak: Static
    static_same_hours: Static


def plan(
    traffic: Traffic,
    models: Sequence[Model],
    speeds: Mapping[str, Speed],
    kinds: Sequence[MachineKind],
    most_machines: int | None = None,
    terms: Terms = Terms(),
) -> Plan:
    """Play this traffic. `speeds` has an entry for every model of the catalogue, by its id.

    Raises ConfigError for a model that is asked for and whose replicas span machines: none of this knows such.
    """
    known, unknown = in_catalogue(traffic, Catalogue(tuple(models)))
    by_id = {model.id: model for model in models}
    if spread := [name for name in known.models if by_id[name].machines > 1]:
        raise ConfigError(f"{spread[0]}: machines: replicas over several machines cannot be planned yet")
    subjects = [Subject(by_id[name], speeds[name]) for name in known.models]
    stays = any(subject.model.replicas.min for subject in subjects)
    ours = _played(
        known,
        subjects,
        [ByRule(subject.model.replicas, Timing().scaling_window_s) for subject in subjects],
        MachinePark(kinds, most_machines),
        terms,
        known.lasts_s if stays else None,
    )
    at_peak = [result.most_replicas() for result in ours.models.values()]
    same_hours = allotted(known, subjects, ours.gpu_hours * HOUR_S / max(ours.ended_s, 1.0))
    waits_s = ours.waits_s()
    return Plan(
        requests=len(traffic),
        lasts_s=traffic.lasts_s,
        machines_most=max((moment.machines for moment in ours.moments), default=0),
        machines_mean=_mean([moment.machines for moment in ours.moments]),
        gpu_hours=ours.gpu_hours,
        machine_gpu_hours=ours.machine_gpu_hours,
        wait_p50_s=quantile(waits_s, 0.5),
        wait_p99_s=quantile(waits_s, 0.99),
        refused=dict(ours.refused() + Counter({NOT_IN_CATALOGUE: unknown.total()})),
        hours=_hours(ours.moments),
        models=[
            *(_model_plan(name, result) for name, result in ours.models.items()),
            *(_unknown(name, jobs) for name, jobs in unknown.items()),
        ],
        static_at_peak=_static(known, subjects, at_peak, kinds, terms, ours.ended_s),
        static_same_hours=_static(known, subjects, same_hours, kinds, terms, ours.ended_s),
    )


def in_catalogue(traffic: Traffic, catalogue: Catalogue) -> tuple[Traffic, Counter[str]]:
    """The requests for models of the catalogue, under their ids, and how many there are for others."""
    found = [catalogue.find(name) for name in traffic.models]
    ids = list(dict.fromkeys(model.id for model in found if model is not None))
    numbers = [None if model is None else ids.index(model.id) for model in found]
    unknown: Counter[str] = Counter()
    requests: list[Request] = []
    for request in traffic:
        number = numbers[request.model]
        if number is None:
            unknown[traffic.models[request.model]] += 1
        else:
            requests.append(request._replace(model=number))
    return Traffic(ids, traffic.accounts, requests), unknown


def _played(
    traffic: Traffic,
    subjects: Sequence[Subject],
    sizings: Sequence[Sizing],
    park: MachinePark,
    terms: Terms,
    until_s: float | None,
) -> Result:
    served = [Served(subject, sizing, Ranking(), park) for subject, sizing in zip(subjects, sizings, strict=True)]
    return Simulation(traffic, served, park, terms).run(until_s)


def _static(
    traffic: Traffic,
    subjects: Sequence[Subject],
    replicas: list[int],
    kinds: Sequence[MachineKind],
    terms: Terms,
    until_s: float,
) -> Static:
    """So many replicas from the start: their machines have booted and their models are loaded."""
    there = [Subject(subject.model, _loaded(subject.speed)) for subject in subjects]
    booted = [MachineKind(kind.gpus, kind.cpus, 0.0, kind.idle_s) for kind in kinds]
    result = _played(traffic, there, [Fixed(number) for number in replicas], MachinePark(booted), terms, until_s)
    waits_s = result.waits_s()
    return Static(
        replicas={subject.model.id: number for subject, number in zip(subjects, replicas, strict=True)},
        gpu_hours=result.gpu_hours,
        wait_p50_s=quantile(waits_s, 0.5),
        wait_p99_s=quantile(waits_s, 0.99),
        refused=result.refused().total(),
    )


def _loaded(speed: Speed) -> Speed:
    return Speed(speed.slots, speed.prefill_tokens_per_s, speed.step_s, speed.step_s_per_job, 0.0)


def _hours(moments: Sequence[Moment]) -> list[Hour]:
    by_hour: dict[int, list[Moment]] = {}
    for moment in moments:
        by_hour.setdefault(math.floor(moment.at_s / HOUR_S), []).append(moment)
    return [
        Hour(
            hour=hour,
            machines_mean=_mean([moment.machines for moment in those]),
            machines_most=max(moment.machines for moment in those),
            gpus_held_mean=_mean([moment.gpus_held for moment in those]),
            waiting_most=max(moment.waiting for moment in those),
        )
        for hour, those in by_hour.items()
    ]


def _mean(numbers: Sequence[float]) -> float:
    return sum(numbers) / len(numbers) if numbers else 0.0


def _model_plan(name: str, result: ModelResult) -> ModelPlan:
    waits_s = sorted(result.waits_s)
    return ModelPlan(
        model=name,
        jobs=len(waits_s) + result.refused.total(),
        wait_p50_s=quantile(waits_s, 0.5),
        wait_p99_s=quantile(waits_s, 0.99),
        replicas_most=result.most_replicas(),
        starts=result.starts,
        gpu_hours=result.gpu_hours,
        refused=dict(result.refused),
        late=result.late,
        replicas=result.sizes,
    )


def _unknown(name: str, jobs: int) -> ModelPlan:
    return ModelPlan(name, jobs, 0.0, 0.0, 0, 0, 0.0, {NOT_IN_CATALOGUE: jobs}, 0, [])
