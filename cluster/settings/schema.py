"""What can be set, and what each setting must be. Each is checked as a `Value` (`cluster/settings/checks.py`)."""

from collections.abc import Iterator, Mapping
from typing import Any, Literal, get_args

from msgspec import Struct

from cluster.catalogue import CAPITALS, DEFAULT_BACKEND, TRAITS, Adapter, Model, Price, Replicas
from cluster.conversation import ContentFormat
from cluster.messages.people import KeyLimits
from cluster.parallelism import contradictions
from cluster.settings.chat_templates import chat_template, template_variables
from cluster.settings.checks import (
    Check,
    Value,
    integer,
    is_integer,
    list_of,
    mapping_of,
    name,
    number,
    one_of,
    options,
    or_none,
    section,
    shown,
    text,
    word,
)
from cluster.settings.label_selectors import label_selectors
from cluster.settings.references import is_reference

_LEAST_BODY_BYTES = 1 << 20
"""As much as any other body may have."""

_MOST_CONNECTIONS = 500_000
"""Of two open files each; the kernel's own limit for a process is a million."""

_MOST_PIXELS = 80 << 20
"""vLLM refuses pictures of more than 89 million pixels by itself."""


class IngressReplicas(Struct, frozen=True):
    """How many ingress replicas there are; Ray Serve decides where the two differ."""

    min: int = 1
    max: int = 1


