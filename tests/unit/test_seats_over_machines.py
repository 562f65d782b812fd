"""Seats as Ray's placement groups: what is asked of Ray, and what is made of what it tells. Ray itself is played."""

from typing import Any

import pytest
from ray._private.state import GlobalState
from ray.core.generated.common_pb2 import NodeDeathInfo

from actors.ray import autoscaler, machines, seats
from actors.ray.autoscaler import Outlook
from actors.ray.seats import Group, RaySeats
from cluster.ids import EngineId, node_id
from cluster.messages.seats import SeatOrder
from tests.support.plain_system import run

A, B, C = "a" * 56, "b" * 56, "c" * 56
E0, E1 = EngineId("m/0"), EngineId("m/1")


def told(name: str, state: str, *places: str) -> dict[str, Any]:
    """A group, as Ray's table has it: bundles in no order."""
    bundles = dict(reversed(list(enumerate(places))))
    return {"placement_group_id": name[-1] * 36, "name": name, "state": state, "bundles_to_node_id": bundles}


def machine(ray_id: str, alive: bool = True, death: int = 0) -> dict[str, Any]:
    """A machine, as Ray tells of it; of one that has gone, why."""
    hardware = {"NodeManagerHostname": ray_id[0], "Resources": {"CPU": 8.0, "GPU": 8.0}, "Labels": {}}
    return {"NodeID": ray_id, "Alive": alive, "DeathReason": death, **hardware}


class PlainRay:
    """Ray's groups: those that are asked for wait, unless a test has placed them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.table: list[dict[str, Any]] = []
        self.asked: list[tuple[list[dict[str, float]], dict[str, Any]]] = []
        self.machines = [machine(each) for each in (A, B, C)]
        monkeypatch.setattr(seats, "placement_group_table", lambda: dict(enumerate(self.table)))
        monkeypatch.setattr(seats, "placement_group", self._make)
        monkeypatch.setattr(machines, "all_of_them", lambda: self.machines)
        monkeypatch.setattr(GlobalState, "available_resources_per_node", lambda _: {})
        monkeypatch.setattr(machines, "leaving", dict)
        monkeypatch.setattr(autoscaler, "outlook", lambda: Outlook(brings_machines=True, hopeless=frozenset()))

    def _make(self, bundles: list[dict[str, float]], **options: Any) -> "PlainRay":
        self.asked.append((bundles, options))
        self.table.append(told(options["name"], "PENDING", *[""] * len(bundles)))
        return self

    def wait(self, timeout_s: float) -> bool:
        return False


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> PlainRay:
    return PlainRay(monkeypatch)


def test_a_seat_on_several_machines_is_a_group_with_a_bundle_on_each(ray: PlainRay) -> None:
    one = SeatOrder(E0, 4, 2.0)
    several = SeatOrder(E1, 8, 1.0, {"pool": "big"}, (node_id(A),), machines=2)
    report = run(RaySeats().see_to([one, several], []))
    (first, of_first), (second, of_second) = ray.asked
    assert (first, of_first["strategy"], of_first["bundle_label_selector"]) == (
        [{"GPU": 4, "CPU": 2}],
        "STRICT_PACK",
        None,
    )
    selector = {"pool": "big", "ray.io/node-id": f"!in({A})"}
    assert (second, of_second["strategy"]) == ([{"GPU": 8, "CPU": 1}] * 2, "STRICT_SPREAD")
    assert of_second["bundle_label_selector"] == [selector, selector]
    assert [(seat.engine_id, seat.nodes) for seat in report.seats] == [(E0, ()), (E1, ())]


def test_its_machines_are_told_in_the_order_of_its_bundles_once_there_are_all(ray: PlainRay) -> None:
    ray.table = [told("infernet/seat/made/m/0", "CREATED", C, A, B), told("infernet/seat/made/m/1", "CREATED", A)]
    assert seats.groups()[E0] == Group("0" * 36, E0, C, "made", (A, B))
    report = run(RaySeats().see_to([], []))
    assert [seat.nodes for seat in report.seats] == [(node_id(C), node_id(A), node_id(B)), (node_id(A),)]


@pytest.mark.parametrize("state", ["PENDING", "RESCHEDULING", "PREPARED"])
def test_one_that_has_lost_a_machine_waits_as_a_whole(ray: PlainRay, state: str) -> None:
    ray.table = [told("infernet/seat/made/m/0", state, A, ""), told("infernet/seat/made/m/1", "REMOVED", A)]
    assert seats.groups() == {E0: Group("0" * 36, E0, None, "made")}
    (seat,) = run(RaySeats().see_to([], [])).seats
    assert (seat.engine_id, seat.nodes) == (E0, ())


def test_machines_that_were_let_go_or_drained_after_a_notice_are_told_apart_from_those_that_were_lost(
    ray: PlainRay,
) -> None:
    reasons = NodeDeathInfo.Reason
    idle, preempted, lost, stopped = ("d" * 56, "e" * 56, "f" * 56, "0" * 56)
    ray.machines += [
        machine(idle, False, reasons.Value("AUTOSCALER_DRAIN_IDLE")),
        machine(preempted, False, reasons.Value("AUTOSCALER_DRAIN_PREEMPTED")),
        machine(lost, False, reasons.Value("UNEXPECTED_TERMINATION")),
        machine(stopped, False, reasons.Value("EXPECTED_TERMINATION")),
    ]
    report = run(RaySeats().see_to([], []))
    assert {each.node_id for each in report.machines} == set(map(node_id, (A, B, C)))
    assert report.given_back == {node_id(idle), node_id(preempted)}
