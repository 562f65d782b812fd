"""What can be set, and what each setting must be.

A setting is checked as a `Value`, which knows where it was written, so that a refusal can say so.
"""

import difflib
import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from msgspec import Struct

from cluster.catalogue import CAPITALS, DEFAULT_BACKEND, MAX_NAME_CHARACTERS, TRAITS, Model, Price, Replicas
from cluster.errors import ConfigError
from cluster.messages.people import KeyLimits
from cluster.settings.references import is_reference

_SHOWN_CHARACTERS = 60


class IngressReplicas(Struct, frozen=True):
    """How many ingress replicas there are; Ray Serve decides where the two differ."""

    min: int = 1
    max: int = 1


class Server(Struct, frozen=True):
    """Where the HTTP door is, and how many ingress replicas stand behind it."""

    host: str = "127.0.0.1"
    port: int = 8000
    replicas: IngressReplicas = IngressReplicas()


class Settings(Struct, frozen=True):
    """Everything that can be set. An empty `database` means the default one, in the user's home."""

    server: Server = Server()
    database: str = ""
    limits: KeyLimits = KeyLimits()
    job_timeout_s: int = 300
    stream_interval_ms: int = 20
    models: tuple[Model, ...] = (CAPITALS,)


class Value(Struct, frozen=True):
    """A value as it was written: a scalar, a list of Values or a mapping of strings to Values.

    `place` begins every message about it: file, line and key path, or an environment variable's name.
    """

    content: Any
    place: str

    def refused(self, reason: str) -> ConfigError:
        return ConfigError(f"{self.place}: {reason}")

    def is_not(self, wanted: str) -> ConfigError:
        return self.refused(f"must be {wanted}, not {_shown(self.content)}")

    def plain(self) -> Any:
        """The value without the places."""
        match self.content:
            case dict() as mapping:
                return {key: value.plain() for key, value in mapping.items()}
            case list() as items:
                return [item.plain() for item in items]
            case scalar:
                return scalar


Check = Callable[[Value], Any]


def settings(value: Value) -> Settings:
    """The settings that `value` spells; what it does not mention keeps its default.

    Raises ConfigError, naming the place and the reason, for the first thing that cannot be used.
    """
    return Settings(
        **_section(
            value,
            {
                "server": _server,
                "database": _database,
                "limits": _limits,
                "job_timeout_s": _integer(1),
                "stream_interval_ms": _integer(0),
                "models": _models,
            },
        )
    )


def _server(value: Value) -> Server:
    checks: dict[str, Check] = {"host": _word, "port": _integer(1, 65535), "replicas": _ingress_replicas}
    return Server(**_section(value, checks))


def _limits(value: Value) -> KeyLimits:
    checks: dict[str, Check] = dict.fromkeys(KeyLimits.__struct_fields__, _integer(1))
    return KeyLimits(**_section(value, checks | {"tokens_per_minute": _or_none(_integer(1))}))


def _models(value: Value) -> tuple[Model, ...]:
    models = _list_of(_model)(value)
    if not models:
        raise value.refused("must list at least one model")
    owners: dict[str, int] = {}
    for index, name in _names(value):
        if name.content in owners:
            raise name.refused(f"{_shown(name.content)} is already a name of models[{owners[name.content]}]")
        owners[name.content] = index
    return models


def _names(models: Value) -> Iterator[tuple[int, Value]]:
    for index, model in enumerate(models.content):
        yield index, model.content["id"]
        if "aliases" in model.content:
            for alias in model.content["aliases"].content:
                yield index, alias


def _model(value: Value) -> Model:
    given = _section(
        value,
        {
            "id": _name,
            "aliases": _list_of(_name),
            "backend": _one_of(*TRAITS),
            "source": _text,
            "gpus": _integer(0),
            "cpus": _number,
            "replicas": _replicas,
            "max_queue": _integer(1),
            "load_timeout_s": _integer(1),
            "engine": _options,
            "env": _mapping_of(_text),
            "price": _price,
        },
    )
    if "id" not in given:
        raise value.refused("needs an id")
    traits = TRAITS[given.get("backend", DEFAULT_BACKEND)]
    if traits.has_source and not given.get("source"):
        raise value.refused(f"needs a source: a hub id, a folder or {CAPITALS.source}")
    return Model(**{"gpus": traits.gpus, "cpus": traits.cpus} | given)


def _price(value: Value) -> Price:
    return Price(**_section(value, {"prompt": _number, "completion": _number}))


def _ingress_replicas(value: Value) -> IngressReplicas:
    return IngressReplicas(**_bounds(value, "{min, max}", {"min": _integer(1), "max": _integer(1)}))


def _replicas(value: Value) -> Replicas:
    checks: dict[str, Check] = {
        "min": _integer(0),
        "max": _integer(1),
        "target_jobs": _or_none(_integer(1)),
        "idle_s": _integer(1),
        "drain_s": _integer(0),
    }
    return Replicas(**_bounds(value, "{min, max, target_jobs, idle_s, drain_s}", checks))


