"""The fleet under changing load: engines come with the jobs, retire when there are fewer, and give way to others."""

from msgspec.structs import replace

from cluster.catalogue import Catalogue, Model, Replicas
from cluster.ids import EngineId, NodeId
from cluster.messages.machines import EngineOrder, EngineReport, EngineState, Hardware, ModelView, NodeReport
from cluster.timing import Timing
from tests.support.seats import SeatedFleet

N0, N1 = NodeId("node_0"), NodeId("node_1")
SLOTS = 8
WINDOW_S, SEAT_S = Timing().scaling_window_s, Timing().seat_s
ELASTIC = Model(
    id="m",
    source="s",
    gpus=1,
    cpus=1.0,
    replicas=Replicas(0, 4, idle_s=300, drain_s=30),
    engine={"max_num_seqs": SLOTS},
)


class Stage:
    """A fleet on machines that start what they are told to, and have it ready when they are asked the next time."""

    def __init__(self, *models: Model, gpus: int = 4, nodes: tuple[NodeId, ...] = (N0,)) -> None:
        self.fleet = SeatedFleet(Catalogue(models or (ELASTIC,)), (), 0.0)
        self.jobs: dict[str, int] = {}
        self.now_s = 0.0
        self.nodes = nodes
        self.gpus = gpus
        self.stuck: set[str] = set()
        self.beat()

    def wait(self, seconds: float = 0.5) -> None:
        """Time passes: the machines report, and what there is to be is planned."""
        self.now_s += seconds
        self.beat()
        self.fleet.plan(self.now_s, lambda model: self.jobs.get(model, 0))

    def beat(self) -> None:
        for node in self.nodes:
            engines = [self._engine(o.id, o.model, node) for o in self.orders(node)]
            hardware = Hardware("host", 8.0, 1 << 30, self.gpus)
            self.fleet.report(NodeReport(node, hardware, tuple(engines)), self.now_s, int(self.now_s * 1000))

    def _engine(self, engine_id: EngineId, model: str, node: NodeId) -> EngineReport:
        state: EngineState = "starting" if model in self.stuck else "ready"
        return EngineReport(engine_id, model, node, state, slots=SLOTS)

    def orders(self, node: NodeId) -> tuple[EngineOrder, ...]:
        return self.fleet.orders(node).engines if self.fleet.knows_node(node) else ()

    def running(self, model: str = "m") -> list[EngineId]:
        return [order.id for node in self.nodes for order in self.orders(node) if order.model == model]

    def view(self, model: str = "m") -> ModelView:
        return next(view for view in self.fleet.models.views(self.jobs, self.now_s) if view.id == model)


def test_a_model_without_jobs_runs_nothing_and_takes_jobs_all_the_same() -> None:
    stage = Stage()
    stage.wait()
    assert (stage.running(), stage.view().state, stage.view().wanted) == ([], "idle", 0)
    assert stage.fleet.can_serve("m", None, stage.now_s)
    assert not stage.fleet.can_serve("m", N0, stage.now_s)


def test_a_model_that_no_machine_is_large_enough_for_takes_no_jobs() -> None:
    stage = Stage(gpus=0)
    stage.wait()
    assert (stage.view().state, stage.fleet.can_serve("m", None, stage.now_s)) == ("idle", False)
    stage.gpus = 1
    stage.wait()
    assert stage.fleet.can_serve("m", None, stage.now_s)
    stage.fleet.drain(N0, True, stage.now_s)
    assert not stage.fleet.can_serve("m", None, stage.now_s)


def test_engines_come_with_the_jobs_and_go_when_there_are_fewer() -> None:
    stage = Stage()
    stage.wait()
    stage.jobs["m"] = 1
    stage.wait()
    assert (len(stage.running()), stage.view().state) == (1, "starting")
    stage.jobs["m"] = 3 * SLOTS
    stage.wait()
    stage.wait()
    assert (len(stage.running()), stage.view().state) == (3, "ready")
    stage.jobs["m"] = 1
    stage.wait(WINDOW_S - 1)
    assert len(stage.running()) == 3
    for _ in range(3):
        stage.wait(WINDOW_S)
    assert len(stage.running()) == 1
    stage.jobs["m"] = 0
    stage.wait(299.0)
    assert len(stage.running()) == 1
    (last,) = stage.running()
    stage.wait(2.0)
    assert (stage.running(), stage.view().state) == ([], "idle")
    # Its node has reported it once more before it heard.
    late = NodeReport(N0, Hardware("host", 8.0, 1 << 30, 4), (EngineReport(last, "m", N0, "ready", slots=SLOTS),))
    stage.fleet.report(late, stage.now_s, 0)
    assert stage.running() == []


