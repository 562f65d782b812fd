"""Replicas over several machines: their seats and room, and that they are lost, drained and ended as a whole."""

from msgspec.structs import replace

from cluster.catalogue import Catalogue, Model, Replicas
from cluster.fleet.fleet import Fleet
from cluster.fleet.makes import make_of
from cluster.fleet.numbers import model_of
from cluster.fleet.replica import Replica
from cluster.ids import EngineId, JobId, NodeId
from cluster.messages.machines import EngineReport, Hardware, ModelView, NodeReport
from cluster.messages.seats import ClusterReport, MachineReport, SeatReport
from cluster.timing import Timing

N1, N2, N3 = NodeId("node_1"), NodeId("node_2"), NodeId("node_3")
E0, E1 = EngineId("m/0"), EngineId("m/1")
S0, S1 = EngineId("small/0"), EngineId("small/1")
LABELS = {"pool": "big"}
M = Model(id="m", source="s", gpus=8, cpus=1.0, machines=2, replicas=Replicas(1, 1), labels=LABELS)
TIMING = Timing(scaling_window_s=10_000.0)


class Stage:
    """Machines of 8 GPUs, of which the first two have the first seat. Tests say what the cluster and nodes tell."""

    def __init__(self, *models: Model, elastic: bool = True, existing: tuple[EngineId, ...] = ()) -> None:
        self.catalogue = Catalogue(models or (M,))
        self.fleet = Fleet(self.catalogue, existing, 0.0, TIMING)
        self.machines = {node: MachineReport(node, Hardware(node, 8.0, 1 << 30, 8), labels=LABELS) for node in (N1, N2)}
        self.places: dict[EngineId, tuple[NodeId, ...]] = {E0: (N1, N2)}
        self.elastic = elastic
        self.hopeless: set[EngineId] = set()
        self.now_s = 0.0

    def join(self, node_id: NodeId) -> None:
        self.machines[node_id] = MachineReport(node_id, Hardware(node_id, 8.0, 1 << 30, 8), labels=LABELS)

    def survey(self, after_s: float = 1.0) -> tuple[EngineId, ...]:
        """The cluster tells of the seats that it was asked for, and what there is to be is planned."""
        self.now_s += after_s
        for unwanted in self.fleet.unwanted_seats():
            self.places.pop(unwanted, None)
        there = {order.engine_id for order in self.fleet.seat_orders()} | self.places.keys()
        seats = [self._report(engine_id) for engine_id in sorted(there)]
        report = ClusterReport(tuple(self.machines.values()), tuple(seats), self.elastic)
        return self._lose(self.fleet.survey(report, self.now_s, self.now_ms).lost)

    def beat(self, node_id: NodeId, *engines: EngineId, ending: tuple[EngineId, ...] = ()) -> tuple[EngineId, ...]:
        reports = [EngineReport(each, each.partition("/")[0], node_id, "ready", slots=4) for each in engines]
        hardware = self.machines[node_id].hardware
        report = NodeReport(node_id, hardware, tuple(reports), ending=ending)
        return self._lose(self.fleet.report(report, self.now_s, self.now_ms).lost)

    def seated(self) -> "Stage":
        """The engine is ready on the first machine."""
        self.survey()
        self.survey()
        self.beat(N2)
        self.beat(N1)
        self.beat(N1, E0)
        assert self.view.state == "ready"
        return self

    @property
    def now_ms(self) -> int:
        return round(self.now_s * 1000)

    @property
    def view(self) -> ModelView:
        return self.fleet.models.views({}, self.now_s)[0]

    @property
    def replica(self) -> Replica:
        replica = self.fleet.replica(E0)
        assert replica is not None
        return replica

    def ordered(self, node_id: NodeId) -> list[EngineId]:
        return [order.id for order in self.fleet.orders(node_id).engines]

    def asked(self) -> list[EngineId]:
        return [order.engine_id for order in self.fleet.seat_orders()]

    def _report(self, engine_id: EngineId) -> SeatReport:
        first, *further = self.places.get(engine_id) or (None,)
        made_of = make_of(self.catalogue.model(model_of(engine_id))).fingerprint
        return SeatReport(engine_id, first, engine_id in self.hopeless, made_of, tuple(filter(None, further)))

    def _lose(self, lost: tuple[EngineId, ...]) -> tuple[EngineId, ...]:
        for engine_id in lost:
            self.fleet.drop(engine_id)
        self.fleet.plan(self.now_s, lambda model: 0)
        return lost


def test_a_seat_is_asked_for_on_so_many_machines_and_its_engine_ordered_on_the_first_once_all_nodes_are_heard() -> None:
    stage = Stage()
    stage.places = {}
    stage.survey()
    (order,) = stage.fleet.seat_orders()
    assert (order.gpus, order.cpus, order.machines, order.labels) == (8, 1.0, 2, {"pool": "big"})
    stage.places = {E0: (N1, N2)}
    stage.survey()
    stage.beat(N1)
    assert stage.ordered(N1) == []
    stage.beat(N2)
    assert (stage.ordered(N1), stage.ordered(N2)) == ([E0], [])
    stage.beat(N1, E0)
    assert (stage.view.state, stage.view.replicas, stage.view.nodes) == ("ready", 1, 2)
    assert [len(view.engines) for view in stage.fleet.node_views()] == [1, 1]
    assert stage.beat(N2) == ()  # that its node has no engine to tell of means nothing


