"""`infernet plan`: what machines a load would need, by the rules that the system itself runs."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from api.cli.options import JsonOption
from api.cli.render import show_json, show_table
from cluster.catalogue import Model
from cluster.errors import ConfigError
from cluster.settings.checks import Check, Value, integer, mapping_of, number, section
from cluster.settings.layers import load
from cluster.settings.yaml_file import file_layer
from cluster.simulation import trace_file
from cluster.simulation.machines import MachineKind
from cluster.simulation.plan import Plan
from cluster.simulation.plan import plan as made
from cluster.simulation.simulation import Terms
from cluster.simulation.speeds import Speed

_USUAL = Speed()


def plan(
    trace: Annotated[Path, typer.Option(help="The requests, a CSV file: a team's own, Azure's or BurstGPT's.")],
    config: Annotated[Path, typer.Option(help="The settings, a YAML file: its models and their replicas.")],
    machine: Annotated[
        list[str] | None,
        typer.Option(help="A kind of machine: gpus=8,cpus=96,boot_s=60,idle_s=120. May be repeated."),
    ] = None,
    machines: Annotated[int | None, typer.Option(min=1, help="How many machines there may be at once.")] = None,
    model: Annotated[str | None, typer.Option(help="All requests are for this model, whatever the trace says.")] = None,
    map_model: Annotated[
        list[str] | None, typer.Option(help="Which model stands for one of the trace: gpt-4=large. May be repeated.")
    ] = None,
    slots: Annotated[
        int, typer.Option(min=1, help="Jobs that a replica runs at once, where nothing says.")
    ] = _USUAL.slots,
    prefill_rate: Annotated[
        float, typer.Option(min=1, help="Tokens of prompt that a replica reads in a second.")
    ] = _USUAL.prefill_tokens_per_s,
    token_ms: Annotated[float, typer.Option(min=0.001, help="Milliseconds for a token of an answer.")] = _USUAL.step_s
    * 1000,
    token_ms_per_job: Annotated[
        float, typer.Option(min=0, help="How many more for each job that runs at once.")
    ] = _USUAL.step_s_per_job * 1000,
    load_s: Annotated[float, typer.Option(min=0, help="Seconds that a replica takes to start.")] = _USUAL.load_s,
    speeds: Annotated[Path | None, typer.Option(help="These numbers for each model by itself, a YAML file.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Play a trace against the scheduler's rules, without any machine: which ones would it need?"""
    settings = load(config, os.environ)
    usual = Speed(slots, prefill_rate, token_ms / 1000, token_ms_per_job / 1000, load_s)
    result = made(
        trace_file.read(trace, model, dict(_pair(text) for text in map_model or ())),
        settings.models,
        _speeds(settings.models, usual, speeds),
        [_kind(text) for text in machine or ["gpus=8"]],
        machines,
        Terms(job_timeout_s=settings.job_timeout_s),
    )
    if as_json:
        show_json(msgspec.to_builtins(result))
    else:
        _show(result)


# What is given ----------------------------------------------------------------------------------------------------


def _kind(text: str) -> MachineKind:
    """`gpus=8,cpus=96` as a kind of machine."""
    value = Value(dict(_setting(item) for item in text.split(",")), "--machine")
    checks: dict[str, Check] = {"gpus": integer(0), "cpus": number, "boot_s": number, "idle_s": number}
    return MachineKind(**section(value, checks))


def _setting(text: str) -> tuple[str, Value]:
    key, _, written = text.partition("=")
    place = f"--machine: {key.strip()}"
    for kind in (int, float):
        try:
            return key.strip(), Value(kind(written), place)
        except ValueError:
            continue
    return key.strip(), Value(written, place)


def _pair(text: str) -> tuple[str, str]:
    name, equals, model = text.partition("=")
    if not name or not equals or not model:
        raise ConfigError(f"--map-model: must be a trace's name and a model's, such as gpt-4=large, not {text!r}")
    return name, model


def _speeds(models: tuple[Model, ...], usual: Speed, file: Path | None) -> dict[str, Speed]:
    """Of each model: what the file says, else what its entry of the catalogue says, else what is usual."""
    given = {} if file is None else mapping_of(_speed)(file_layer(file))
    if unknown := given.keys() - {model.id for model in models}:
        raise ConfigError(f"{file}: {min(unknown)}: is not the id of a model")
    return {
        model.id: msgspec.structs.replace(usual, **(_declared(model) | given.get(model.id, {}))) for model in models
    }


def _speed(value: Value) -> dict[str, Any]:
    checks: dict[str, Check] = {
        "slots": integer(1),
        "prefill_tokens_per_s": _positive,
        "step_s": _positive,
        "step_s_per_job": number,
        "load_s": number,
    }
    return section(value, checks)


def _positive(value: Value) -> float:
    if not (written := number(value)):
        raise value.is_not("a number > 0")
    return written


def _declared(model: Model) -> dict[str, int]:
    declared = model.engine.get(model.traits.slots_option)
    return {"slots": declared} if isinstance(declared, int) else {}


# What is shown ----------------------------------------------------------------------------------------------------


def _show(plan: Plan) -> None:
    print(f"{plan.requests:,} requests in {plan.lasts_s / 3600:.1f} h")
    print(f"Machines: {plan.machines_most} at most, {plan.machines_mean:.1f} on average")
    print(f"Queueing delay: p50 {plan.wait_p50_s:.1f} s, p99 {plan.wait_p99_s:.1f} s")
    for reason, jobs in plan.refused.items():
        print(f"Refused: {jobs:,} jobs: {reason}")
    print()
    show_table(("REPLICAS", "GPU HOURS", "WAIT P50", "WAIT P99", "REFUSED"), _comparison(plan))
    print()
    show_table(
        ("HOUR", "MACHINES", "AT MOST", "GPUS HELD", "WAITING AT MOST"),
        (
            (
                str(hour.hour),
                f"{hour.machines_mean:.1f}",
                hour.machines_most,
                f"{hour.gpus_held_mean:.1f}",
                hour.waiting_most,
            )
            for hour in plan.hours
        ),
    )
    print()
    show_table(
        ("MODEL", "JOBS", "WAIT P50", "WAIT P99", "REPLICAS AT MOST", "STARTS", "GPU HOURS", "REFUSED", "TOO SLOW"),
        (
            (
                model.model,
                model.jobs,
                f"{model.wait_p50_s:.1f} s",
                f"{model.wait_p99_s:.1f} s",
                model.replicas_most,
                model.starts,
                f"{model.gpu_hours:.1f}",
                sum(model.refused.values()),
                model.late,
            )
            for model in plan.models
        ),
    )


def _comparison(plan: Plan) -> Iterator[tuple[str, ...]]:
    """The replicas that follow the load, beside fixed numbers of them."""
    refused = sum(plan.refused.values())
    yield "as the jobs need them", *_row(plan.gpu_hours, plan.wait_p50_s, plan.wait_p99_s, refused)
    for name, static in (("fixed, for the peak", plan.static_at_peak), ("fixed, same hours", plan.static_same_hours)):
        yield name, *_row(static.gpu_hours, static.wait_p50_s, static.wait_p99_s, static.refused)


def _row(gpu_hours: float, p50_s: float, p99_s: float, refused: int) -> tuple[str, ...]:
    return f"{gpu_hours:,.1f}", f"{p50_s:.1f} s", f"{p99_s:.1f} s", f"{refused:,}"
