"""Which machine Ray is asked to take for a seat; and that it can be asked so."""

import inspect
from typing import Any

from ray._private.state import GlobalState
from ray.util.placement_group import placement_group

from actors.ray.seats import best_machine
from cluster.ids import EngineId, NodeId, node_id
from cluster.messages.seats import SeatOrder

A, B, C = "a" * 56, "b" * 56, "c" * 56
ALIVE = [{"NodeID": each} for each in (A, B, C)]


def order(preferred: tuple[NodeId, ...] = (), avoided: tuple[NodeId, ...] = (), cpus: float = 1.0) -> SeatOrder:
    return SeatOrder(EngineId("m/0"), 1, cpus, avoided=avoided, preferred=preferred)


def free(**gpus: float) -> dict[str, dict[str, float]]:
    return {name * 56: {"GPU": amount, "CPU": 4.0} for name, amount in gpus.items()}


def chosen(order: SeatOrder, there: dict[str, dict[str, float]], alive: list[dict[str, Any]] = ALIVE) -> str | None:
    return best_machine(order, alive, there)


def test_ray_can_be_asked_so() -> None:
    assert inspect.signature(placement_group).parameters["_soft_target_node_id"].default is None
    assert list(inspect.signature(GlobalState.available_resources_per_node).parameters) == ["self"]


def test_a_preferred_machine_with_room_is_taken_though_another_one_is_fuller() -> None:
    assert chosen(order(preferred=(node_id(A), node_id(C))), free(a=4, b=1, c=2)) == C


def test_the_fullest_is_taken_where_no_preferred_one_has_room() -> None:
    assert chosen(order(), free(a=4, b=1, c=2)) == B
    assert chosen(order(preferred=(node_id(B),)), free(a=4, b=0, c=2)) == C
    assert chosen(order(preferred=(NodeId("node_that_has_gone"),)), free(a=4, b=1, c=2)) == B


def test_none_is_named_where_none_has_room() -> None:
    assert chosen(order(preferred=(node_id(A),)), free(a=0, b=0)) is None
    assert chosen(order(cpus=5.0), free(a=4, b=4, c=4)) is None


def test_an_avoided_machine_is_not_taken() -> None:
    assert chosen(order(preferred=(node_id(B),), avoided=(node_id(B),)), free(a=4, b=1, c=2)) == C


def test_what_one_seat_takes_another_does_not_get() -> None:
    there = free(a=4, b=1, c=2)
    assert [chosen(order(preferred=(node_id(C),)), there) for _ in range(4)] == [C, C, B, A]
