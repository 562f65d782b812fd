"""What can be set, and what each setting must be. Each is checked as a `Value` (`cluster/settings/checks.py`)."""

import re
from collections.abc import Iterator, Mapping
from functools import partial
from ipaddress import ip_address
from typing import Any, Literal, get_args

from msgspec import Struct
from msgspec.structs import replace

from cluster.catalogue import CAPITALS, DEFAULT_BACKEND, TRAITS, Adapter, BackendName, Model, Price, Replicas
from cluster.conversation import ContentFormat
from cluster.errors import ConfigError
from cluster.messages.people import KeyLimits
from cluster.parallelism import contradictions
from cluster.settings import database_urls
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
from cluster.settings.judging import NO_JUDGE, Judge, refuse_faults
from cluster.settings.label_selectors import label_selectors
from cluster.settings.mistakes import Mistakes
from cluster.settings.references import is_reference

_NOTE = "x-"

_LEAST_BODY_BYTES = 1 << 20
"""As much as any other body may have."""

_MOST_CONNECTIONS = 500_000
"""Of two open files each; the kernel's own limit for a process is a million."""

_MOST_PIXELS = 80 << 20
"""vLLM refuses pictures of more than 89 million pixels by itself."""


_MOST_DAYS = 36_500
"""A hundred years."""


class IngressReplicas(Struct, frozen=True):
    """How many ingress replicas there are; Ray Serve decides where the two differ."""

    min: int = 1
    max: int = 1


