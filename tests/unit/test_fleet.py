"""The fleet: which engines there ought to be, where there is room, and what is made of what nodes report."""

from msgspec.structs import replace

from cluster.catalogue import Catalogue, Model, Replicas
from cluster.fleet.backoff import FIRST_BACKOFF_S, LONGEST_BACKOFF_S
from cluster.fleet.fleet import Change
from cluster.ids import EngineId, NodeId
from cluster.messages.machines import EngineOrder, EngineReport, EngineState, Hardware, ModelView, NodeReport
from cluster.messages.placements import RuledOut
from cluster.placement import Candidate
from cluster.queue import LaneId
from cluster.timing import Timing
from tests.support.seats import SeatedFleet

N0, N1 = NodeId("node_0"), NodeId("node_1")
E0, E1, E2 = EngineId("m/0"), EngineId("m/1"), EngineId("m/2")
M = Model(id="m", source="s", gpus=1, cpus=1.0)


def no_jobs(model: str) -> int:
    return 0


OFFLINE_AFTER_S, SETTLE_S = Timing().offline_after_s, Timing().settle_s


def fleet(*models: Model, existing: tuple[EngineId, ...] = (), now_s: float = 0.0) -> SeatedFleet:
    return SeatedFleet(Catalogue(models or (M,)), existing, now_s)


def engine(
    engine_id: EngineId, state: EngineState = "ready", node: NodeId = N0, model: str = "m", message: str = ""
) -> EngineReport:
    return EngineReport(engine_id, model, node, state, message, slots=4, context_length=128)


def heartbeat(
    fleet: SeatedFleet, node: NodeId, *engines: EngineReport, now_s: float = 0.0, gpus: int = 1, cpus: float = 8.0
) -> Change:
    report = NodeReport(node, Hardware("host", cpus, 1 << 30, gpus), engines)
    return fleet.report(report, now_s, int(now_s * 1000))


def orders(fleet: SeatedFleet, *nodes: NodeId) -> list[EngineOrder]:
    return [order for node in nodes or (N0,) if fleet.knows_node(node) for order in fleet.orders(node).engines]


def view(fleet: SeatedFleet, model: str = "m") -> ModelView:
    return next(view for view in fleet.models.views({}, 0.0) if view.id == model)


def candidate(fleet: SeatedFleet, engine_id: EngineId = E0) -> Candidate:
    replica = fleet.replica(engine_id)
    assert replica is not None
    return replica.candidate()


def reasons(fleet: SeatedFleet, model: str = "m") -> dict[EngineId, RuledOut | None]:
    """What the ranking rules each engine of this model out by."""
    return {verdict.engine_id: verdict.ruled_out_by for verdict in fleet.models.ranking(model).considered(None)}


def test_the_missing_engines_are_ordered_where_there_is_room() -> None:
    subject = fleet(replace(M, replicas=Replicas(2, 2)))
    subject.plan(0.0, no_jobs)
    assert orders(subject) == []  # no machine yet
    heartbeat(subject, N0)
    heartbeat(subject, N1)
    subject.plan(0.0, no_jobs)
    assert [len(subject.orders(node).engines) for node in (N0, N1)] == [1, 1]
    subject.plan(0.0, no_jobs)
    assert {order.id for order in orders(subject, N0, N1)} == {E0, E1}


def test_gpus_and_cpus_that_are_held_are_not_given_out_twice() -> None:
    subject = fleet(M, Model(id="small", source="s", gpus=0, cpus=7.5), Model(id="tiny", source="s", gpus=0, cpus=7.0))
    heartbeat(subject, N0, gpus=1, cpus=8.0)
    subject.plan(0.0, no_jobs)
    assert [order.model for order in orders(subject)] == ["m", "tiny"]
    assert not view(subject, "small").fits


def test_no_room_says_what_is_needed_and_what_there_is() -> None:
    subject = fleet(replace(M, gpus=2, cpus=1.5))
    heartbeat(subject, N0, gpus=1, cpus=8.0)
    subject.plan(10.0, no_jobs)
    told = view(subject)
    assert (told.fits, told.state) == (False, "failed")
    assert told.message == (
        "needs 2 GPUs and 1.5 CPUs free on one machine; the largest here has 1 GPUs and 8 CPUs in all"
    )
    assert subject.without_room(19.0, 10.0) == []
    assert subject.without_room(20.5, 10.0) == ["m"]


