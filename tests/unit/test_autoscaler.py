"""What Ray's two autoscalers tell: whether machines come, and for which groups none does."""

import pytest
from ray.core.generated.autoscaler_pb2 import GetClusterStatusReply

from actors.ray import autoscaler
from actors.ray.autoscaler import Outlook, outlook_of_v1, outlook_of_v2
from tests.support.clocks import StillClock


def reply(version: int, *types: str, hopeless: tuple[str, ...] = (), pending: bool = False) -> GetClusterStatusReply:
    made = GetClusterStatusReply()
    made.autoscaling_state.autoscaler_state_version = version
    for node_type in types:
        made.cluster_resource_state.node_states.add(ray_node_type_name=node_type)
    for group in hopeless:
        made.autoscaling_state.infeasible_gang_resource_requests.add(details=f"{group}:STRICT_PACK|PENDING")
    if pending:
        made.autoscaling_state.pending_instance_requests.add(ray_node_type_name="gpu", count=1)
    return made


def test_the_second_one_brings_machines_where_it_runs_and_knows_their_kinds() -> None:
    assert outlook_of_v2(reply(3, "head", "gpu")).brings_machines
    assert not outlook_of_v2(reply(3, "", "")).brings_machines  # machines that came by hand
    assert not outlook_of_v2(reply(0, "head", "gpu")).brings_machines  # kinds that KubeRay named, and no autoscaler


def test_the_second_one_names_the_groups_that_it_has_nothing_for() -> None:
    told = outlook_of_v2(reply(3, "head", hopeless=("ab12", "cd34"), pending=True))
    assert told == Outlook(True, frozenset({"ab12", "cd34"}), is_starting=True)
    assert outlook_of_v2(reply(3, "head")).hopeless == frozenset()


@pytest.mark.parametrize(
    ("report", "expected"),
    [
        ({"active_nodes": {"ray.head.default": 1}}, Outlook(True)),
        ({"active_nodes": {"node_0a1b": 2}}, Outlook(False)),
        ({"active_nodes": {}, "node_type_mapping": {"10.0.0.1": "local.cluster.node"}}, Outlook(True)),
        ({"active_nodes": {"head": 1}, "pending_nodes": [["10.0.0.2", "gpu", "waiting"]]}, Outlook(True, None, True)),
        ({"active_nodes": {"head": 1}, "pending_launches": {"gpu": 2}}, Outlook(True, None, True)),
        (None, Outlook(False)),
    ],
    ids=["kinds", "by hand", "on premises", "a machine starts", "a machine is asked for", "no report"],
)
def test_the_first_one_tells_no_more_than_whether_something_starts(report: object, expected: Outlook) -> None:
    assert outlook_of_v1({"autoscaler_report": report}) == expected


def test_it_is_asked_again_after_a_while_and_at_once_where_that_is_urgent(monkeypatch: pytest.MonkeyPatch) -> None:
    told = [Outlook(True), Outlook(False), Outlook(True)]
    monkeypatch.setattr(autoscaler, "outlook", told.pop)
    clock = StillClock(0)
    subject = autoscaler.Autoscaler(clock)
    assert subject.look() == Outlook(True)
    clock.advance(9.9)
    assert subject.look() == Outlook(True)
    assert subject.look(is_urgent=True) == Outlook(False)
    clock.advance(9.9)
    assert subject.look() == Outlook(False)
    clock.advance(0.1)
    assert subject.look() == Outlook(True)
