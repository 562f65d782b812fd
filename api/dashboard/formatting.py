"""How numbers and times are written on pages."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from markupsafe import Markup

from cluster.clock import iso_utc

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
_MILLION = 1_000_000


def count(number: float) -> str:
    """`1,234`"""
    return f"{number:,.0f}"


def size(number: float) -> str:
    """Bytes, as `16.0 GiB`."""
    unit = 0
    while number >= 1024 and unit < len(_UNITS) - 1:
        number, unit = number / 1024, unit + 1
    return f"{number:.0f} B" if unit == 0 else f"{number:.1f} {_UNITS[unit]}"


def money(millionths: int) -> str:
    """Exactly, with two decimals at least: `12.34`, `0.000125`."""
    whole, rest = divmod(millionths, _MILLION)
    return f"{whole:,}.{f'{rest:06d}'.rstrip('0').ljust(2, '0')}"


def duration(ms: float) -> str:
    """`420 ms`, `1.3 s`, `2 min 5 s`, `3 h 10 min`"""
    seconds = ms / 1000
    if seconds < 1:
        return f"{ms:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s"


def ago(ms: float) -> str:
    """`now`, `2 s ago`, `5 min ago`, `3 h ago`, `12 days ago`"""
    seconds = int(ms / 1000)
    for length, unit in ((86_400, "days"), (3600, "h"), (60, "min"), (1, "s")):
        if seconds >= length * (2 if length == 86_400 else 1):
            return f"{seconds // length} {unit} ago"
    return "now"


def when(moment: str | int) -> Markup:
    """A time (ISO 8601, or milliseconds since the Unix epoch) as UTC; in browsers, in the reader's own zone."""
    iso = iso_utc(moment) if isinstance(moment, int) else moment
    shown = datetime.fromisoformat(iso).astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return Markup('<time datetime="{}">{}</time>').format(iso, shown)


FILTERS: Mapping[str, Callable[..., Any]] = {
    "count": count,
    "size": size,
    "money": money,
    "duration": duration,
    "ago": ago,
    "when": when,
}
