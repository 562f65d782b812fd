"""What the Overview says is wrong."""

from typing import Any

import pytest

from api.dashboard.problems import problems
from api.replica.health import State
from cluster.ids import NodeId
from cluster.messages.machines import Hardware, ModelState, ModelView, NodeStatus, NodeView

WELL = State(
    models=(), nodes=(), totals=None, gauges={}, speeds={}, can_write=True, counts=True, streams=True, restarts={}
)


def a_model(state: ModelState, fits: bool = True, message: str = "") -> ModelView:
    return ModelView("m/x", state, fits, message, 0, 0, 0, 0, 1, "1 replica")


def a_node(status: NodeStatus) -> NodeView:
    return NodeView(NodeId("n"), status, 0, Hardware("box", 1.0, 1), ())


def test_nothing_is_wrong_where_all_is_well() -> None:
    assert problems(WELL._replace(models=(a_model("ready"), a_model("idle")), nodes=(a_node("online"),))) == []


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ({"can_write": None}, "The database cannot be written"),
        ({"gauges": None, "can_write": None}, "The ledger does not answer"),
        ({"models": None}, "The scheduler does not answer"),
        ({"counts": None}, "The rate limiter does not answer"),
        ({"streams": None}, "The journal does not answer"),
        ({"models": (a_model("failed"),)}, "Model m/x failed"),
        ({"models": (a_model("starting", message="Killed"),)}, "Model m/x did not start, and is tried again"),
        ({"models": (a_model("ready", fits=False),)}, "Model m/x has fewer replicas than wanted"),
        ({"nodes": (a_node("offline"),)}, "Node box is offline"),
    ],
)
def test_each_is_told_with_what_to_do(state: dict[str, Any], said: str) -> None:
    [problem] = problems(WELL._replace(**state))
    assert problem.what == said
    assert problem.cure


def test_of_a_failure_the_last_line_is_told() -> None:
    [problem] = problems(
        WELL._replace(models=(a_model("failed", message="Trying\nRuntimeError: CUDA out of memory\n"),))
    )
    assert (problem.cure, problem.address) == ("RuntimeError: CUDA out of memory", "/models/m/x")
    [long] = problems(WELL._replace(models=(a_model("failed", message="x" * 10_000),)))
    assert len(long.cure) <= 240


def test_of_many_problems_some_are_told_and_how_many_there_are() -> None:
    found = problems(WELL._replace(can_write=None, nodes=tuple(a_node("offline") for _ in range(100))))
    assert len(found) == 8
    assert found[0].what == "The database cannot be written"
    assert found[-1].what == "And 94 more"