def _bounds(value: Value, shape: str, checks: Mapping[str, Check]) -> dict[str, Any]:
    """What is given of numbers of replicas, with `max` at least `min`."""
    bounds = spelled_out(value)
    if not isinstance(bounds.content, dict):
        raise bounds.is_not(f"an integer >= 1 or {shape}")
    given = _section(bounds, checks)
    least = given.get("min", 1)
    most = given.setdefault("max", max(least, 1))
    if least > most:
        raise bounds.content["max"].refused(f"must be at least min, which is {least}, not {most}")
    return given


def spelled_out(replicas: Value) -> Value:
    """`2` written as `{min: 2, max: 2}`; anything else as it is."""
    if not _is_integer(replicas.content):
        return replicas
    return Value({"min": replicas, "max": replicas}, replicas.place)


def _section(value: Value, checks: Mapping[str, Check]) -> dict[str, Any]:
    """The keys that are there, each checked by its own rule."""
    for key, item in _mapping(value).items():
        if key not in checks:
            raise item.refused("unknown key" + _hint(key, checks))
    return {key: checks[key](item) for key, item in value.content.items()}


def _hint(key: str, known: Mapping[str, Check]) -> str:
    close = difflib.get_close_matches(key, known, n=1)
    return f"; did you mean {close[0]}?" if close else f"; known are {', '.join(known)}"


def _mapping(value: Value) -> dict[str, Value]:
    if not isinstance(value.content, dict):
        raise value.is_not("a mapping")
    return value.content


def _mapping_of(check: Check) -> Check:
    return lambda value: {key: check(item) for key, item in _mapping(value).items()}


def _list_of(check: Check) -> Callable[[Value], tuple[Any, ...]]:
    def checked(value: Value) -> tuple[Any, ...]:
        if not isinstance(value.content, list):
            raise value.is_not("a list")
        return tuple(check(item) for item in value.content)

    return checked


def _options(value: Value) -> dict[str, Any]:
    """Any mapping that JSON can carry: only the backend knows what it means."""
    _mapping(value)
    _carriable(value)
    plain: dict[str, Any] = value.plain()
    return plain


def _carriable(value: Value) -> None:
    match value.content:
        case dict() as mapping:
            for item in mapping.values():
                _carriable(item)
        case list() as items:
            for item in items:
                _carriable(item)
        case float() as number if not math.isfinite(number):
            raise value.is_not("a finite number")
        case None | bool() | int() | float() | str():
            pass
        case _:
            raise value.is_not("text, a number, true, false, null, a list or a mapping")


def _text(value: Value) -> str:
    if isinstance(value.content, str):
        return value.content
    if value.content is None or isinstance(value.content, dict | list):
        raise value.is_not("text")
    raise value.refused(f"must be text: put {_shown(value.content)} in quotes")


def _word(value: Value) -> str:
    text = _text(value)
    if not text or any(character.isspace() or not character.isprintable() for character in text):
        raise value.is_not("text without spaces and control characters")
    return text


def _name(value: Value) -> str:
    name = _word(value)
    if len(name) > MAX_NAME_CHARACTERS:
        raise value.refused(f"must be at most {MAX_NAME_CHARACTERS} characters, not {len(name)}")
    return name


def _database(value: Value) -> str:
    url = _text(value)
    if url and "://" not in url and not is_reference(url):
        # It may hold a password, so it is not shown.
        raise value.refused(
            "must be a URL such as sqlite:///infernet.db or postgresql+psycopg://user@host/db, "
            "or env:NAME or file:PATH of one"
        )
    return url


def _one_of(*choices: str) -> Check:
    def checked(value: Value) -> str:
        if value.content not in choices:
            raise value.is_not(" or ".join(choices))
        return str(value.content)

    return checked


def _integer(least: int, most: int | None = None) -> Callable[[Value], int]:
    wanted = f"an integer >= {least}" if most is None else f"an integer from {least} to {most}"

    def checked(value: Value) -> int:
        number = value.content
        if not _is_integer(number) or number < least or (most is not None and number > most):
            raise value.is_not(wanted)
        return int(number)

    return checked


def _or_none(check: Check) -> Check:
    return lambda value: None if value.content is None else check(value)


def _number(value: Value) -> float:
    number = value.content
    if not (_is_integer(number) or isinstance(number, float)) or not 0 <= number <= sys.float_info.max:
        raise value.is_not("a number >= 0")
    return float(number)


def _is_integer(content: Any) -> bool:
    return isinstance(content, int) and not isinstance(content, bool)


def _shown(content: Any) -> str:
    match content:
        case dict():
            return "a mapping"
        case list():
            return "a list"
        case str():
            text = json.dumps(content, ensure_ascii=not content.isprintable())
        case None | bool():
            text = json.dumps(content)
        case _:
            text = str(content)
    return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "..."