def test_room_that_comes_later_is_taken() -> None:
    subject = fleet()
    heartbeat(subject, N0, gpus=0)
    subject.plan(0.0, no_jobs)
    heartbeat(subject, N1, gpus=1)
    subject.plan(1.0, no_jobs)
    assert orders(subject, N1) == [EngineOrder(E0, "m")]
    assert (view(subject).fits, view(subject).state) == (True, "starting")
    assert subject.without_room(100.0, 10.0) == []


def test_an_adopted_engine_that_starts_has_found_room() -> None:
    subject = fleet()
    heartbeat(subject, N0, gpus=0)
    subject.plan(0.0, no_jobs)
    heartbeat(subject, N1, engine(E0, "starting", node=N1))
    subject.plan(1.0, no_jobs)
    assert (view(subject).fits, view(subject).state) == (True, "starting")
    assert subject.without_room(100.0, 10.0) == []


def test_an_engine_becomes_ready_once() -> None:
    subject = fleet()
    heartbeat(subject, N0)
    subject.plan(0.0, no_jobs)
    assert heartbeat(subject, N0, engine(E0, "starting")) == Change()
    assert not candidate(subject).ready
    assert not subject.models.serves("m")
    assert heartbeat(subject, N0, engine(E0)) == Change(ready=(engine(E0),))
    assert heartbeat(subject, N0, engine(E0)) == Change()
    seen = candidate(subject)
    assert (seen.engine_id, seen.slots, seen.running, seen.online) == (E0, 4, 0, True)
    told = view(subject)
    assert (told.state, told.nodes, told.replicas, told.context_length) == ("ready", 1, 1, 128)


def test_an_engine_that_vanishes_is_lost() -> None:
    subject = fleet()
    heartbeat(subject, N0)
    subject.plan(0.0, no_jobs)
    assert heartbeat(subject, N0) == Change()  # ordered, not yet started
    heartbeat(subject, N0, engine(E0))
    assert heartbeat(subject, N0).lost == (E0,)


def test_a_failed_engine_keeps_its_reason_and_is_tried_again_later_and_later() -> None:
    subject = fleet()
    heartbeat(subject, N0)
    now_s, waits = 0.0, [FIRST_BACKOFF_S * 2**n for n in range(6)] + [LONGEST_BACKOFF_S] * 2
    for number, wait_s in enumerate(waits):
        subject.plan(now_s, no_jobs)
        engine_id = EngineId(f"m/{number}")
        assert orders(subject) == [EngineOrder(engine_id, "m")]
        failed = engine(engine_id, "failed", message=f"out of memory {number}")
        assert heartbeat(subject, N0, failed, now_s=now_s).lost == (engine_id,)
        subject.drop(engine_id)
        assert heartbeat(subject, N0, failed, now_s=now_s) == Change()
        assert (view(subject).state, view(subject).message) == ("failed", f"out of memory {number}")
        heartbeat(subject, N0, now_s=now_s)  # its process has ended: its seat may be another's
        subject.plan(now_s + wait_s - 0.1, no_jobs)
        assert orders(subject) == []
        now_s += wait_s


def test_an_engine_that_comes_up_ends_the_backoff() -> None:
    subject = fleet()
    heartbeat(subject, N0)
    subject.plan(0.0, no_jobs)
    heartbeat(subject, N0, engine(E0, "failed", message="no"))
    subject.drop(E0)
    heartbeat(subject, N0)
    subject.plan(FIRST_BACKOFF_S, no_jobs)
    heartbeat(subject, N0, engine(E1), now_s=6.0)
    assert view(subject).message == ""
    heartbeat(subject, N0, now_s=7.0)
    subject.drop(E1)
    subject.plan(7.0, no_jobs)
    assert orders(subject) == [EngineOrder(E2, "m")]


def test_after_a_restart_engines_are_adopted_before_new_ones_are_made() -> None:
    subject = fleet(existing=(E0, E1), now_s=100.0)
    heartbeat(subject, N0, engine(E1), now_s=101.0)
    subject.plan(101.0, no_jobs)
    assert orders(subject) == [EngineOrder(E1, "m")]
    assert not subject.settled(101.0)
    heartbeat(subject, N1, engine(E0, node=N1), now_s=102.0)
    assert subject.settled(102.0)
    assert orders(subject, N0, N1) == [EngineOrder(E1, "m")]  # one more than is wanted


