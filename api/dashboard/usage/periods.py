"""The time that usage is told of: whole days of UTC."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BeforeValidator

PeriodName = Literal["month", "7", "30", "90", "days"]

NAMES: Mapping[PeriodName, str] = {
    "month": "This month",
    "7": "Last 7 days",
    "30": "Last 30 days",
    "90": "Last 90 days",
    "days": "From - to",
}

_ONE_DAY = timedelta(days=1)


def _or_none(text: Any) -> Any:
    """A form sends a field that was left empty, too."""
    return text or None


Day = Annotated[date | None, BeforeValidator(_or_none)]


class Period(NamedTuple):
    """The days from `first` to `last`, both included; None where it has no end at that side."""

    name: PeriodName
    first: date | None
    last: date | None

    @classmethod
    def of(cls, name: PeriodName, first: date | None, last: date | None, now_ms: int) -> "Period":
        """The period of this name. Only one from a day to another needs the two."""
        today = datetime.fromtimestamp(now_ms / 1000, UTC).date()
        match name:
            case "days":
                return cls(name, first, last)
            case "month":
                return cls(name, today.replace(day=1), today)
            case _:
                return cls(name, today - timedelta(days=int(name) - 1), today)

    @property
    def since_ms(self) -> int | None:
        return None if self.first is None else _midnight_ms(self.first)

    @property
    def until_ms(self) -> int | None:
        """The end of the last day: what ends meanwhile counts."""
        return None if self._next is None else _midnight_ms(self._next)

    @property
    def _next(self) -> date | None:
        """The first day after it."""
        return None if self.last is None or self.last == date.max else self.last + _ONE_DAY

    def query(self) -> dict[str, str]:
        """As the parameters `since` and `until` of the API."""
        days = {"since": self.first, "until": self._next}
        return {name: day.isoformat() for name, day in days.items() if day is not None}


def _midnight_ms(day: date) -> int:
    return round(datetime.combine(day, time(), UTC).timestamp() * 1000)
