"""How many replicas there are, of ingresses and of models alike."""

from collections.abc import Mapping
from typing import Any

from cluster.settings.checks import Check, Value, is_integer, section


def bounds(value: Value, shape: str, checks: Mapping[str, Check]) -> dict[str, Any]:
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