def test_engines_that_do_not_come_back_are_replaced_in_time() -> None:
    subject = fleet(existing=(EngineId("m/7"),), now_s=100.0)
    heartbeat(subject, N0, now_s=101.0)
    subject.plan(100.0 + SETTLE_S - 0.1, no_jobs)
    assert orders(subject) == []
    assert subject.can_serve("m", None, 101.0)
    subject.plan(100.0 + SETTLE_S, no_jobs)
    assert orders(subject) == [EngineOrder(EngineId("m/8"), "m")]


def test_a_starting_engine_is_adopted_and_a_failed_or_foreign_one_is_not() -> None:
    subject = fleet()
    heartbeat(subject, N0, engine(E0, "failed"), engine(E1, model="gone"), engine(E2, "stopped"))
    assert orders(subject) == []
    heartbeat(subject, N0, engine(EngineId("m/3"), "starting"))
    assert orders(subject) == [EngineOrder(EngineId("m/3"), "m")]


def test_a_dead_engine_is_never_adopted() -> None:
    subject = fleet()
    heartbeat(subject, N0)
    subject.plan(0.0, no_jobs)
    heartbeat(subject, N0, engine(E0))
    subject.never_adopt(E0)
    assert subject.drop(E0) is not None
    assert heartbeat(subject, N0, engine(E0)) == Change()
    assert orders(subject) == []
    subject.plan(0.0, no_jobs)
    assert orders(subject) == []  # what it booked is not free before its node has ended it
    heartbeat(subject, N0)
    subject.plan(0.0, no_jobs)
    assert orders(subject) == [EngineOrder(E1, "m")]


def test_a_dropped_engine_that_is_heard_of_again_is_adopted() -> None:
    subject = fleet()
    heartbeat(subject, N0)
    subject.plan(0.0, no_jobs)
    heartbeat(subject, N0, engine(E0))
    subject.drop(E0)
    assert heartbeat(subject, N0, engine(E0)).ready == (engine(E0),)
    assert orders(subject) == [EngineOrder(E0, "m")]


def test_ids_are_never_used_twice() -> None:
    subject = fleet()
    heartbeat(subject, N0)
    seen = []
    for _ in range(5):
        subject.plan(0.0, no_jobs)
        (order,) = orders(subject)
        seen.append(order.id)
        subject.never_adopt(order.id)
        subject.drop(order.id)
        heartbeat(subject, N0)
    assert len(set(seen)) == 5
    later = fleet(existing=tuple(seen))
    heartbeat(later, N0)
    later.plan(SETTLE_S, no_jobs)
    assert orders(later)[0].id not in seen


def test_the_number_of_an_adopted_engine_is_not_used_again() -> None:
    subject = fleet(replace(M, replicas=Replicas(2, 2)))
    heartbeat(subject, N0, engine(E0), gpus=2)
    subject.plan(0.0, no_jobs)
    assert [order.id for order in orders(subject)] == [E0, E1]


def test_a_silent_node_is_offline_and_its_engines_are_lost() -> None:
    subject = fleet()
    heartbeat(subject, N0, engine(E0), now_s=0.0)
    assert subject.expire(OFFLINE_AFTER_S - 0.1) == Change()
    assert subject.online(N0)
    assert subject.expire(OFFLINE_AFTER_S).lost == (E0,)
    assert not subject.online(N0)
    assert subject.knows_node(N0)
    assert [(node.id, node.status) for node in subject.node_views()] == [(N0, "offline")]
    assert view(subject).nodes == 0
    subject.drop(E0)
    subject.plan(OFFLINE_AFTER_S, no_jobs)
    assert orders(subject) == []  # an offline machine has no room
    assert heartbeat(subject, N0, engine(E0), now_s=20.0).ready == (engine(E0),)
    assert subject.online(N0)


def test_what_an_engine_works_on_is_counted() -> None:
    subject = fleet()
    heartbeat(subject, N0, engine(E0))
    replica = subject.replica(E0)
    assert replica is not None
    replica.assign("a", 100)
    replica.assign("b", 50)
    assert (candidate(subject).running, candidate(subject).assigned_tokens) == (2, 150)
    replica.release("a")
    replica.release("a")
    assert (candidate(subject).running, candidate(subject).assigned_tokens) == (1, 50)


def test_what_can_be_served() -> None:
    subject = fleet()
    assert subject.can_serve("m", None, 0.0)  # nobody has reported yet
    assert not subject.can_serve("m", N0, 0.0)
    heartbeat(subject, N0, gpus=0)
    subject.plan(0.0, no_jobs)
    assert not subject.can_serve("m", None, 0.0)
    heartbeat(subject, N1, gpus=1)
    subject.plan(0.0, no_jobs)
    assert subject.can_serve("m", None, 0.0)
    assert subject.can_serve("m", N1, 0.0)
    assert not subject.can_serve("m", N0, 0.0)