def test_with_a_further_machine_goes_the_engine_and_its_seat_once_nothing_is_left_on_the_first() -> None:
    stage = Stage().seated()
    stage.join(N3)
    del stage.machines[N2]
    stage.places[E0] = ()  # Ray looks for another machine for that bundle
    assert stage.survey() == (E0,)
    assert (stage.ordered(N1), stage.asked(), stage.fleet.unwanted_seats()) == ([], [E1], [])
    stage.beat(N1, E0)  # it has not heard of that yet
    assert stage.ordered(N1) == []
    stage.beat(N1, ending=(E0,))
    stage.survey()
    assert stage.fleet.unwanted_seats() == []
    stage.beat(N1)
    assert stage.fleet.unwanted_seats() == [E0]


def test_with_the_first_machine_the_engine_and_its_seat_go_at_once() -> None:
    stage = Stage().seated()
    del stage.machines[N1]
    stage.places[E0] = ()
    assert stage.survey() == (E0,)
    assert stage.fleet.unwanted_seats() == [E0]


def test_while_the_node_of_a_further_machine_is_silent_the_engine_gets_no_work_and_is_not_lost() -> None:
    stage = Stage().seated()
    stage.now_s += TIMING.offline_after_s
    stage.beat(N1, E0)
    assert stage.fleet.expire(stage.now_s).lost == ()
    assert not stage.replica.candidate().online
    stage.beat(N2)
    assert stage.replica.candidate().online
    stage.now_s += TIMING.offline_after_s
    assert stage.fleet.expire(stage.now_s).lost == (E0,)


def test_an_engine_retires_when_any_of_its_machines_is_drained_and_moves_its_jobs_before_any_is_taken_away() -> None:
    stage = Stage().seated()
    stage.replica.assign(JobId("a job"), 10)
    leaves_at_ms = stage.now_ms + 25_000
    stage.machines[N2] = replace(stage.machines[N2], leaves_at_ms=leaves_at_ms)
    stage.survey()
    assert stage.replica.retiring_since_s == stage.now_s
    (instead,) = stage.fleet.seat_orders()
    assert (instead.machines, instead.avoided) == (2, (N2,))
    assert stage.fleet.overdue(stage.now_s, leaves_at_ms - 10_001) == []
    assert stage.fleet.overdue(stage.now_s, leaves_at_ms - 10_000) == [stage.replica]


def test_a_seat_of_which_one_machine_is_drained_is_given_up() -> None:
    stage = Stage()
    stage.survey()
    stage.survey()
    stage.fleet.drain(N2, True, stage.now_s)
    stage.survey()
    assert stage.asked() == [E1]


def test_a_new_scheduler_learns_from_the_cluster_where_the_parts_are_once_their_nodes_are_heard() -> None:
    stage = Stage(existing=(E0,))
    stage.beat(N1, E0)
    stage.survey()
    assert [machine.id for machine in stage.replica.machines] == [N1]
    assert stage.fleet.expire(stage.now_s).lost == ()
    stage.beat(N2)
    stage.survey()
    assert [machine.id for machine in stage.replica.machines] == [N1, N2]
    del stage.machines[N2]
    assert stage.survey() == (E0,)


def test_the_arithmetic_counts_machines_and_what_further_parts_hold() -> None:
    stage = Stage(elastic=False)
    stage.places = {}
    stage.survey()
    del stage.machines[N2]
    stage.machines[N3] = MachineReport(N3, Hardware(N3, 8.0, 1 << 30, 2))
    stage.survey(after_s=TIMING.left_s + 1.0)
    stage.survey()
    assert stage.view.message == (
        "needs 8 GPUs and 1 CPUs free on each of 2 machines; "
        "1 here have as much in all, and the largest here has 8 GPUs and 8 CPUs in all"
    )
    assert not stage.fleet.can_serve("m", None, stage.now_s)
    stage.join(N2)
    stage.survey()
    assert stage.view.fits
    other = Stage(M, Model(id="small", source="s", gpus=1), elastic=False).seated()
    other.survey()
    other.survey()
    (_, small) = other.fleet.models.views({}, other.now_s)
    assert not small.fits  # both machines are full


def test_idle_engines_on_as_many_machines_as_are_missing_end_for_it() -> None:
    stage = with_small_ones(least=0)
    assert (stage.ordered(N1), stage.ordered(N2)) == ([S0], [S1])
    stage.survey(after_s=TIMING.seat_s)
    assert (stage.ordered(N1), stage.ordered(N2)) == ([], [])


def test_no_engine_ends_where_that_makes_not_enough_room() -> None:
    stage = with_small_ones(least=1)
    stage.survey(after_s=TIMING.seat_s)
    assert (stage.ordered(N1), stage.ordered(N2)) == ([S0], [S1])


def with_small_ones(least: int) -> Stage:
    """Another model has an engine on each of the two machines, of which so many have to stay; both have a job."""
    small = Model(id="small", source="s", gpus=1, cpus=1.0, replicas=Replicas(least, 2, target_jobs=1))
    stage = Stage(M, small, elastic=False)
    stage.places = {S0: (N1,), S1: (N2,)}
    for _ in range(2):
        stage.survey()
        stage.beat(N1, S0)
        stage.beat(N2, S1)
    return stage
