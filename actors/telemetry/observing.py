"""How a process tells of itself. Who starts another hands it on, as environments are."""

from msgspec import Struct

from actors.machine import logs
from actors.telemetry import spans
from cluster.settings.schema import Settings
from cluster.settings.sections.logs import Logs
from cluster.settings.sections.traces import Traces


class Observing(Struct, frozen=True):
    """What the settings say of logs and traces."""

    logs: Logs = Logs()
    traces: Traces = Traces()

    @classmethod
    def of(cls, settings: Settings) -> "Observing":
        return cls(settings.logs, settings.traces)


_mine = Observing()


def begin(part: str, observing: Observing) -> None:
    """From now on, this process tells of itself so, as this part. May be repeated."""
    global _mine
    _mine = observing
    logs.begin(part, observing.logs)
    spans.begin(part, observing.traces)


def mine() -> Observing:
    """How this process tells of itself: for those that it starts."""
    return _mine
