"""What is logged, and how."""

from collections.abc import Mapping
from typing import Literal, get_args

from msgspec import Struct

from cluster.settings.checks import Check, Value, one_of, section

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


def logs(value: Value) -> Logs:
    level = one_of(*get_args(LogLevel))
    checks: dict[str, Check] = {
        "format": one_of(*get_args(LogFormat)),
        "level": level,
        "levels": lambda levels: section(levels, dict.fromkeys(get_args(Part), level)),
    }
    return Logs(**section(value, checks))
