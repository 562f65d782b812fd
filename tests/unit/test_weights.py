"""Seats are asked for where a model's weights are already."""

from msgspec.structs import replace

from cluster.catalogue import Catalogue, Model, Replicas
from cluster.fleet import weights
from cluster.fleet.fleet import Fleet
from cluster.fleet.machine import Machine
from cluster.ids import EngineId, NodeId
from cluster.messages.machines import Hardware, NodeReport
from cluster.messages.seats import ClusterReport, MachineReport, SeatReport

N0, N1, N2 = NodeId("node_0"), NodeId("node_1"), NodeId("node_2")
M = Model(id="m", source="org/m", gpus=1, cpus=1.0, replicas=Replicas(1, 4))
BOX = Hardware("box", 8.0, 1 << 30, 1)


def machine(node_id: NodeId, *cached: str, hardware: Hardware = BOX) -> Machine:
    made = Machine(node_id, hardware)
    made.hear(NodeReport(node_id, hardware, cached=cached), 0.0, 0)
    return made


def test_machines_that_have_the_weights_are_preferred() -> None:
    assert weights.preferred(M, [machine(N0), machine(N2, "m"), machine(N1, "other", "m")]) == (N1, N2)


def test_none_is_preferred_where_all_have_them_or_none_has() -> None:
    assert weights.preferred(M, [machine(N0, "m"), machine(N1, "m")]) == ()
    assert weights.preferred(M, [machine(N0), machine(N1, "other")]) == ()


def test_one_that_is_too_small_or_drained_is_not_preferred() -> None:
    small, drained = machine(N1, "m", hardware=replace(BOX, gpu_count=0)), machine(N2, "m")
    drained.drain(True, 0.0)
    assert weights.preferred(M, [machine(N0), small, drained]) == ()
    # They are not among those that could have been chosen, either.
    assert weights.preferred(M, [machine(N0, "m"), small, drained]) == ()


class Stage:
    """A cluster in which machines are told of, with a node or without one, and seats wait."""

    def __init__(self, *there: NodeId) -> None:
        self.fleet = Fleet(Catalogue((M,)), (), 0.0)
        self.there = list(there)
        self.jobs = 0
        self.survey()

    def survey(self) -> None:
        asked = tuple(SeatReport(order.engine_id) for order in self.fleet.seat_orders())
        machines = tuple(MachineReport(node_id, replace(BOX, hostname=node_id)) for node_id in self.there)
        self.fleet.survey(ClusterReport(machines, asked, elastic=True), 1.0, 1000)

    def tell(self, node_id: NodeId, cached: tuple[str, ...] | None) -> None:
        hardware = replace(BOX, hostname=node_id)
        self.fleet.report(NodeReport(node_id, hardware, cached=cached), 1.0, 1000)

    def preferred(self) -> dict[EngineId, tuple[NodeId, ...]]:
        self.fleet.plan(1.0, lambda model: self.jobs)
        return {order.engine_id: order.preferred for order in self.fleet.seat_orders()}


def test_a_seat_is_asked_for_on_the_machine_whose_node_has_told_of_the_weights() -> None:
    stage = Stage(N0, N1)
    stage.tell(N1, ("m",))
    assert stage.preferred() == {"m/0": (N1,)}


def test_a_machine_has_its_weights_when_its_node_has_gone_and_when_a_new_one_has_not_looked_yet() -> None:
    stage = Stage(N0, N1)
    stage.tell(N1, ("m",))
    stage.tell(N1, None)
    stage.fleet.expire(60.0)
    stage.survey()
    assert stage.preferred() == {"m/0": (N1,)}


def test_weights_that_were_removed_are_not_counted_on() -> None:
    stage = Stage(N0, N1)
    stage.tell(N1, ("m",))
    stage.tell(N1, ())
    assert stage.preferred() == {"m/0": ()}


def test_a_machine_that_left_the_cluster_is_not_preferred() -> None:
    stage = Stage(N0, N1, N2)
    stage.tell(N1, ("m",))
    stage.there.remove(N1)
    stage.survey()
    assert stage.preferred() == {"m/0": ()}
