"""Times on the command line: as the API takes them, or so long from now."""

import re
from datetime import UTC, datetime, timedelta

import typer

_SPAN = re.compile(r"(?P<number>[0-9]{1,5})(?P<unit>[smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_MILLISECONDS = "milliseconds"


def ago(text: str | None, option: str, now: datetime | None = None) -> str | None:
    """An ISO 8601 time as it is, and `7d` as the time so long before now."""
    return None if text is None else _as_the_api_takes(text, _moment(text, option, -1, now))


def ahead(text: str | None, option: str, now: datetime | None = None) -> str | None:
    """An ISO 8601 time as it is, and `90d` as the time so long after now."""
    return None if text is None else _as_the_api_takes(text, _moment(text, option, 1, now))


def past(text: str, option: str, now: datetime | None = None) -> datetime:
    """The same as `ago`, as a moment; without a zone it is UTC."""
    return _moment(text, option, -1, now)


def iso(moment: datetime) -> str:
    """As logs write times, and the API takes them: in UTC."""
    return f"{moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec=_MILLISECONDS)}Z"


def _as_the_api_takes(text: str, moment: datetime) -> str:
    return iso(moment) if _SPAN.fullmatch(text) else text


def _moment(text: str, option: str, sign: int, now: datetime | None) -> datetime:
    if span := _SPAN.fullmatch(text):
        return (now or datetime.now(UTC)) + sign * timedelta(**{_UNITS[span["unit"]]: int(span["number"])})
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is no time: 2026-04-30, 2026-04-30T14:23:41Z, or a span such as 12h, 7d, 4w", param_hint=option
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