def test_a_model_whose_engine_failed_once_is_counted_on_and_one_that_fails_again_is_not() -> None:
    subject = fleet()
    heartbeat(subject, N0)
    subject.plan(0.0, no_jobs)
    heartbeat(subject, N0, engine(E0))
    subject.drop(E0)
    heartbeat(subject, N0)
    subject.plan(1.0, no_jobs)
    heartbeat(subject, N0, engine(E1, "failed", message="its memory is not free yet"), now_s=1.0)
    subject.drop(E1)
    heartbeat(subject, N0, now_s=1.0)
    assert subject.can_serve("m", None, 1.0)  # until it is started again
    subject.plan(1.0 + FIRST_BACKOFF_S, no_jobs)
    assert orders(subject) == [EngineOrder(E2, "m")]
    assert subject.can_serve("m", None, 7.0)
    heartbeat(subject, N0, engine(E2, "failed", message="its memory is not free yet"), now_s=7.0)
    subject.drop(E2)
    assert not subject.can_serve("m", None, 7.0)
    subject.plan(100.0, no_jobs)
    assert not subject.can_serve("m", None, 100.0)
    heartbeat(subject, N0, engine(EngineId("m/3")), now_s=100.0)
    assert subject.can_serve("m", None, 100.0)


def test_a_model_whose_engine_failed_and_finds_no_room_any_more_is_not_counted_on() -> None:
    subject = fleet()
    heartbeat(subject, N0)
    subject.plan(0.0, no_jobs)
    heartbeat(subject, N0, engine(E0, "failed"), now_s=1.0)
    subject.drop(E0)
    heartbeat(subject, N0, gpus=0, now_s=20.0)
    subject.plan(20.0, no_jobs)
    assert not subject.can_serve("m", None, 20.0)


def test_a_report_that_is_not_complete_loses_no_engine() -> None:
    subject = fleet()
    heartbeat(subject, N0, engine(E0))
    report = NodeReport(N0, Hardware("host", 8.0, 1 << 30, 1), (), complete=False)
    assert subject.report(report, 1.0, 1000).lost == ()
    assert heartbeat(subject, N0, now_s=2.0).lost == (E0,)


def test_an_engine_that_cannot_be_reached_is_ruled_out_until_it_can() -> None:
    subject = fleet()
    heartbeat(subject, N0, engine(E0))
    replica = subject.replica(E0)
    assert replica is not None
    replica.note_unreached(1.0)
    replica.note_unreached(2.0)
    assert (reasons(subject), replica.unreached_since_s) == ({E0: "cannot be reached"}, 1.0)
    assert subject.unreached() == [replica]
    replica.note_reached()
    assert (reasons(subject), subject.unreached()) == ({E0: None}, [])


def test_a_suspect_goes_to_an_engine_that_has_none() -> None:
    subject = fleet(replace(M, replicas=Replicas(2, 2)))
    heartbeat(subject, N0, engine(E0))
    heartbeat(subject, N1, engine(E1, node=N1))
    first, second = subject.replica(E0), subject.replica(E1)
    assert first is not None and second is not None
    suspects = LaneId("m", suspect=True)
    assert subject.best(suspects) is first
    first.assign("a", 10, suspect=True)
    second.assign("b", 1000)
    assert subject.best(suspects) is second
    assert subject.best(LaneId("m")) is first  # which others may share with it
    assert subject.best(LaneId("m", N0, suspect=True)) is None
    second.assign("c", 10, suspect=True)
    assert subject.best(suspects) is None
    verdicts = subject.models.ranking("m").considered(None, suspect=True)
    assert {verdict.ruled_out_by for verdict in verdicts} == {"has a suspect"}
    first.release("a")
    assert subject.best(suspects) is first


def test_a_drained_node_ends_what_it_has_and_is_replaced_elsewhere() -> None:
    subject = fleet()
    heartbeat(subject, N0)
    heartbeat(subject, N0, engine(E0))
    subject.plan(0.0, no_jobs)
    heartbeat(subject, N0, engine(E0))
    replica = subject.replica(E0)
    assert replica is not None
    replica.assign("job", 10)
    subject.drain(N0, True, 0.0)
    assert not subject.can_serve("m", None, 0.0)
    heartbeat(subject, N1)
    subject.plan(0.0, no_jobs)
    assert [node.status for node in subject.node_views()] == ["draining", "online"]
    assert orders(subject, N0) == [EngineOrder(E0, "m")]
    assert orders(subject, N1) == [EngineOrder(E1, "m")]
    assert subject.can_serve("m", None, 0.0)
    assert not subject.can_serve("m", N0, 0.0)
    assert [candidate(subject, engine_id).draining for engine_id in (E0, E1)] == [True, False]
    replica.release("job")
    subject.plan(0.0, no_jobs)
    assert orders(subject, N0) == []
    assert subject.orders(N0).draining