class Server(Struct, frozen=True):
    """Where the HTTP door is, how many ingress replicas stand behind it, and how many connections it holds at once.

    Of these, half may come from one address, unless it is said how many. Pages of `cors_origins` may ask it from
    browsers; `*` are those of all.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    replicas: IngressReplicas = IngressReplicas()
    cors_origins: tuple[str, ...] = ()
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


class Webhooks(Struct, frozen=True):
    """Where webhooks may be sent: to public addresses, and to these `private_hosts`, each a name or `name:port`.

    An endpoint has `timeout_s` to answer.
    """

    private_hosts: tuple[str, ...] = ()
    timeout_s: int = 15


class Metrics(Struct, frozen=True):
    """Who may read `/metrics`: everybody, or, where there is a `key`, who presents it or the key of an admin."""

    key: str = ""


SpotNoticesOf = Literal["none", "aws", "gcp"]

LogFormat = Literal["text", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]
Part = Literal[
    "infernet",
    "ingress",
    "supervisor",
    "scheduler",
    "journal",
    "ledger",
    "rate_limiter",
    "courier",
    "node",
    "engine",
    "engine_part",
]
"""Whose lines those of a log are."""


class Logs(Struct, frozen=True):
    """How lines are written, and from which level on; `levels` are those of parts that have another one."""

    format: LogFormat = "text"
    level: LogLevel = "info"
    levels: Mapping[Part, LogLevel] = {}


class Traces(Struct, frozen=True):
    """Where spans are sent, by OTLP over HTTP; nowhere without an `endpoint`.

    Of requests that come without a decision, this `ratio` is traced.
    """

    endpoint: str = ""
    ratio: float = 1.0


class Settings(Struct, frozen=True):
    """Everything that can be set. An empty `database` means the default one, in the user's home.

    Jobs that ended more than `retention_days` ago are removed; None keeps them for ever.

    `spot_notices` is the cloud whose machines ask for the notice that they will be taken away.
    """

    server: Server = Server()
    database: str = ""
    limits: KeyLimits = KeyLimits()
    job_timeout_s: int = 300
    retention_days: int | None = None
    stream_interval_ms: int = 20
    spot_notices: SpotNoticesOf = "none"
    media: Media = Media()
    webhooks: Webhooks = Webhooks()
    logs: Logs = Logs()
    traces: Traces = Traces()
    metrics: Metrics = Metrics()
    models: tuple[Model, ...] = (CAPITALS,)


def settings(value: Value, judge: Judge = NO_JUDGE) -> Settings:
    """The settings that `value` spells; what it does not mention keeps its default.

    Raises ConfigError with a line for each thing that cannot be used, which names the place and the reason.
    """
    return Settings(
        **section(
            _without_notes(value),
            {
                "server": _server,
                "database": _database,
                "limits": _limits,
                "job_timeout_s": integer(1, unit="s"),
                "retention_days": or_none(integer(1, _MOST_DAYS)),
                "stream_interval_ms": integer(0, unit="ms"),
                "spot_notices": one_of("none", "aws", "gcp"),
                "media": _media,
                "webhooks": _webhooks,
                "logs": _logs,
                "traces": _traces,
                "metrics": _metrics,
                "models": partial(_models, judge),
            },
        )
    )


def _without_notes(value: Value) -> Value:
    """Without the keys that begin with `x-`: they hold what other places refer to."""
    match value.content:
        case dict() as mapping:
            return replace(value, content={key: each for key, each in mapping.items() if not key.startswith(_NOTE)})
        case _:
            return value


def _server(value: Value) -> Server:
    checks: dict[str, Check] = {
        "host": _address,
        "port": integer(1, 65535),
        "replicas": _ingress_replicas,
        "cors_origins": list_of(_origin),
        "max_connections": integer(1, _MOST_CONNECTIONS),
        "max_connections_per_address": or_none(integer(1)),
    }
    return Server(**section(value, checks))


_ORIGIN = re.compile(r"\*|https?://(?:[a-z0-9.-]+|\[[0-9a-f:]+\])(?::[0-9]{1,5})?")


def _origin(value: Value) -> str:
    origin = word(value).lower().removesuffix("/")  # as browsers write it
    if not _ORIGIN.fullmatch(origin):
        raise value.is_not("an origin such as https://example.org:8443, or *")
    return origin


def _address(value: Value) -> str:
    """An address or a name of this machine; one of IPv6 may stand in brackets, as in a URL."""
    host = word(value)
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if host == "*":
        raise value.refused(
            "must be an address: 0.0.0.0 stands for all that this machine has, and :: for those of IPv6"
        )
    if "/" in host or (":" in bare and not _is_ipv6(bare)):
        raise value.refused(f"must be an address or a name alone, not {shown(host)}: its port is server.port")
    return bare


def _is_ipv6(text: str) -> bool:
    try:
        return ip_address(text.partition("%")[0]).version == 6
    except ValueError:
        return False


def _limits(value: Value) -> KeyLimits:
    checks: dict[str, Check] = dict.fromkeys(KeyLimits.__struct_fields__, integer(1))
    return KeyLimits(**section(value, checks | {"tokens_per_minute": or_none(integer(1))}))


def _media(value: Value) -> Media:
    checks: dict[str, Check] = {
        "hosts": list_of(_host),
        "max_body_bytes": integer(_LEAST_BODY_BYTES, unit="bytes"),
        "max_bytes": integer(1, unit="bytes"),
        "max_pixels": integer(1, _MOST_PIXELS),
        "max_parts": integer(1),
        "fetch_timeout_s": integer(1, unit="s"),
    }
    return Media(**section(value, checks))


def _webhooks(value: Value) -> Webhooks:
    return Webhooks(**section(value, {"private_hosts": list_of(_bare_host), "timeout_s": integer(1, 60, unit="s")}))


def _bare_host(value: Value) -> str:
    """As it is compared: an address of IPv6 without the brackets that it has in a URL."""
    return _host(value).replace("[", "").replace("]", "")


def _logs(value: Value) -> Logs:
    level = one_of(*get_args(LogLevel))
    checks: dict[str, Check] = {
        "format": one_of(*get_args(LogFormat)),
        "level": level,
        "levels": lambda levels: section(levels, dict.fromkeys(get_args(Part), level)),
    }
    return Logs(**section(value, checks))


def _traces(value: Value) -> Traces:
    return Traces(**section(value, {"endpoint": _collector, "ratio": _ratio}))


_COLLECTOR = re.compile(r"https?://[^/@?#]+(?:/[^@?#]*)?")


def _collector(value: Value) -> str:
    """A URL that OTLP can be sent to, without what is secret; nothing for none."""
    if value.content == "":
        return ""
    endpoint = word(value)
    if "@" in endpoint:
        raise value.refused("must hold no credentials: OTEL_EXPORTER_OTLP_HEADERS in the environment may")
    if not _COLLECTOR.fullmatch(endpoint):
        raise value.is_not("a URL such as http://collector:4318")
    return endpoint.rstrip("/")


def _ratio(value: Value) -> float:
    ratio = number(value)
    if ratio > 1:
        raise value.is_not("a number from 0 to 1")
    return ratio


def _metrics(value: Value) -> Metrics:
    return Metrics(**section(value, {"key": text}))


def _host(value: Value) -> str:
    host = word(value).lower()
    if "/" in host or "*" in host:
        raise value.is_not("a host's name, or name:port")
    return host


def _models(judge: Judge, value: Value) -> tuple[Model, ...]:
    mistakes = Mistakes()
    models: tuple[Model, ...] = ()
    with mistakes.noted():
        models = list_of(partial(_model, judge))(value)
        if not models:
            raise value.refused("must list at least one model")
    owners: dict[str, int] = {}
    for index, owned in _names(value):
        with mistakes.noted():
            if owned.content in owners:
                raise owned.refused(f"{shown(owned.content)} is already a name of models[{owners[owned.content]}]")
            owners[owned.content] = index
    mistakes.tell()
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
    """All names that are written, of models that can be used or not, each with its model's place."""
    for index, model in enumerate(models.content if isinstance(models.content, list) else ()):
        given = model.content if isinstance(model.content, dict) else {}
        adapters = _items(given.get("adapters"))
        theirs = (adapter.content.get("id") for adapter in adapters if isinstance(adapter.content, dict))
        for each in (given.get("id"), *_items(given.get("aliases")), *theirs):
            if each is not None and isinstance(each.content, str):
                yield index, each


def _items(value: Value | None) -> list[Value]:
    return value.content if value is not None and isinstance(value.content, list) else []


def _model(judge: Judge, value: Value) -> Model:
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
    for adapter in _items(written.get("adapters")):
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


def _gpus(value: Value) -> int:
    if isinstance(value.content, float) and value.content != int(value.content):
        raise value.refused(f"must be a whole number of GPUs, not {value.shown()}: an engine shares none of its own")
    return integer(0)(value)


def _adapter(judge: Judge, value: Value) -> Adapter:
    given = section(value, {"id": name, "source": text, "price": _price})
    if "id" not in given:
        raise value.refused("needs an id")
    if given.get("source") and (reason := judge.adapter(given["source"])):
        raise value.content["source"].refused(reason)
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
        "idle_s": integer(1, unit="s"),
        "drain_s": integer(0, unit="s"),
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
    if reason := database_urls.fault(url):
        raise value.refused(f"the URL {reason}")
    return url
