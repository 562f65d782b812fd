"""The system's state as Prometheus metrics. Nothing in it names an account, a key or a job.

What could not be asked has no samples, so that nobody takes it for zero; `infernet_up` says what that was. Every
ingress replica tells the same, because none of it is its own. Names follow
https://prometheus.io/docs/practices/naming/
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import get_args

from prometheus_client import Metric, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from api.replica.gateway import State
from cluster.measures.measures import Counted
from cluster.messages.machines import EngineReport, EngineState, NodeStatus


class Snapshot(Collector):
    """What the metrics were at one moment."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._models = state.models or ()
        self._nodes = state.nodes or ()

    def text(self) -> bytes:
        """The text format, version 0.0.4."""
        return generate_latest(self)

    def collect(self) -> Iterator[Metric]:
        yield self._up()
        if self._state.measures is not None:
            yield self._jobs(self._state.measures)
            yield self._tokens(self._state.measures)
        if self._state.models is not None:
            yield self._queues()
            yield self._cached_tokens()
        if self._state.speeds is not None:
            yield self._speeds_of_models(self._state.speeds)
        if self._state.restarts is not None:
            yield self._restarts(self._state.restarts)
        if self._state.nodes is not None:
            yield self._running()
            yield self._replicas()
            yield self._node_counts()

    def _up(self) -> Metric:
        family = GaugeMetricFamily("infernet_up", "Whether this part of the system answers", labels=["part"])
        for part, answer in (
            ("scheduler", self._state.models),
            ("ledger", self._state.measures),
            ("database", self._state.can_write),
            ("rate_limiter", self._state.counts),
            ("journal", self._state.streams),
        ):
            family.add_metric([part], int(answer is not None))
        return family

    def _restarts(self, restarts: Mapping[str, int]) -> Metric:
        family = CounterMetricFamily(
            "infernet_actor_restarts", "How often an actor's process has ended and was started again", labels=["actor"]
        )
        for actor, count in restarts.items():
            family.add_metric([actor], count)
        return family

    def _jobs(self, measures: Sequence[Counted]) -> Metric:
        """A model of which nothing has ended has counted to 0; one that left the catalogue is still told of."""
        family = CounterMetricFamily("infernet_jobs", "Jobs that have ended", labels=["model", "outcome"])
        completed, failed = Counter(dict.fromkeys(self._names(), 0)), Counter(dict.fromkeys(self._names(), 0))
        for each in measures:
            completed[each.model] += each.measures.completed
            failed[each.model] += sum(each.measures.failures.values())
        for model in completed:
            family.add_metric([model, "completed"], completed[model])
            family.add_metric([model, "failed"], failed[model])
        return family

    def _tokens(self, measures: Sequence[Counted]) -> Metric:
        family = CounterMetricFamily("infernet_tokens", "Tokens of jobs that have ended", labels=["model", "kind"])
        kinds = ("prompt", "completion")
        counts = Counter({(model, kind): 0 for model in self._names() for kind in kinds})
        for each in measures:
            for kind in kinds:
                counts[each.model, kind] += getattr(each.measures, f"{kind}_tokens")
        for (model, kind), count in counts.items():
            family.add_metric([model, kind], count)
        return family

    def _queues(self) -> Metric:
        family = GaugeMetricFamily("infernet_queue_length", "Jobs that wait for an engine", labels=["model"])
        for view in self._models:
            family.add_metric([view.id], view.queued)
        return family

    def _cached_tokens(self) -> Metric:
        family = CounterMetricFamily(
            "infernet_prompt_cache_tokens",
            "Prompt tokens of ended jobs since the scheduler started: all, those expected in their engine's cache when "
            "they were placed, and those that were found there",
            labels=["model", "kind"],
        )
        for view in self._models:
            family.add_metric([view.id, "prompt"], view.cache.prompt)
            family.add_metric([view.id, "predicted"], view.cache.predicted)
            family.add_metric([view.id, "actual"], view.cache.actual)
        return family

    def _running(self) -> Metric:
        family = GaugeMetricFamily("infernet_jobs_running", "Jobs that engines work on", labels=["model"])
        running = Counter({view.id: 0 for view in self._models})
        for engine in self._engines():
            running[engine.model] += len(engine.running)
        for model, count in running.items():
            family.add_metric([model], count)
        return family

    def _replicas(self) -> Metric:
        family = GaugeMetricFamily("infernet_replicas", "Engines of nodes that are there", labels=["model", "state"])
        count = Counter((engine.model, engine.state) for engine in self._engines())
        models = dict.fromkeys([view.id for view in self._models] + [model for model, _ in count])
        for model in models:
            for state in get_args(EngineState):
                family.add_metric([model, state], count[model, state])
        return family

    def _speeds_of_models(self, speeds: Mapping[str, int]) -> Metric:
        family = GaugeMetricFamily(
            "infernet_output_tokens_per_second",
            "Average of the last completed jobs, per second of generation; 0 before the first",
            labels=["model"],
        )
        for name in self._names():
            family.add_metric([name], speeds.get(name, 0))
        return family

    def _node_counts(self) -> Metric:
        family = GaugeMetricFamily("infernet_nodes", "Machines that have joined", labels=["status"])
        count = Counter(node.status for node in self._nodes)
        for status in get_args(NodeStatus):
            family.add_metric([status], count[status])
        return family

    def _names(self) -> Iterator[str]:
        """What jobs are counted under: models and their adapters."""
        for view in self._models:
            yield from (view.id, *(adapter.id for adapter in view.adapters))

    def _engines(self) -> Iterator[EngineReport]:
        """The engines of nodes that are there: one on several machines is told of by each, and is its first one's."""
        present = (node for node in self._nodes if node.status != "offline")
        return (engine for node in present for engine in node.engines if engine.node_id == node.id)
