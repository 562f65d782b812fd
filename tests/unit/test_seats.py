"""Seats on machines that come and go: asked for, found, taken, given up, and found again by a new Scheduler."""

from msgspec.structs import replace

from cluster.catalogue import Catalogue, Model, Replicas
from cluster.fleet.fleet import Fleet
from cluster.fleet.makes import make_of
from cluster.ids import EngineId, NodeId
from cluster.messages.machines import EngineReport, Hardware, ModelView, NodeReport, NodeView
from cluster.messages.seats import ClusterReport, MachineReport, SeatReport
from cluster.timing import Timing

HEAD, N1, N2 = NodeId("node_head"), NodeId("node_1"), NodeId("node_2")
E0, E1, E2 = EngineId("m/0"), EngineId("m/1"), EngineId("m/2")
LABELS = {"tier": "spot"}
M = Model(id="m", source="s", gpus=1, cpus=1.0, replicas=Replicas(0, 3, target_jobs=1), labels=LABELS)
TIMING = Timing()


class Stage:
    """An elastic cluster, of which each test says what Ray would. `jobs` is how many wait."""

    def __init__(self, *models: Model, existing: tuple[EngineId, ...] = ()) -> None:
        self.model = (models or (M,))[0]
        self.fleet = Fleet(Catalogue(models or (M,)), existing, 0.0, TIMING)
        self.machines = {HEAD: MachineReport(HEAD, Hardware("head", 2.0, 1 << 30))}
        self.places: dict[EngineId, NodeId | None] = {}
        self.hopeless: set[EngineId] = set()
        self.jobs = 0
        self.now_s = 0.0

    def join(self, node_id: NodeId, gpus: int = 1) -> None:
        self.machines[node_id] = MachineReport(
            node_id, Hardware(node_id, 8.0, 1 << 30, gpus), stays=False, labels=LABELS
        )

    def survey(self, after_s: float = 1.0) -> tuple[EngineId, ...]:
        """The cluster tells, and what there is to be is planned. Returns the engines that are lost by that."""
        self.now_s += after_s
        for engine_id in self.fleet.unwanted_seats():
            self.places.pop(engine_id, None)
        for order in self.fleet.seat_orders():
            self.places.setdefault(order.engine_id, None)
        made_of = make_of(self.model).fingerprint
        seats = tuple(SeatReport(each, place, each in self.hopeless, made_of) for each, place in self.places.items())
        report = ClusterReport(tuple(self.machines.values()), seats, elastic=True)
        lost = self.fleet.survey(report, self.now_s, self.now_ms).lost
        for engine_id in lost:
            self.fleet.drop(engine_id)
        self.fleet.plan(self.now_s, lambda model: self.jobs)
        return lost

    def beat(self, node_id: NodeId, *engines: EngineId, ending: tuple[EngineId, ...] = (), **more: bool) -> None:
        reports = tuple(EngineReport(each, "m", node_id, "ready", slots=1) for each in engines)
        hardware = self.machines[node_id].hardware
        change = self.fleet.report(
            NodeReport(node_id, hardware, reports, ending=ending, **more), self.now_s, self.now_ms
        )
        for engine_id in change.lost:
            self.fleet.drop(engine_id)
        self.fleet.plan(self.now_s, lambda model: self.jobs)

    def seated(self) -> "Stage":
        """One engine is ready on a machine that came for it."""
        self.jobs = 1
        self.survey()
        self.survey()
        self.join(N1)
        self.places[E0] = N1
        self.survey()
        self.beat(N1)
        self.beat(N1, E0)
        return self

    @property
    def now_ms(self) -> int:
        return round(self.now_s * 1000)

    @property
    def view(self) -> ModelView:
        return self.fleet.models.views({}, self.now_s)[0]

    def node(self, node_id: NodeId) -> NodeView:
        return next(view for view in self.fleet.node_views() if view.id == node_id)

    def ordered(self, node_id: NodeId) -> list[EngineId]:
        return [order.id for order in self.fleet.orders(node_id).engines]

    def asked(self) -> list[EngineId]:
        return [order.engine_id for order in self.fleet.seat_orders()]


def test_a_job_asks_for_a_seat_with_what_its_model_needs() -> None:
    stage = Stage()
    stage.survey()
    assert (stage.asked(), stage.view.state) == ([], "idle")
    assert stage.fleet.can_serve("m", None, stage.now_s)  # machines come for it
    assert stage.fleet.has_looked_for_room
    stage.jobs = 2
    stage.survey()
    assert not stage.fleet.has_looked_for_room
    first, second = stage.fleet.seat_orders()
    assert (first.engine_id, second.engine_id) == (E0, E1)
    assert (first.gpus, first.cpus, first.labels, first.avoided) == (1, 1.0, {"tier": "spot"}, ())
    assert (stage.view.state, stage.view.starting) == ("starting", "waits for a machine, for 0 s now")
    stage.survey(after_s=30.0)
    assert stage.view.starting == "waits for a machine, for 30 s now"
    assert stage.fleet.has_looked_for_room
    assert stage.fleet.models.starting() == [M]  # which does not count toward its jobs' time
    assert stage.fleet.without_room(stage.now_s + 60.0, 10.0) == []


