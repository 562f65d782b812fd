"""Times and sizes that are written with a unit, or in another one than a setting has."""

import re
from collections.abc import Mapping
from typing import Any, Literal

Unit = Literal["s", "ms", "bytes"]

_AMOUNT = re.compile(r"\s*(\d+(?:[.]\d+)?)\s*([A-Za-z]+)\s*")
_MILLISECONDS: Mapping[str, int] = {
    **dict.fromkeys(("ms", "msec", "millis", "milliseconds"), 1),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1_000),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), 60_000),
    **dict.fromkeys(("h", "hr", "hour", "hours"), 3_600_000),
    **dict.fromkeys(("d", "day", "days"), 86_400_000),
}
_BYTES: Mapping[str, int] = {
    **dict.fromkeys(("b", "byte", "bytes"), 1),
    **{f"{letter}{rest}": 1024 ** (power + 1) for power, letter in enumerate("kmgt") for rest in ("ib", "i")},
    **{f"{letter}{rest}": 1000 ** (power + 1) for power, letter in enumerate("kmgt") for rest in ("b", "")},
}
_NAMES: Mapping[Unit, str] = {"s": "seconds", "ms": "milliseconds", "bytes": "bytes"}


def in_words(written: Any, unit: Unit | None) -> str:
    """What number this amount is in `unit`; nothing where it is no amount of such a thing."""
    match = _AMOUNT.fullmatch(written) if isinstance(written, str) else None
    if match is None or unit is None:
        return ""
    known = _BYTES if unit == "bytes" else _MILLISECONDS
    factor = known.get(match[2].lower())
    if factor is None:
        return ""
    amount = float(match[1]) * factor / (1000 if unit == "s" else 1)
    return (
        f"that is {amount:,.0f} {_NAMES[unit]}: write {amount:.0f}"
        if amount >= 1
        else f"that is less than one of {_NAMES[unit]}"
    )


def duration(seconds: float) -> str:
    """A time as people say it."""
    for name, length in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= length:
            return f"{seconds / length:,.1f} {name}"
    return f"{seconds:g} seconds"


def size(count: int) -> str:
    """So many bytes as people say it."""
    for power, name in ((4, "TiB"), (3, "GiB"), (2, "MiB"), (1, "KiB")):
        if count >= 1024**power:
            return f"{count / 1024**power:,.1f} {name}"
    return f"{count} bytes"
