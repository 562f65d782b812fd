"""The system's state as Prometheus metrics. Nothing in it names an account, a key or a job.

Every ingress replica tells the same, because none of it is its own. Names follow
https://prometheus.io/docs/practices/naming/
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import get_args

from prometheus_client import Metric, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from cluster.messages.machines import EngineState, ModelView, NodeStatus, NodeView
from cluster.messages.money import ModelTotals


class Snapshot(Collector):
    """What the metrics were at one moment."""

    def __init__(
        self,
        models: Sequence[ModelView],
        speeds: Mapping[str, int],
        nodes: Sequence[NodeView],
        totals: Sequence[ModelTotals],
    ) -> None:
        self._models = models
        self._speeds = speeds
        self._nodes = nodes
        # A model of which nothing has ended has counted to 0; one that left the catalogue is still told of.
        self._totals = {view.id: ModelTotals(view.id) for view in models} | {total.model: total for total in totals}

    def text(self) -> bytes:
        """The text format, version 0.0.4."""
        return generate_latest(self)

    def collect(self) -> Iterator[Metric]:
        yield self._jobs()
        yield self._tokens()
        yield self._queues()
        yield self._running()
        yield self._replicas()
        yield self._speeds_of_models()
        yield self._node_counts()

    def _jobs(self) -> Metric:
        family = CounterMetricFamily(
            "infernet_jobs", "Jobs that have ended since the ledger started", labels=["model", "outcome"]
        )
        for total in self._totals.values():
            family.add_metric([total.model, "completed"], total.completed)
            family.add_metric([total.model, "failed"], total.failed)
        return family

    def _tokens(self) -> Metric:
        family = CounterMetricFamily(
            "infernet_tokens", "Tokens of jobs that have ended since the ledger started", labels=["model", "kind"]
        )
        for total in self._totals.values():
            family.add_metric([total.model, "prompt"], total.prompt_tokens)
            family.add_metric([total.model, "completion"], total.completion_tokens)
        return family

    def _queues(self) -> Metric:
        family = GaugeMetricFamily("infernet_queue_length", "Jobs that wait for an engine", labels=["model"])
        for view in self._models:
            family.add_metric([view.id], view.queued)
        return family

    def _running(self) -> Metric:
        family = GaugeMetricFamily("infernet_jobs_running", "Jobs that engines work on", labels=["model"])
        running = Counter({view.id: 0 for view in self._models})
        for node in self._present():
            for engine in node.engines:
                running[engine.model] += len(engine.running)
        for model, count in running.items():
            family.add_metric([model], count)
        return family

    def _replicas(self) -> Metric:
        family = GaugeMetricFamily("infernet_replicas", "Engines of nodes that are there", labels=["model", "state"])
        count = Counter((engine.model, engine.state) for node in self._present() for engine in node.engines)
        models = dict.fromkeys([view.id for view in self._models] + [model for model, _ in count])
        for model in models:
            for state in get_args(EngineState):
                family.add_metric([model, state], count[model, state])
        return family

    def _speeds_of_models(self) -> Metric:
        family = GaugeMetricFamily(
            "infernet_output_tokens_per_second",
            "Average of the last completed jobs, per second of generation; 0 before the first",
            labels=["model"],
        )
        for view in self._models:
            family.add_metric([view.id], self._speeds.get(view.id, 0))
        return family

    def _node_counts(self) -> Metric:
        family = GaugeMetricFamily("infernet_nodes", "Machines that have joined", labels=["status"])
        count = Counter(node.status for node in self._nodes)
        for status in get_args(NodeStatus):
            family.add_metric([status], count[status])
        return family

    def _present(self) -> Iterator[NodeView]:
        return (node for node in self._nodes if node.status != "offline")
