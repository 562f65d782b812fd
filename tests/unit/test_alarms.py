"""What is told of nodes and models: each loss once, until somebody has it, whichever Scheduler looks."""

from collections.abc import Mapping, Sequence

import pytest

from cluster.fleet.alarms import Alarms, News
from cluster.ids import EngineId, NodeId
from cluster.messages.alarms import FailedModel, Known, OnlineNode
from cluster.messages.machines import Hardware, ModelState, NodeStatus
from cluster.messages.seats import ClusterReport, MachineReport, SeatReport
from cluster.messages.webhooks import Event
from cluster.timing import Timing

NODE, OTHER = NodeId("node_0"), NodeId("node_1")
TIMING = Timing()
HEARD_BY_S = max(TIMING.settle_s, TIMING.offline_after_s)
BACK_BY_S = TIMING.left_s
BEFORE = Known(frozenset({OnlineNode(NODE, 5, "host_0")}))
MADE, MADE_ANEW = "made", "made anew"


def look(
    alarms: Alarms,
    nodes: Mapping[NodeId, NodeStatus] | None = None,
    models: Mapping[str, ModelState] | None = None,
    make: str = MADE,
    now_s: float = 0.0,
    now_ms: int = 1,
) -> None:
    models = models or {}
    alarms.look(nodes or {}, models, dict.fromkeys(models, make), now_s, now_ms)


def news(alarms: Alarms) -> News:
    assert alarms.news is not None
    return alarms.news


def events(alarms: Alarms) -> Sequence[Event]:
    return alarms.news.events if alarms.news else ()


def of_nodes(alarms: Alarms) -> list[str]:
    return [event.data["id"] for event in events(alarms) if event.type == "node.offline"]


def of_models(alarms: Alarms) -> list[str]:
    return [event.data["id"] for event in events(alarms) if event.type == "model.failed"]


def cluster(
    *machines: NodeId, elastic: bool = False, seats: Sequence[NodeId] = (), given_back: Sequence[NodeId] = ()
) -> ClusterReport:
    """Machines named `host_0` and so on, by the last digit of their ids."""
    reports = (MachineReport(each, Hardware(f"host_{each[-1]}", 1.0, 1), stays=not elastic) for each in machines)
    places = tuple(SeatReport(EngineId(f"m/{number}"), each) for number, each in enumerate(seats))
    return ClusterReport(tuple(reports), places, elastic, frozenset(given_back))


@pytest.mark.parametrize(
    ("statuses", "lost"),
    [
        (["online", "offline"], 1),
        (["online", "offline", "offline"], 1),
        (["online", "offline", "online", "offline"], 2),
        (["offline"], 0),
        (["online", "draining", "offline"], 0),
        (["online", "idle", "offline"], 0),
        (["online", "draining", "online", "offline"], 1),
    ],
)
def test_a_node_is_missed_once_for_each_time_it_is_lost(statuses: list[NodeStatus], lost: int) -> None:
    alarms = Alarms()
    for now_ms, status in enumerate(statuses):
        look(alarms, {NODE: status}, now_ms=now_ms)
    assert of_nodes(alarms) == [NODE] * lost


@pytest.mark.parametrize(
    ("states", "failures"),
    [
        (["ready", "failed"], 1),
        (["starting", "failed", "failed"], 1),
        (["failed", "starting", "failed"], 1),  # it is tried again and again
        (["failed", "starting", "ready", "failed"], 2),
        (["failed", "idle", "starting", "failed"], 2),
        (["failed"], 1),
        (["ready", "idle", "starting"], 0),
    ],
)
def test_a_model_fails_once_until_it_has_served_again_or_nobody_wanted_it(
    states: list[ModelState], failures: int
) -> None:
    alarms = Alarms()
    for state in states:
        look(alarms, models={"large": state})
    assert of_models(alarms) == ["large"] * failures


def test_what_somebody_has_is_not_told_again_and_what_came_meanwhile_is() -> None:
    alarms = Alarms()
    look(alarms, models={"a": "failed"})
    first = news(alarms)
    look(alarms, models={"a": "failed", "b": "failed"}, now_ms=2)
    alarms.told(first)
    assert of_models(alarms) == ["b"]
    alarms.told(news(alarms))
    look(alarms, models={"a": "failed", "b": "failed"}, now_ms=3)
    assert alarms.news is None


# Another Scheduler ------------------------------------------------------------------------------------------------


def successor(known: Known = BEFORE, report: ClusterReport | None = None) -> Alarms:
    """A Scheduler that begins at 0 s, of this cluster, or before it knows any."""
    alarms = Alarms(known, 0.0, TIMING)
    if report is not None:
        alarms.survey(report)
    return alarms


def later(alarms: Alarms, nodes: Mapping[NodeId, NodeStatus], now_s: float) -> list[str]:
    """The nodes that are missed when all have been like this until then."""
    look(alarms, nodes, now_s=now_s / 2)
    look(alarms, nodes, now_s=now_s)
    return of_nodes(alarms)