def test_the_least_busy_engine_retires_and_ends_only_without_jobs() -> None:
    stage = Stage(replace(ELASTIC, replicas=Replicas(1, 4)))
    stage.jobs["m"] = 2 * SLOTS
    stage.wait()
    stage.wait()
    busy, less = (stage.fleet.replica(engine_id) for engine_id in stage.running())
    assert busy is not None and less is not None
    busy.assign("a", 10)
    busy.assign("b", 10)
    less.assign("c", 10)
    stage.jobs["m"] = 0
    stage.wait(2 * WINDOW_S)
    assert [less.retiring_since_s, busy.retiring_since_s] == [stage.now_s, None]
    assert not less.candidate().draining or stage.fleet.models.ranking("m").considered(None)[-1].engine_id == less.id
    stage.wait()
    assert set(stage.running()) == {busy.id, less.id}
    less.release("c")
    stage.wait()
    assert stage.running() == [busy.id]


def test_an_engine_that_retires_stays_when_there_is_work_again() -> None:
    stage = Stage()
    stage.jobs["m"] = 2 * SLOTS
    stage.wait()
    stage.wait()
    first, second = stage.running()
    for engine_id in (first, second):
        replica = stage.fleet.replica(engine_id)
        assert replica is not None
        replica.assign(f"job of {engine_id}", 10)
    stage.jobs["m"] = 0
    stage.wait(2 * WINDOW_S)
    retiring = [r for r in stage.fleet.replicas if r.retiring_since_s is not None]
    assert len(retiring) == 1
    stage.jobs["m"] = 2 * SLOTS
    stage.wait()
    assert all(r.retiring_since_s is None for r in stage.fleet.replicas)
    assert set(stage.running()) >= {first, second}


def test_what_a_retiring_engine_has_not_ended_in_time_goes_on_where_there_is_room() -> None:
    stage = Stage(nodes=(N0, N1), gpus=1)
    stage.jobs["m"] = 2 * SLOTS
    stage.wait()
    stage.wait()
    first, second = (stage.fleet.replica(engine_id) for engine_id in stage.running())
    assert first is not None and second is not None
    for number in range(3):
        first.assign(f"a{number}", 10)
        second.assign(f"b{number}", 10)
    stage.fleet.drain(first.node_id, True, stage.now_s)
    assert stage.fleet.overdue(stage.now_s + 29.5, 0) == []
    assert stage.fleet.overdue(stage.now_s + 30.0, 0) == [first]
    assert stage.fleet.models.free_slots("m") == SLOTS - 3
    for number in range(3):
        first.release(f"a{number}")
    assert stage.fleet.overdue(stage.now_s + 30.0, 0) == []


def test_a_node_is_known_to_have_heard_that_it_drains_when_it_says_so() -> None:
    fleet = SeatedFleet(Catalogue((ELASTIC,)), (), 0.0)

    def beat(draining: bool) -> None:
        fleet.report(NodeReport(N0, Hardware("host", 8.0, 1 << 30, 1), (), draining), 0.0, 0)

    assert fleet.has_told_of_draining(N0)
    beat(False)
    fleet.drain(N0, True, 0.0)
    assert not fleet.has_told_of_draining(N0)
    beat(False)
    assert fleet.orders(N0).draining and not fleet.has_told_of_draining(N0)
    beat(True)
    assert fleet.has_told_of_draining(N0)
    fleet.drain(N0, False, 1.0)
    beat(True)  # what it says is older than what it is told: it is not drained again
    assert not fleet.orders(N0).draining and not fleet.has_told_of_draining(N0)
    beat(False)
    assert fleet.has_told_of_draining(N0)
    fleet.drain(N0, True, 2.0)
    fleet.expire(Timing().offline_after_s)
    assert fleet.has_told_of_draining(N0)


def test_an_idle_engine_gives_way_to_a_model_that_has_jobs_and_no_room() -> None:
    other = replace(ELASTIC, id="n")
    stage = Stage(ELASTIC, other, gpus=1)
    stage.jobs["m"] = 1
    stage.wait()
    stage.wait()
    ready_s = stage.now_s
    (mine,) = stage.running("m")
    stage.jobs = {"n": 1}
    stage.wait()
    assert (stage.running("n"), stage.view("n").fits) == ([], False)
    assert "1 GPUs" in stage.view("n").message
    # Its jobs wait for that, and more may come.
    assert stage.fleet.without_room(stage.now_s + 30.0, 10.0) == []
    assert stage.fleet.can_serve("n", None, stage.now_s)
    stage.wait(ready_s + SEAT_S - stage.now_s)
    assert (stage.running("m"), stage.running("n")) == ([], [])  # what it booked is not free before it has ended
    stage.wait()
    assert len(stage.running("n")) == 1
    assert stage.view("n").fits
    assert stage.view("m").state == "idle"
    assert stage.fleet.replica(mine) is None


