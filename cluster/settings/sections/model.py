"""One model of the catalogue."""

from functools import partial
from typing import Any, get_args

from cluster.catalogue import CAPITALS, DEFAULT_BACKEND, TRAITS, Adapter, BackendName, Model, Price, Replicas
from cluster.conversation import ContentFormat
from cluster.errors import ConfigError
from cluster.parallelism import contradictions
from cluster.settings.chat_templates import chat_template, template_variables
from cluster.settings.checks import (
    Check,
    Value,
    integer,
    list_of,
    mapping_of,
    name,
    number,
    one_of,
    options,
    or_none,
    section,
    text,
)
from cluster.settings.judging import Judge, refuse_faults
from cluster.settings.label_selectors import label_selectors
from cluster.settings.mistakes import Mistakes
from cluster.settings.sections.replicas import bounds


def model_of(judge: Judge, value: Value) -> Model:
    mistakes = Mistakes()
    given: dict[str, Any] = {}
    with mistakes.noted():
        given = section(
            value,
            {
                "id": name,
                "aliases": list_of(name),
                "backend": one_of(*TRAITS),
                "source": text,
                "gpus": _gpus,
                "cpus": number,
                "machines": integer(1),
                "replicas": _replicas,
                "max_queue": integer(1),
                "load_timeout_s": integer(1, unit="s"),
                "engine": options,
                "env": mapping_of(text),
                "price": _price,
                "labels": label_selectors,
                "default_max_tokens": or_none(integer(1)),
                "adapters": list_of(partial(_adapter, judge)),
                "chat_template": or_none(chat_template),
                "chat_template_content_format": one_of(*get_args(ContentFormat)),
                "chat_template_kwargs": template_variables,
            },
        )
    if isinstance(value.content, dict):
        _check_model(value, judge, mistakes)
    mistakes.tell()
    traits = TRAITS[given.get("backend", DEFAULT_BACKEND)]
    model = Model(**{"gpus": traits.gpus, "cpus": traits.cpus} | given)
    _check_together(value, model)
    return model


def _replicas(value: Value) -> Replicas:
    checks: dict[str, Check] = {
        "min": integer(0),
        "max": integer(1),
        "target_jobs": or_none(integer(1)),
        "idle_s": integer(1, unit="s"),
        "drain_s": integer(0, unit="s"),
    }
    return Replicas(**bounds(value, "{min, max, target_jobs, idle_s, drain_s}", checks))


def _gpus(value: Value) -> int:
    if isinstance(value.content, float) and value.content != int(value.content):
        raise value.refused(f"must be a whole number of GPUs, not {value.shown()}: an engine shares none of its own")
    return integer(0)(value)


def _price(value: Value) -> Price:
    return Price(**section(value, {"prompt": number, "completion": number}))


def _adapter(judge: Judge, value: Value) -> Adapter:
    given = section(value, {"id": name, "source": text, "price": _price})
    if "id" not in given:
        raise value.refused("needs an id")
    if given.get("source") and (reason := judge.adapter(given["source"])):
        raise value.content["source"].refused(reason)
    return Adapter(**given)


def _check_model(value: Value, judge: Judge, mistakes: Mistakes) -> None:
    """What it needs, whatever else is wrong with it, and what only its backend knows."""
    written = value.content
    backend: BackendName | None = DEFAULT_BACKEND
    if "backend" in written:
        backend = next((each for each in TRAITS if each == written["backend"].content), None)
    if backend is None:
        return
    with mistakes.noted():
        if "id" not in written:
            raise value.refused("needs an id")
    engine = written.get("engine")
    with mistakes.noted():
        if engine is not None:
            refuse_faults(engine, judge.options(backend, options(engine)) if _is_carriable(engine) else ())
    if not TRAITS[backend].has_source:
        return
    with mistakes.noted():
        source = written.get("source")
        if source is None or source.content == "":
            raise value.refused(f"needs a source: a hub id, a folder or {CAPITALS.source}")
        plain = engine.plain() if engine is not None and _is_carriable(engine) else {}
        if isinstance(source.content, str) and (reason := judge.model(source.content, plain)):
            raise source.refused(reason)
    for adapter in items(written.get("adapters")):
        with mistakes.noted():
            if isinstance(adapter.content, dict) and not adapter.content.get("source"):
                raise adapter.refused("needs a source: a hub id or a folder")


def _is_carriable(engine: Value) -> bool:
    try:
        options(engine)
    except ConfigError:
        return False
    return True


def _check_together(value: Value, model: Model) -> None:
    """What does not go with what else is said of it."""
    if model.labels and not model.books:
        raise value.content["labels"].refused("a model with gpus: 0 and cpus: 0 has no place of its own to choose")
    if not model.traits.has_source:
        _check_has_no_template(value, model)
    if model.machines > 1:
        _check_machines(value, model)


def _check_has_no_template(value: Value, model: Model) -> None:
    """Nothing is said of chat templates, or what is so anyway, as settings that were read before say it."""
    for key in ("chat_template", "chat_template_content_format", "chat_template_kwargs"):
        if getattr(model, key) != getattr(CAPITALS, key):
            raise value.content[key].refused(f"a {model.backend} model has no chat template")


def _check_machines(value: Value, model: Model) -> None:
    """Of a replica over several machines, what it books on each, and how its backend is to split it."""
    if not model.books:
        raise value.content["machines"].refused("a model over several machines needs gpus or cpus, on each of them")
    if model.backend == "vllm" and (first := next(contradictions(model), None)):
        raise value.content["engine"].content[first.option].refused(first.reason)


def items(value: Value | None) -> list[Value]:
    """What is listed there, if it is a list."""
    return value.content if value is not None and isinstance(value.content, list) else []