def test_a_machine_that_comes_is_idle_until_its_node_is_heard_and_then_has_the_engine() -> None:
    stage = Stage()
    stage.jobs = 1
    stage.survey()
    stage.survey()
    stage.join(N1)
    stage.places[E0] = N1
    stage.survey()
    assert (stage.node(N1).status, stage.view.starting) == (
        "idle",
        "its machine has come; the node there is being started",
    )
    assert stage.ordered(N1) == []
    stage.beat(N1)
    assert (stage.node(N1).status, stage.ordered(N1)) == ("online", [E0])
    assert (stage.asked(), stage.fleet.unwanted_seats()) == ([], [])
    stage.beat(N1, E0)
    assert (stage.view.state, stage.view.starting) == ("ready", "")


def test_a_seat_stays_until_nothing_of_its_engine_is_left() -> None:
    stage = Stage().seated()
    stage.jobs = 0
    stage.survey(after_s=M.replicas.idle_s + 1.0)
    assert stage.ordered(N1) == []
    stage.beat(N1, E0)  # it has not heard of that yet
    stage.survey()
    assert stage.fleet.unwanted_seats() == []
    stage.beat(N1, ending=(E0,))
    stage.survey()
    assert stage.fleet.unwanted_seats() == []
    stage.beat(N1, complete=False)
    assert stage.fleet.unwanted_seats() == []
    stage.beat(N1)
    assert stage.fleet.unwanted_seats() == [E0]
    assert stage.fleet.wants_survey
    stage.survey()
    assert (stage.places, stage.fleet.wants_survey) == ({}, False)


def test_the_seat_of_an_engine_that_died_makes_room_for_the_next() -> None:
    stage = Stage().seated()
    stage.beat(N1, ending=(E0,))
    assert (stage.asked(), stage.fleet.unwanted_seats()) == ([E1], [])
    stage.beat(N1)
    assert stage.fleet.unwanted_seats() == [E0]


def test_with_a_machine_go_its_engines_and_its_seats_at_once() -> None:
    stage = Stage().seated()
    stage.places[E0] = None  # Ray looks for another machine for it
    del stage.machines[N1]
    assert stage.survey() == (E0,)
    assert stage.fleet.unwanted_seats() == [E0]
    assert stage.asked() == [E1]
    assert stage.node(N1).status == "offline"
    stage.survey(after_s=TIMING.left_s + 1.0)
    assert [node.id for node in stage.fleet.node_views()] == [HEAD]


def test_a_machine_that_comes_back_takes_the_place_of_what_it_was() -> None:
    stage = Stage().seated()
    host = stage.machines.pop(N1)
    stage.survey()
    stage.machines[N2] = replace(host, node_id=N2)
    stage.survey()
    assert {node.id: node.status for node in stage.fleet.node_views()} == {HEAD: "idle", N2: "idle"}


def test_a_machine_that_a_look_of_before_it_came_does_not_have_is_not_gone() -> None:
    stage = Stage()
    stage.jobs = 1
    stage.survey()
    machine = MachineReport(N1, Hardware("worker", 8.0, 1 << 30, 1), stays=False)
    report = NodeReport(N1, machine.hardware, (EngineReport(E0, "m", N1, "ready", slots=1),))
    stage.fleet.report(report, stage.now_s, stage.now_ms)
    assert stage.survey() == ()
    assert stage.node(N1).status == "online"


def test_seats_that_wait_are_given_up_when_the_jobs_have_gone() -> None:
    stage = Stage()
    stage.jobs = 3
    stage.survey()
    stage.survey()
    assert set(stage.places) == {E0, E1, E2}
    stage.hopeless = {E1, E2}
    stage.jobs = 0
    stage.survey(after_s=M.replicas.idle_s + 1.0)
    assert set(stage.fleet.unwanted_seats()) == set()  # the one that may still come holds the others
    stage.hopeless = {E0, E1, E2}
    stage.survey()
    assert set(stage.fleet.unwanted_seats()) == {E0, E1, E2}
    assert stage.view.state == "idle"


def test_what_no_machine_is_for_is_told_with_its_arithmetic() -> None:
    stage = Stage(replace(M, gpus=8))
    stage.jobs = 1
    stage.survey()
    stage.survey()
    stage.hopeless = {E0}
    stage.survey()
    assert stage.view.message == (
        "needs 8 GPUs and 1 CPUs free on one machine with the labels tier: spot; none here has them"
    )
    stage.join(N1)
    stage.survey()
    assert stage.view.message == (
        "needs 8 GPUs and 1 CPUs free on one machine; the largest here has 1 GPUs and 8 CPUs in all"
    )
    assert (stage.view.state, stage.view.fits) == ("failed", False)
    assert stage.fleet.without_room(stage.now_s + 11.0, 10.0) == ["m"]
    assert not stage.fleet.can_serve("m", None, stage.now_s)
    stage.hopeless = set()  # an administrator has added a kind of machine
    stage.survey()
    assert (stage.view.state, stage.fleet.without_room(stage.now_s + 11.0, 10.0)) == ("starting", [])