def test_a_node_that_went_while_nobody_looked_is_missed_when_it_had_its_time_to_be_heard() -> None:
    known = Known(BEFORE.nodes | {OnlineNode(OTHER, 5, "host_1")})
    alarms = successor(known, cluster(OTHER))
    assert later(alarms, {OTHER: "online"}, HEARD_BY_S - 0.1) == []
    assert later(alarms, {OTHER: "online"}, HEARD_BY_S) == [NODE]
    alarms.told(news(alarms))
    assert later(alarms, {OTHER: "online"}, 10 * BACK_BY_S) == []


@pytest.mark.parametrize("lost", [{NODE: "idle"}, {NODE: "offline"}, {}])
def test_the_only_node_is_missed_whatever_the_cluster_still_believes(lost: Mapping[NodeId, NodeStatus]) -> None:
    report = cluster(NODE) if lost.get(NODE) == "idle" else cluster()
    assert later(successor(report=report), lost, HEARD_BY_S) == [NODE]


def test_a_machine_that_is_there_for_an_engine_is_missed_when_its_node_says_nothing() -> None:
    with_a_seat, without = (cluster(NODE, elastic=True, seats=seats) for seats in ([NODE], []))
    assert later(successor(report=with_a_seat), {NODE: "idle"}, HEARD_BY_S) == [NODE]
    assert later(successor(report=without), {NODE: "idle"}, HEARD_BY_S) == []


def test_a_node_that_is_heard_again_goes_on_as_the_one_it_was() -> None:
    alarms = successor(report=cluster(NODE))
    look(alarms, {NODE: "online"}, now_s=1.0, now_ms=100)
    assert alarms.news is None
    look(alarms, {NODE: "offline"}, now_s=2.0)
    assert of_nodes(alarms) == [NODE]


def test_a_node_that_was_drained_or_given_back_while_nobody_looked_is_missed_by_nobody() -> None:
    given_back = cluster(OTHER, given_back=[NODE])
    known = Known(BEFORE.nodes | {OnlineNode(OTHER, 5)})
    assert later(successor(known, given_back), {OTHER: "online"}, HEARD_BY_S) == []
    drained = successor(report=cluster(NODE))
    look(drained, {NODE: "draining"}, now_s=1.0)
    assert later(drained, {NODE: "offline"}, HEARD_BY_S) == []


def test_nobody_is_missed_before_the_cluster_has_told_of_its_machines() -> None:
    alarms = successor()
    assert later(alarms, {}, 10 * HEARD_BY_S) == []
    alarms.survey(cluster(OTHER, given_back=[NODE]))
    assert later(alarms, {}, 11 * HEARD_BY_S) == []


def test_a_machine_that_has_come_back_under_another_id_is_not_missed() -> None:
    back, bystander = NodeId("node_90"), NodeId("node_1")
    known = Known(BEFORE.nodes | {OnlineNode(bystander, 5, "host_1")})
    alarms = successor(known, cluster(back, bystander))
    assert later(alarms, {back: "online", bystander: "online"}, 10 * BACK_BY_S) == []
    assert {node.id for node in news(alarms).known.nodes} == {back, bystander}


def test_a_cluster_that_was_started_anew_has_its_own_machines_back_in_a_while_and_others_never() -> None:
    own, made = OnlineNode(NODE, 5, "host_0"), OnlineNode(NodeId("node_7"), 5)
    alarms = successor(Known(frozenset({own, made})), cluster(OTHER))
    assert later(alarms, {OTHER: "online"}, BACK_BY_S - 1) == []
    assert later(alarms, {OTHER: "online"}, BACK_BY_S) == [NODE]


def test_two_schedulers_that_tell_of_one_loss_give_it_one_name() -> None:
    names = set()
    for _ in range(2):
        alarms = successor(report=cluster())
        assert later(alarms, {}, HEARD_BY_S) == [NODE]
        names |= {event.key for event in events(alarms)}
    assert len(names) == 1


def failed_before(*models: str) -> Known:
    return Known(models=frozenset(FailedModel(model, MADE) for model in models))


@pytest.mark.parametrize(
    ("states", "failures"),
    [
        (["starting", "failed", "failed"], 0),
        (["idle", "starting", "failed"], 0),
        (["failed", "starting", "failed"], 0),
        (["failed", "idle", "failed"], 1),
        (["ready", "failed"], 1),
        (["starting", "ready", "starting", "failed"], 1),
    ],
)
def test_a_model_that_was_told_of_as_failed_is_not_told_of_again_before_it_was_better(
    states: list[ModelState], failures: int
) -> None:
    alarms = successor(failed_before("large"))
    for state in states:
        look(alarms, models={"large": state})
    assert of_models(alarms) == ["large"] * failures


def test_a_model_that_fails_with_other_settings_fails_anew() -> None:
    alarms = successor(failed_before("large"))
    for state in ("starting", "failed"):
        look(alarms, models={"large": state}, make=MADE_ANEW)  # type: ignore[dict-item]
    assert of_models(alarms) == ["large"]


def test_a_model_that_is_not_served_any_more_is_forgotten() -> None:
    alarms = successor(failed_before("large", "small"))
    look(alarms, models={"small": "starting"})
    assert news(alarms).known == failed_before("small")


def test_what_ends_with_the_system_is_missed_by_nobody() -> None:
    alarms = Alarms()
    look(alarms, {NODE: "online"}, {"large": "failed"})
    alarms.told(news(alarms))
    alarms.end()
    assert news(alarms) == News((), Known())