def test_a_node_that_says_it_is_being_drained_is_believed() -> None:
    subject = fleet()
    subject.report(NodeReport(N0, Hardware("host", 8.0, 1 << 30, 1), (), draining=True), 0.0, 0)
    subject.plan(0.0, no_jobs)
    assert orders(subject, N0) == []
    assert not subject.can_serve("m", None, 0.0)


def test_of_a_node_being_drained_only_engines_with_jobs_are_kept_after_a_restart() -> None:
    subject = fleet(existing=(E0, E1))
    busy = replace(engine(E0), running=(("job", 1),))
    report = NodeReport(N0, Hardware("host", 8.0, 1 << 30, 1), (busy, engine(E1)), draining=True)
    assert subject.report(report, 0.0, 0).ready == (busy,)
    assert orders(subject) == [EngineOrder(E0, "m")]


def test_draining_an_unknown_node_changes_nothing() -> None:
    subject = fleet()
    subject.drain(N0, True, 0.0)
    heartbeat(subject, N0)
    assert not subject.orders(N0).draining


def test_a_models_context_is_what_the_catalogue_says_until_an_engine_tells_it_and_then_remembered() -> None:
    subject = fleet(M, replace(M, id="declared", engine={"max_model_len": 4096}))
    assert (subject.models.context_length("m"), subject.models.context_length("declared")) == (None, 4096)
    heartbeat(subject, N0)
    subject.plan(0.0, no_jobs)
    unknown_yet = replace(engine(E0, "starting"), context_length=0)
    heartbeat(subject, N0, unknown_yet)
    assert subject.models.context_length("m") is None
    heartbeat(subject, N0, engine(E0))
    assert subject.models.context_length("m") == 128
    subject.drop(E0)
    subject.plan(0.0, no_jobs)
    heartbeat(subject, N0, replace(unknown_yet, id=E1))
    assert subject.models.context_length("m") == 128


def test_whatever_happens_to_an_engine_changes_its_place_at_once() -> None:
    subject = fleet()
    heartbeat(subject, N0)
    subject.plan(0.0, no_jobs)
    assert reasons(subject) == {E0: "not ready"}
    heartbeat(subject, N0, replace(engine(E0), slots=1))
    assert reasons(subject) == {E0: None}
    replica = subject.replica(E0)
    assert replica is not None
    replica.assign("a", 10)
    assert reasons(subject) == {E0: "no room"}
    heartbeat(subject, N0, replace(engine(E0), slots=2))
    assert reasons(subject) == {E0: None}
    subject.expire(OFFLINE_AFTER_S)
    assert reasons(subject) == {E0: "offline"}
    heartbeat(subject, N0, replace(engine(E0), slots=2), now_s=OFFLINE_AFTER_S)
    assert reasons(subject) == {E0: None}
    subject.drain(N0, True, 0.0)
    assert reasons(subject) == {E0: "draining"}
    replica.release("a")
    subject.plan(OFFLINE_AFTER_S, no_jobs)
    assert reasons(subject) == {}


def test_an_engine_that_was_dropped_does_not_come_back_into_the_ranking_with_its_last_jobs() -> None:
    subject = fleet()
    heartbeat(subject, N0, engine(E0))
    replica = subject.replica(E0)
    assert replica is not None
    replica.assign("a", 10)
    subject.drop(E0)
    replica.release("a")
    assert reasons(subject) == {}
    heartbeat(subject, N0, engine(E0))
    replica.assign("b", 10)
    assert (reasons(subject), candidate(subject).running) == ({E0: None}, 0)


def test_models_have_rankings_of_their_own_and_an_unknown_model_an_empty_one() -> None:
    subject = fleet(M, replace(M, id="other"))
    heartbeat(subject, N0, engine(E0), engine(EngineId("other/1"), model="other"), gpus=2)
    assert (reasons(subject), reasons(subject, "other")) == ({E0: None}, {EngineId("other/1"): None})
    assert reasons(subject, "unknown") == {}