def test_what_somebody_else_holds_is_told_after_a_while() -> None:
    stage = Stage()
    stage.join(N1)
    stage.jobs = 1
    stage.survey()
    stage.hopeless = {E0}
    stage.survey()
    assert (stage.view.fits, stage.fleet.can_serve("m", None, stage.now_s)) == (True, True)
    stage.survey(after_s=TIMING.room_s)
    assert stage.view.message == (
        "needs 1 GPUs and 1 CPUs free on one machine, and something else than models holds them"
    )
    assert not stage.fleet.can_serve("m", None, stage.now_s)


def test_a_new_scheduler_finds_the_seats_of_the_one_before_it() -> None:
    before = Stage().seated()
    before.jobs = 2
    before.survey()
    before.survey()
    assert before.places == {E0: N1, E1: None}
    stage = Stage(existing=(E0,))
    stage.jobs, stage.places = 2, dict(before.places)
    stage.join(N1)
    stage.survey()
    stage.beat(N1, E0)
    stage.survey()
    assert (stage.asked(), stage.ordered(N1)) == ([E1], [E0])
    stage.join(N2)
    stage.places[E1] = N2
    stage.survey()
    stage.beat(N2)
    assert stage.ordered(N2) == [E1]
    stage.jobs = 3
    stage.survey()
    assert stage.asked() == [E2]


def test_a_new_scheduler_keeps_no_seat_of_an_engine_that_is_gone_or_of_a_model_that_is_no_more() -> None:
    stage = Stage(existing=(E0,))
    stage.join(N1)
    stage.places = {E0: N1, EngineId("old/0"): N1}
    stage.survey()
    assert stage.fleet.unwanted_seats() == ["old/0"]
    stage.survey(after_s=TIMING.settle_s)
    stage.beat(N1)
    assert set(stage.fleet.unwanted_seats()) == {"m/0"}


def test_a_machine_that_is_about_to_be_taken_away_gets_no_work_and_its_jobs_leave_in_time() -> None:
    stage = Stage().seated()
    replica = stage.fleet.replica(E0)
    assert replica is not None
    replica.assign("a job", 10)
    stage.jobs = 0
    leaves_at_ms = stage.now_ms + 25_000
    stage.machines[N1] = replace(stage.machines[N1], leaves_at_ms=leaves_at_ms)
    stage.survey()
    assert stage.node(N1).status == "draining"
    (instead,) = stage.fleet.seat_orders()
    assert (instead.engine_id, instead.avoided) == (E1, (N1,))
    assert stage.fleet.overdue(stage.now_s, leaves_at_ms - 10_001) == []
    assert stage.fleet.overdue(stage.now_s, leaves_at_ms - 10_000) == [replica]


def test_a_seat_on_a_drained_machine_is_given_up_and_one_that_avoids_a_machine_that_works_again_too() -> None:
    stage = Stage()
    stage.join(N1)
    stage.survey()
    stage.fleet.drain(N1, True, stage.now_s)
    stage.jobs = 1
    stage.survey()
    assert [order.avoided for order in stage.fleet.seat_orders()] == [(N1,)]
    stage.fleet.drain(N1, False, stage.now_s)
    stage.survey()
    (again,) = stage.fleet.seat_orders()
    assert (again.engine_id, again.avoided) == (E1, ())
    stage.fleet.drain(N1, True, stage.now_s)
    stage.places[E1] = N1  # it was placed at the same moment
    stage.survey()
    stage.survey()
    assert [order.avoided for order in stage.fleet.seat_orders()] == [(N1,)]
    assert E1 not in stage.asked()


def test_engines_that_book_nothing_are_only_where_machines_stay() -> None:
    stage = Stage(replace(M, gpus=0, cpus=0.0))
    stage.join(N1)
    stage.survey()
    stage.beat(HEAD)
    stage.beat(N1)
    stage.jobs = 3
    stage.survey()
    assert (len(stage.ordered(HEAD)), stage.ordered(N1), stage.asked()) == (3, [], [])


def test_a_seat_that_was_asked_for_with_other_settings_is_given_up() -> None:
    before = Stage()
    before.jobs = 1
    before.survey()
    before.survey()
    assert before.places == {E0: None}
    stage = Stage()
    stage.model = replace(M, gpus=2)
    stage.jobs, stage.places = 1, dict(before.places)
    stage.survey()
    assert stage.fleet.unwanted_seats() == [E0]
    assert stage.asked() == [E1]
