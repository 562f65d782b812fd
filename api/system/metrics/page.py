"""The system's state as Prometheus reads it.

What could not be asked has no samples, so that nobody takes it for zero; `infernet_up` says what that was. Every
ingress replica tells the same: what it alone knows it hands in first.
"""

from collections.abc import Iterator, Mapping
from typing import Literal

from prometheus_client import Metric, generate_latest
from prometheus_client.registry import Collector

from api.replica.health import State
from api.system.metrics import counted, engines, fleet
from api.system.metrics.ended import EndedJobs
from api.system.metrics.families import counter, gauge
from cluster.release import VERSION

Part = Literal["all", "system", "engines"]
"""What of it is told: all, or not what each engine counts of itself, or that alone."""


class Page(Collector):
    """What the metrics were at one moment."""

    def __init__(self, state: State, part: Part = "all") -> None:
        self._state = state
        self._part = part
        self._models = state.models or ()

    def text(self) -> bytes:
        """The text format, version 0.0.4."""
        return generate_latest(self)

    def collect(self) -> Iterator[Metric]:
        if self._part != "engines":
            yield from self._system()
        if self._part != "system" and self._state.nodes is not None:
            yield from engines.figures(list(fleet.engines(self._state.nodes)))
        if self._part != "system" and self._state.totals is not None:
            yield from engines.times(self._state.totals.tallies)

    def _system(self) -> Iterator[Metric]:
        state = self._state
        yield self._up()
        yield gauge("infernet_build_info", "What runs.", ("version",), [((VERSION,), 1)])
        if state.restarts is not None:
            yield self._restarts(state.restarts)
        if state.totals is not None:
            yield from EndedJobs(state.totals.measures, fleet.names(self._models)).collect()
            yield from counted.counts(state.totals.tallies)
            yield counted.reserved(state.totals.reserved)
            yield counted.untold(state.totals.untold)
            yield counted.endpoints(state.totals.endpoints)
        if state.gauges is not None:
            yield counted.streams_open(state.gauges)
        if state.models is not None:
            yield from fleet.of_models(state.models)
        if state.speeds is not None:
            yield fleet.speeds(self._models, state.speeds)
        if state.nodes is not None:
            yield from fleet.of_nodes(state.nodes, self._models)

    def _up(self) -> Metric:
        state = self._state
        parts = {
            "scheduler": state.models,
            "ledger": state.gauges,
            "database": state.can_write,
            "rate_limiter": state.counts,
            "journal": state.streams,
        }
        samples = (((part,), int(answer is not None)) for part, answer in parts.items())
        return gauge("infernet_up", "Whether this part of the system answers.", ("part",), samples)

    def _restarts(self, restarts: Mapping[str, int]) -> Metric:
        about = "How often an actor's process has ended and was started again."
        return counter("infernet_actor_restarts", about, ("actor",), (((name,), n) for name, n in restarts.items()))
