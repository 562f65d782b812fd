"""What it costs to follow a large fleet: python -m tests.benchmarks.fleet

The rules of `cluster/fleet/` and `cluster/leases/` alone, without Ray: machines of eight GPUs, full of replicas that
each have one, of many models. Told is the processor time of one call, and what comes together in a second: one
heartbeat per node, one survey of all machines and seats, two ticks. Beside it what happens seldom, to all at once:
seats are asked for, machines join, or there is no machine with GPUs for any of the seats.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cluster.catalogue import Catalogue, Model, Replicas
from cluster.fleet.fleet import Fleet
from cluster.ids import EngineId, NodeId
from cluster.leases.leases import Leases
from cluster.messages.machines import EngineReport, Hardware, NodeReport
from cluster.messages.seats import ClusterReport, MachineReport, SeatReport
from cluster.timing import Timing
from tests.benchmarks import report

_GPUS = 8
_SLOTS = 8
_HARDWARE = Hardware("host", cpus=96.0, memory_bytes=1 << 40, gpu_count=_GPUS)
_NO_GPUS = Hardware("host", cpus=96.0, memory_bytes=1 << 40)
_NOW_MS = 1_700_000_000_000


@dataclass(frozen=True)
class Options:
    machines: int
    models: int
    rounds: int


@dataclass(frozen=True)
class Cost:
    """Milliseconds of processor time that a call takes, and how many there are in a second; 0 for what is seldom."""

    what: str
    call_ms: Sequence[float]
    per_second: int = 0

    @property
    def second_ms(self) -> float:
        return statistics.median(self.call_ms) * self.per_second


class Cluster:
    """Leases that begin with no machine, and the machines that come."""

    def __init__(self, options: Options, hardware: Hardware = _HARDWARE) -> None:
        self._hardware = hardware
        each = options.machines * _GPUS // options.models
        models = [Model(f"m{n:03}", gpus=1, cpus=1.0, replicas=Replicas(each, each)) for n in range(options.models)]
        self.fleet = Fleet(Catalogue(tuple(models)), (), 0.0)
        self.leases = Leases(self.fleet, Timing())
        self._machines = [NodeId(f"node_{number:04}") for number in range(options.machines)]
        self._seats: dict[EngineId, NodeId | None] = {}
        self._now_s = 0.0

    def survey(self) -> ClusterReport:
        """All machines, and all seats where they are."""
        machines = [MachineReport(node_id, self._hardware) for node_id in self._machines]
        seats = [SeatReport(each, node_id, node_id is None) for each, node_id in self._seats.items()]
        return ClusterReport(tuple(machines), tuple(seats))

    def ask(self) -> None:
        """The cluster hears of the seats that are wanted, and has no machine for them yet."""
        for order in self.fleet.seat_orders():
            self._seats.setdefault(order.engine_id)

    def seat(self) -> None:
        """The cluster has a machine for every seat."""
        for number, engine_id in enumerate(self._seats):
            self._seats[engine_id] = self._machines[number // _GPUS]

    def heartbeats(self, ready: bool = True) -> list[NodeReport]:
        """What every node tells once: its engines are all that it was ordered to run."""
        return [
            NodeReport(node_id, self._hardware, self._engines(node_id) if ready else ()) for node_id in self._machines
        ]

    def _engines(self, node_id: NodeId) -> tuple[EngineReport, ...]:
        return tuple(
            EngineReport(order.id, order.model, node_id, "ready", slots=_SLOTS, context_length=8192)
            for order in self.fleet.orders(node_id).engines
        )

    # What happens -------------------------------------------------------------------------------------------------

    def surveyed(self, told: ClusterReport) -> None:
        self.leases.surveyed(told, self._now_s, _NOW_MS)

    def reported(self, heartbeats: Sequence[NodeReport]) -> None:
        for heartbeat in heartbeats:
            self.leases.reported(heartbeat, self._now_s, _NOW_MS)

    def tick(self) -> None:
        self._now_s += 0.5
        self.leases.tick(self._now_s, _NOW_MS)

    def plan(self) -> None:
        self.fleet.plan(self._now_s, lambda model: 0)


def main() -> None:
    options = _options()
    print(_summary([*_begin(options), *_go_on(options), *_without_room(options)]))


def _begin(options: Options) -> list[Cost]:
    """Everything is asked for, found and joined, once."""
    cluster = Cluster(options)
    asked_ms = _ms(lambda: cluster.surveyed(cluster.survey()))
    cluster.ask()
    cluster.seat()
    found_ms = _ms(lambda: cluster.surveyed(cluster.survey()))
    silent = cluster.heartbeats(ready=False)
    joined_ms = _ms(lambda: cluster.reported(silent))
    heartbeats = cluster.heartbeats()
    ready_ms = _ms(lambda: cluster.reported(heartbeats))
    return [
        Cost("all seats are asked for", [asked_ms]),
        Cost("all seats have found their machines", [found_ms]),
        Cost("all nodes join", [joined_ms]),
        Cost("all engines have become ready", [ready_ms]),
    ]


def _go_on(options: Options) -> list[Cost]:
    """A second like any other."""
    cluster = _running(options)
    told, heartbeats = cluster.survey(), cluster.heartbeats()
    return [
        Cost("a heartbeat", _each(options, lambda: cluster.reported(heartbeats), options.machines), options.machines),
        Cost("a survey", _each(options, lambda: cluster.surveyed(told)), 1),
        Cost("a tick", _each(options, cluster.tick), 2),
        Cost("of it, the plan", _each(options, cluster.plan)),
    ]


def _without_room(options: Options) -> list[Cost]:
    """No machine has a GPU: every seat waits in vain."""
    cluster = Cluster(options, _NO_GPUS)
    cluster.surveyed(cluster.survey())
    cluster.ask()
    cluster.surveyed(cluster.survey())
    return [Cost("a tick while no seat has room", _each(options, cluster.tick))]


def _running(options: Options) -> Cluster:
    cluster = Cluster(options)
    cluster.surveyed(cluster.survey())
    cluster.ask()
    cluster.seat()
    cluster.surveyed(cluster.survey())
    cluster.reported(cluster.heartbeats(ready=False))
    cluster.reported(cluster.heartbeats())
    return cluster


def _each(options: Options, action: Callable[[], None], calls: int = 1) -> list[float]:
    return [_ms(action) / calls for _ in range(options.rounds)]


def _ms(action: Callable[[], None]) -> float:
    begin_s = time.process_time()
    action()
    return (time.process_time() - begin_s) * 1000


def _summary(costs: Sequence[Cost]) -> str:
    rows = [
        [cost.what, report.spread(cost.call_ms, 3), f"{cost.second_ms:.0f}" if cost.per_second else "-"]
        for cost in costs
    ]
    total_ms = sum(cost.second_ms for cost in costs)
    return report.table(["", "ms", "ms per second"], [*rows, ["in all", "", f"{total_ms:.0f}"]])


def _options() -> Options:
    parser = argparse.ArgumentParser(prog="tests.benchmarks.fleet", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--machines", type=int, default=1000, help="of eight GPUs (1000)")
    add("--models", type=int, default=200)
    add("--rounds", type=int, default=5)
    return Options(**vars(parser.parse_args()))


if __name__ == "__main__":
    main()
