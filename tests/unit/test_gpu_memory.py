"""Models that are too large for the GPUs that there are: not started there, and refused with the arithmetic."""

from msgspec.structs import replace
from ray._raylet import RAY_NODE_ACCELERATOR_TYPE_KEY
from ray.util.accelerators import accelerators

from cluster.catalogue import Catalogue, Model, Replicas
from cluster.fleet import gpu_memory, gpu_types
from cluster.fleet.fleet import Fleet
from cluster.fleet.gpu_memory import Demand
from cluster.fleet.gpu_types import GIB, TYPE_LABEL
from cluster.fleet.machine import Machine
from cluster.ids import NodeId
from cluster.messages.machines import Gpu, Hardware, ModelView, NodeReport
from cluster.messages.seats import ClusterReport, MachineReport, SeatReport

N0, N1 = NodeId("node_0"), NodeId("node_1")
M = Model(id="m", source="org/m", gpus=2, cpus=1.0, replicas=Replicas(0, 2))
LARGE = Demand(141 * GIB, int(2.5 * GIB), 32_768, share=0.9)


def hardware(name: str, gib: float, gpus: int = 2) -> Hardware:
    return Hardware(name, 8.0, 1 << 30, gpus, (Gpu("a GPU", int(gib * GIB)),) * gpus)


def machine(gib: float, gpus: int = 2) -> Machine:
    made = Machine(N0, hardware("box", gib, gpus))
    made.hear(NodeReport(N0, made.hardware), 0.0, 0)
    return made


def test_what_fits_to_the_byte_fits() -> None:
    demand = Demand(70 * GIB, 2 * GIB, 1024, share=0.5)
    assert gpu_memory.suits(M, demand, machine(72))
    assert not gpu_memory.suits(M, replace(demand, weights_bytes=70 * GIB + 1), machine(72))


def test_what_does_not_fit_is_told_with_the_arithmetic() -> None:
    assert gpu_memory.shortage(M, LARGE, [machine(24), machine(79.65)]) == (
        "needs 141 GiB of GPU memory for its weights and 2.5 GiB for one request of 32,768 tokens, on 2 GPUs; "
        "the largest here have 2 x 72 GiB (0.9 of 80 GiB)"
    )
    weights_alone = replace(LARGE, request_bytes=0, context_tokens=0)
    assert gpu_memory.need(M, weights_alone) == "needs 141 GiB of GPU memory for its weights, on 2 GPUs"


def test_there_is_no_shortage_where_it_fits_or_where_something_is_not_known() -> None:
    unknown = machine(24)
    unknown.hardware = replace(unknown.hardware, gpus=())
    assert gpu_memory.shortage(M, LARGE, [machine(24), machine(141)]) is None
    assert gpu_memory.shortage(M, LARGE, [machine(24), unknown]) is None
    assert gpu_memory.shortage(M, None, [machine(1)]) is None
    # There are too few GPUs, which is another shortage.
    assert gpu_memory.shortage(M, LARGE, [machine(24, gpus=1)]) is None


def test_a_machine_without_a_node_has_what_its_label_says() -> None:
    bare = Machine(N0, Hardware("bare", 8.0, 1 << 30, 2))
    for gpu_type, suits in (("H100", True), ("L4", False), ("A-NEW-ONE", True), ("", True)):
        bare.see(MachineReport(N0, bare.hardware, labels={TYPE_LABEL: gpu_type}), 0.0, 0)
        assert gpu_memory.suits(M, LARGE, bare) == suits, gpu_type


def test_the_table_has_rays_names_and_all_of_nvidias() -> None:
    rays = {value for name, value in vars(accelerators).items() if name.startswith("NVIDIA_")}
    assert rays
    assert [each for each in rays if gpu_types.memory_bytes(each) is None] == []
    assert set(gpu_types.smaller_than(float("inf"))) == rays
    assert TYPE_LABEL == RAY_NODE_ACCELERATOR_TYPE_KEY