def test_an_engine_gives_way_neither_with_jobs_nor_where_it_is_the_last_that_has_to_be() -> None:
    kept = replace(ELASTIC, id="kept", replicas=Replicas(1, 1))
    busy = replace(ELASTIC, id="busy")
    stage = Stage(ELASTIC, kept, busy, gpus=2)
    stage.jobs["busy"] = 1
    stage.wait()
    stage.wait()
    (engine_id,) = stage.running("busy")
    replica = stage.fleet.replica(engine_id)
    assert replica is not None
    replica.assign("a", 10)
    stage.jobs = {"m": 1}
    stage.wait(2 * SEAT_S)
    assert (stage.running("m"), len(stage.running("kept")), len(stage.running("busy"))) == ([], 1, 1)
    # The busy one's is not needed for ever, so that who waits goes on waiting.
    assert stage.fleet.without_room(stage.now_s + 30.0, 10.0) == []


def test_nobody_waits_for_the_place_of_an_engine_that_has_to_stay() -> None:
    stage = Stage(replace(ELASTIC, id="kept", replicas=Replicas(1, 1)), ELASTIC, gpus=1)
    stage.wait()
    stage.jobs = {"m": 1}
    stage.wait()
    assert not stage.fleet.can_serve("m", None, stage.now_s)
    assert stage.fleet.without_room(stage.now_s + 30.0, 10.0) == ["m"]


def test_a_model_that_fitted_nowhere_takes_jobs_again_when_there_is_room() -> None:
    stage = Stage(gpus=0)
    stage.jobs["m"] = 1
    stage.wait()
    assert not stage.fleet.can_serve("m", None, stage.now_s)
    stage.jobs["m"] = 0
    stage.wait(301.0)
    assert not stage.fleet.can_serve("m", None, stage.now_s)
    stage.gpus = 1
    stage.wait()
    assert stage.fleet.can_serve("m", None, stage.now_s)
    assert (stage.view().fits, stage.view().state) == (True, "idle")


def test_a_model_that_failed_to_start_takes_jobs_again_when_it_may_be_tried_again() -> None:
    fleet = SeatedFleet(Catalogue((ELASTIC,)), (), 0.0)
    jobs = {"m": 1}

    def beat(now_s: float, *engines: EngineReport) -> None:
        report = NodeReport(N0, Hardware("host", 8.0, 1 << 30, 1), engines)
        for engine_id in fleet.report(report, now_s, int(now_s * 1000)).lost:
            fleet.drop(engine_id)
        fleet.plan(now_s, lambda model: jobs.get(model, 0))

    now_s = 0.0
    beat(now_s)
    for _ in range(2):
        (order,) = fleet.orders(N0).engines
        now_s += 20.0
        beat(now_s, EngineReport(order.id, "m", N0, "failed", "no kernel"))
        now_s += 20.0
        beat(now_s)
    (order,) = fleet.orders(N0).engines
    beat(now_s, EngineReport(order.id, "m", N0, "failed", "no kernel"))
    jobs["m"] = 0
    beat(now_s + 0.5)
    assert fleet.models.views({}, 0.0)[0].state == "failed"
    assert not fleet.can_serve("m", None, now_s)
    beat(now_s + 301.0)
    assert fleet.models.views({}, 0.0)[0].wanted == 0
    assert fleet.can_serve("m", None, now_s + 301.0)


def test_a_scheduler_that_begins_anew_keeps_the_engines_that_there_may_be() -> None:
    existing = [EngineId(f"m/{number}") for number in range(3)]
    fleet = SeatedFleet(Catalogue((ELASTIC,)), existing, 0.0)
    engines = tuple(EngineReport(engine_id, "m", N0, "ready", slots=SLOTS) for engine_id in existing)
    fleet.report(NodeReport(N0, Hardware("host", 8.0, 1 << 30, 4), engines), 0.0, 0)
    fleet.plan(0.5, lambda model: 0)
    assert [order.id for order in fleet.orders(N0).engines] == existing
    assert fleet.models.views({}, 0.0)[0].wanted == 3


def test_a_model_that_starts_is_not_without_room_though_more_of_it_would_be() -> None:
    two = replace(ELASTIC, replicas=Replicas(2, 2))
    stage = Stage(two, gpus=1)
    stage.stuck.add("m")
    stage.wait()
    stage.wait(60.0)
    assert (len(stage.running()), stage.view().state, stage.view().fits) == (1, "starting", False)
    assert stage.fleet.without_room(stage.now_s, 10.0) == []
