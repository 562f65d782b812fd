"""What the Ledger keeps of alarms: events, and with them what is known from then on."""

import pytest
from msgspec.structs import replace

from actors.ledger import Ledger
from cluster.errors import Superseded
from cluster.ids import AccountId, NodeId, new_webhook_id
from cluster.liveness.roles import SCHEDULER_ROLE
from cluster.messages.alarms import NOTHING_KNOWN, FailedModel, Known, OnlineNode
from cluster.messages.webhooks import Event, NewWebhook, Room
from tests.support.ledger_stage import ADMIN, NOW, OURS, Clock, Place, elsewhere, with_ledger

A, B = (OnlineNode(NodeId(f"node_{name}"), NOW, name) for name in "ab")
LOST = Event(f"node.offline {B.id} {B.since_ms}", "node.offline", NOW, {"id": B.id})
BOTH = Known(frozenset({A, B}), frozenset({FailedModel("large", "made")}))
PLENTY = Room(100, 100, {}, {})


def hook(account: AccountId = OURS) -> NewWebhook:
    return NewWebhook(new_webhook_id(), account, "https://example.org/hook", ("node.offline",), "whsec_c2VjcmV0", NOW)


def later() -> Clock:
    clock = Clock()
    clock.ms += 60_000
    return clock


def test_what_is_known_outlives_the_ledger_also_where_nobody_listens(place: Place) -> None:
    now = replace(BOTH, nodes=frozenset({A, replace(B, name="another")}), models=frozenset())

    async def before(ledger: Ledger) -> None:
        assert await ledger.known() == NOTHING_KNOWN
        await ledger.happened([], BOTH, "first")
        await ledger.happened([], now, "first")

    async def after(ledger: Ledger) -> None:
        assert await ledger.known() == now

    with_ledger(place, before)
    with_ledger(place, after)


def test_a_loss_is_told_once_and_with_it_that_it_is_known(place: Place) -> None:
    """Its answer was lost, and another Scheduler tells of it by what it found out itself."""

    async def scenario(ledger: Ledger) -> None:
        await ledger.create_webhook(ADMIN, hook())
        await ledger.happened([], BOTH, "first")
        for scheduler, at_ms in (("first", NOW), ("first", NOW), ("second", NOW + 5_000)):
            await ledger.hold(SCHEDULER_ROLE, scheduler, begins=True)
            await ledger.happened([replace(LOST, at_ms=at_ms)], Known(frozenset({A})), scheduler)
        assert await ledger.known() == Known(frozenset({A}))
        assert len(await ledger.due_deliveries(PLENTY, 0.0)) == 1

    with_ledger(place, scenario, later())


def test_a_scheduler_in_whose_place_another_has_begun_tells_nothing(place: Place) -> None:
    async def scenario(ledger: Ledger) -> None:
        await ledger.create_webhook(ADMIN, hook())
        for scheduler in ("first", "second"):
            await ledger.hold(SCHEDULER_ROLE, scheduler, begins=True)
        await ledger.happened([], BOTH, "second")
        with pytest.raises(Superseded):
            await ledger.happened([LOST], NOTHING_KNOWN, "first")
        assert await ledger.known() == BOTH
        assert await ledger.due_deliveries(PLENTY, 0.0) == []

    with_ledger(place, scenario, later())


def test_what_is_told_again_is_not_written_again(place: Place) -> None:
    async def scenario(ledger: Ledger) -> None:
        await ledger.happened([], BOTH, "first")
        rows = elsewhere(place, "SELECT id, since_ms FROM online_nodes ORDER BY 1")
        await ledger.happened([], BOTH, "first")
        assert elsewhere(place, "SELECT id, since_ms FROM online_nodes ORDER BY 1") == rows == [
            (A.id, NOW), (B.id, NOW),
        ]  # fmt: skip

    with_ledger(place, scenario)
