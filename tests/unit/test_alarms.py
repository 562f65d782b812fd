"""What is told of nodes and models: each loss once, until somebody has it."""

import pytest

from cluster.fleet.alarms import Alarms
from cluster.ids import NodeId
from cluster.messages.machines import ModelState, NodeStatus

NODE = NodeId("node_0")


def told(*statuses: NodeStatus) -> list[str]:
    alarms = Alarms()
    for status in statuses:
        alarms.look({NODE: status}, {}, 1)
    return [event.type for event in alarms.untold]


@pytest.mark.parametrize(
    ("statuses", "events"),
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
def test_a_node_is_missed_once_for_each_time_it_is_lost(statuses: list[NodeStatus], events: int) -> None:
    assert told(*statuses) == ["node.offline"] * events


@pytest.mark.parametrize(
    ("states", "events"),
    [
        (["ready", "failed"], 1),
        (["starting", "failed", "failed"], 1),
        (["failed", "starting", "failed"], 2),
        (["failed"], 1),
        (["ready", "idle", "starting"], 0),
    ],
)
def test_a_model_fails_once_for_each_time_it_comes_to_be_failed(states: list[ModelState], events: int) -> None:
    alarms = Alarms()
    for state in states:
        alarms.look({}, {"large": state}, 1)
    assert [(event.type, event.data) for event in alarms.untold] == [("model.failed", {"id": "large"})] * events


def test_what_somebody_has_is_not_told_again_and_what_came_meanwhile_is() -> None:
    alarms = Alarms()
    alarms.look({}, {"a": "failed"}, 1)
    first = alarms.untold
    alarms.look({}, {"a": "failed", "b": "failed"}, 2)
    alarms.told(first)
    assert [event.data for event in alarms.untold] == [{"id": "b"}]