class Server(Struct, frozen=True):
    """Where the HTTP door is, how many ingress replicas stand behind it, and how many connections it holds at once.

    Of these, half may come from one address, unless it is said how many.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    replicas: IngressReplicas = IngressReplicas()
    max_connections: int = 40_000
    max_connections_per_address: int | None = None


class Media(Struct, frozen=True):
    """What pictures and sounds may be in submissions.

    They are fetched from these `hosts` alone, each a name or `name:port`. A body may have `max_body_bytes`, where it
    may hold any; a single one `max_bytes`, and a picture `max_pixels`. A submission has `max_parts` of them at most.
    """

    hosts: tuple[str, ...] = ()
    max_body_bytes: int = 20 << 20
    max_bytes: int = 10 << 20
    max_pixels: int = 32 << 20
    max_parts: int = 32
    fetch_timeout_s: int = 10


SpotNoticesOf = Literal["none", "aws", "gcp"]


class Settings(Struct, frozen=True):
    """Everything that can be set. An empty `database` means the default one, in the user's home.

    `spot_notices` is the cloud whose machines ask for the notice that they will be taken away.
    """

    server: Server = Server()
    database: str = ""
    limits: KeyLimits = KeyLimits()
    job_timeout_s: int = 300
    stream_interval_ms: int = 20
    spot_notices: SpotNoticesOf = "none"
    media: Media = Media()
    models: tuple[Model, ...] = (CAPITALS,)


def settings(value: Value) -> Settings:
    """The settings that `value` spells; what it does not mention keeps its default.

    Raises ConfigError, naming the place and the reason, for the first thing that cannot be used.
    """
    return Settings(
        **section(
            value,
            {
                "server": _server,
                "database": _database,
                "limits": _limits,
                "job_timeout_s": integer(1),
                "stream_interval_ms": integer(0),
                "spot_notices": one_of("none", "aws", "gcp"),
                "media": _media,
                "models": _models,
            },
        )
    )


def _server(value: Value) -> Server:
    checks: dict[str, Check] = {
        "host": word,
        "port": integer(1, 65535),
        "replicas": _ingress_replicas,
        "max_connections": integer(1, _MOST_CONNECTIONS),
        "max_connections_per_address": or_none(integer(1)),
    }
    return Server(**section(value, checks))


def _limits(value: Value) -> KeyLimits:
    checks: dict[str, Check] = dict.fromkeys(KeyLimits.__struct_fields__, integer(1))
    return KeyLimits(**section(value, checks | {"tokens_per_minute": or_none(integer(1))}))


def _media(value: Value) -> Media:
    checks: dict[str, Check] = {
        "hosts": list_of(_host),
        "max_body_bytes": integer(_LEAST_BODY_BYTES),
        "max_bytes": integer(1),
        "max_pixels": integer(1, _MOST_PIXELS),
        "max_parts": integer(1),
        "fetch_timeout_s": integer(1),
    }
    return Media(**section(value, checks))


def _host(value: Value) -> str:
    host = word(value).lower()
    if "/" in host or "*" in host:
        raise value.is_not("a host's name, or name:port")
    return host


def _models(value: Value) -> tuple[Model, ...]:
    models = list_of(_model)(value)
    if not models:
        raise value.refused("must list at least one model")
    owners: dict[str, int] = {}
    for index, owned in _names(value):
        if owned.content in owners:
            raise owned.refused(f"{shown(owned.content)} is already a name of models[{owners[owned.content]}]")
        owners[owned.content] = index
    _check_numbers(value, models)
    return models


def _check_numbers(value: Value, models: tuple[Model, ...]) -> None:
    """Engines know adapters by numbers made of their ids, and two of one model must not have the same."""
    for index, model in enumerate(models):
        owners: dict[int, Adapter] = {}
        for place, adapter in enumerate(model.adapters):
            other = owners.setdefault(adapter.number, adapter)
            if other is not adapter:
                written = value.content[index].content["adapters"].content[place].content["id"]
                raise written.refused(f"engines cannot tell it from {shown(other.id)}: give it another id")


def _names(models: Value) -> Iterator[tuple[int, Value]]:
    for index, model in enumerate(models.content):
        yield index, model.content["id"]
        if "aliases" in model.content:
            for alias in model.content["aliases"].content:
                yield index, alias
        if "adapters" in model.content:
            for adapter in model.content["adapters"].content:
                yield index, adapter.content["id"]


def _model(value: Value) -> Model:
    given = section(
        value,
        {
            "id": name,
            "aliases": list_of(name),
            "backend": one_of(*TRAITS),
            "source": text,
            "gpus": integer(0),
            "cpus": number,
            "machines": integer(1),
            "replicas": _replicas,
            "max_queue": integer(1),
            "load_timeout_s": integer(1),
            "engine": options,
            "env": mapping_of(text),
            "price": _price,
            "labels": label_selectors,
            "default_max_tokens": or_none(integer(1)),
            "adapters": list_of(_adapter),
            "chat_template": or_none(chat_template),
            "chat_template_content_format": one_of(*get_args(ContentFormat)),
            "chat_template_kwargs": template_variables,
        },
    )
    if "id" not in given:
        raise value.refused("needs an id")
    traits = TRAITS[given.get("backend", DEFAULT_BACKEND)]
    if traits.has_source and not given.get("source"):
        raise value.refused(f"needs a source: a hub id, a folder or {CAPITALS.source}")
    for place, adapter in enumerate(given.get("adapters", ())):
        if traits.has_source and not adapter.source:
            raise value.content["adapters"].content[place].refused("needs a source: a hub id or a folder")
    model = Model(**{"gpus": traits.gpus, "cpus": traits.cpus} | given)
    if model.labels and not model.books:
        raise value.content["labels"].refused("a model with gpus: 0 and cpus: 0 has no place of its own to choose")
    if not model.traits.has_source:
        _check_has_no_template(value, model)
    if model.machines > 1:
        _check_machines(value, model)
    return model


def _adapter(value: Value) -> Adapter:
    given = section(value, {"id": name, "source": text, "price": _price})
    if "id" not in given:
        raise value.refused("needs an id")
    return Adapter(**given)


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


def _price(value: Value) -> Price:
    return Price(**section(value, {"prompt": number, "completion": number}))


def _ingress_replicas(value: Value) -> IngressReplicas:
    return IngressReplicas(**_bounds(value, "{min, max}", {"min": integer(1), "max": integer(1)}))


def _replicas(value: Value) -> Replicas:
    checks: dict[str, Check] = {
        "min": integer(0),
        "max": integer(1),
        "target_jobs": or_none(integer(1)),
        "idle_s": integer(1),
        "drain_s": integer(0),
    }
    return Replicas(**_bounds(value, "{min, max, target_jobs, idle_s, drain_s}", checks))


def _bounds(value: Value, shape: str, checks: Mapping[str, Check]) -> dict[str, Any]:
    """What is given of numbers of replicas, with `max` at least `min`."""
    bounds = spelled_out(value)
    if not isinstance(bounds.content, dict):
        raise bounds.is_not(f"an integer >= 1 or {shape}")
    given = section(bounds, checks)
    least = given.get("min", 1)
    most = given.setdefault("max", max(least, 1))
    if least > most:
        raise bounds.content["max"].refused(f"must be at least min, which is {least}, not {most}")
    return given


def spelled_out(replicas: Value) -> Value:
    """`2` written as `{min: 2, max: 2}`; anything else as it is."""
    if not is_integer(replicas.content):
        return replicas
    return Value({"min": replicas, "max": replicas}, replicas.place)


def _database(value: Value) -> str:
    url = text(value)
    if url and "://" not in url and not is_reference(url):
        # It may hold a password, so it is not shown.
        raise value.refused(
            "must be a URL such as sqlite:///infernet.db or postgresql+psycopg://user@host/db, "
            "or env:NAME or file:PATH of one"
        )
    return url