class Stage:
    """An elastic cluster, of which each test says what Ray would."""

    def __init__(self, demand: Demand | None = LARGE, elastic: bool = True) -> None:
        self.fleet = Fleet(Catalogue((M,)), (), 0.0)
        self.elastic = elastic
        self.machines: dict[NodeId, MachineReport] = {}
        self.place: NodeId | None = None
        self.jobs = 0
        self.now_s = 0.0
        self.fleet.measured("m", demand)

    def join(self, node_id: NodeId, gib: float, has_node: bool = True, gpu_type: str = "") -> None:
        told = hardware(node_id, gib)
        self.machines[node_id] = MachineReport(node_id, replace(told, gpus=()), labels={TYPE_LABEL: gpu_type})
        if has_node:
            self.survey()
            self.fleet.report(NodeReport(node_id, told), self.now_s, 0)

    def survey(self) -> None:
        self.now_s += 1.0
        orders = self.fleet.seat_orders()
        seats = tuple(SeatReport(order.engine_id, self.place, is_hopeless=self.place is None) for order in orders)
        self.fleet.survey(ClusterReport(tuple(self.machines.values()), seats, self.elastic), self.now_s, 0)
        self.fleet.plan(self.now_s, lambda model: self.jobs)

    @property
    def view(self) -> ModelView:
        return self.fleet.models.views({}, self.now_s)[0]

    def asked(self) -> list[tuple[str, tuple[NodeId, ...]]]:
        """Of the seats that wait, the types of GPUs that they are not to have, and the machines."""
        return [(order.labels.get(TYPE_LABEL, ""), order.avoided) for order in self.fleet.seat_orders()]


def test_a_model_that_fits_nowhere_is_refused_with_the_arithmetic() -> None:
    stage = Stage(elastic=False)
    stage.join(N0, 79.65)
    stage.survey()
    # Before it is started, and with a seat that waits.
    assert stage.fleet.too_small_gpus("m") == gpu_memory.shortage(M, LARGE, [machine(79.65)])
    assert not stage.fleet.can_serve("m", None, stage.now_s)
    stage.jobs = 1
    stage.survey()
    stage.survey()
    assert stage.fleet.without_room(stage.now_s + 11.0, 10.0) == ["m"]
    assert stage.view.message.endswith("the largest here have 2 x 72 GiB (0.9 of 80 GiB)")
    assert (stage.view.state, stage.view.fits) == ("failed", False)


def test_a_model_that_fits_on_the_larger_machine_is_asked_for_there() -> None:
    stage = Stage(elastic=False)
    stage.join(N0, 79.65)
    stage.join(N1, 140.4)
    assert stage.fleet.can_serve("m", None, stage.now_s)
    stage.jobs = 1
    stage.survey()
    ((types, avoided),) = stage.asked()
    assert avoided == (N0,)
    assert "L4," in types and "A100-80G" not in types  # which has exactly enough: 160 GiB, of which nine tenths
    stage.place = N1
    stage.survey()
    assert [order.id for order in stage.fleet.orders(N1).engines] == ["m/0"]
    assert (stage.view.fits, stage.view.message) == (True, "")


def test_machines_that_turn_out_too_small_are_a_start_that_failed() -> None:
    stage = Stage()
    stage.join(N1, 140.4)
    stage.jobs = 1
    stage.survey()
    stage.join(N0, 24, has_node=False)
    stage.place = N0
    stage.survey()
    assert stage.view.message == ""
    stage.fleet.report(NodeReport(N0, hardware("small", 24)), stage.now_s, 0)
    stage.fleet.plan(stage.now_s, lambda model: 1)
    assert stage.view.message.endswith("on 2 GPUs; those of its machine are too small")
    assert stage.asked() == []  # not at once: the next machine may be like it
    stage.now_s += 5.0
    stage.survey()
    ((_, avoided),) = stage.asked()
    assert avoided == (N0,)


def test_labels_that_the_model_has_itself_are_left() -> None:
    own = replace(M, labels={TYPE_LABEL: "in(H100,H200)", "tier": "spot"})
    assert gpu_memory.labels(own, LARGE) == own.labels
    assert gpu_memory.labels(replace(own, labels={"tier": "spot"}), LARGE).keys() == {TYPE_LABEL, "tier"}
    assert gpu_memory.labels(M, None) == gpu_memory.labels(M, Demand(GIB)) == {}


def test_an_unmeasured_model_is_not_started_and_whether_it_has_room_is_not_known() -> None:
    fleet = Fleet(Catalogue((replace(M, replicas=Replicas(1, 1)),)), (), 0.0, unmeasured=("m",))
    report = ClusterReport((MachineReport(N0, hardware("box", 80)),))
    for now_s in (1.0, 2.0):
        fleet.survey(report, now_s, 0)
        fleet.plan(now_s, lambda model: 1)
        assert (fleet.seat_orders(), fleet.has_looked_for_room) == ([], False)
    fleet.measured("m", None)
    assert (fleet.wants_survey, fleet.has_looked_for_room) == (True, False)
    fleet.survey(report, 3.0, 0)
    fleet.plan(3.0, lambda model: 1)
    assert len(fleet.seat_orders()) == 1
