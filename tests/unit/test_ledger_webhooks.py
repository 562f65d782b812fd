"""The Ledger's webhooks: what is to be told is written with what happened, once, and is there until it has ended."""

import asyncio
import json
from typing import Any

import pytest
from msgspec.structs import replace
from sqlalchemy import event as sqlalchemy_events
from sqlalchemy.engine import Engine

from actors.ledger import Ledger
from cluster.errors import BadRequest, BudgetExceeded, Conflict, DeliveryNotFound, Forbidden, WebhookNotFound
from cluster.ids import AccountId, DeliveryId, KeyId, WebhookId, new_webhook_id
from cluster.messages.alarms import NOTHING_KNOWN
from cluster.messages.money import Budget, Rates
from cluster.messages.people import AccountChange, Principal
from cluster.messages.webhooks import (
    Attempted,
    Delivery,
    DeliveryQuery,
    Due,
    Event,
    NewWebhook,
    Problem,
    Room,
    Webhook,
    WebhookChange,
)
from cluster.messages.work import Sampling, Submission
from cluster.store.deliveries import KEPT_MS
from cluster.store.webhooks import FORMER_SECRET_SIGNS_MS, MOST_OF_AN_ACCOUNT
from cluster.webhooks import events
from cluster.webhooks.schedule import GIVE_UP_MS, HOUR_MS
from tests.support.ledger_stage import (
    ADMIN,
    NOW,
    OUR_KEY,
    OURS,
    THEIRS,
    Clock,
    Place,
    completed,
    create,
    elsewhere,
    failed,
    job,
    with_ledger,
)

MEMBER = Principal(OURS, OUR_KEY, "member", ADMIN.limits)
STRANGER = Principal(THEIRS, KeyId("key_theirs"), "member", ADMIN.limits)
SECRET = "whsec_c2VjcmV0"
PLENTY = Room(100, 100, {}, {})
ALL = DeliveryQuery(100)


def hook(url: str = "https://example.org/hook", account: AccountId = OURS, **fields: Any) -> NewWebhook:
    given = {"events": ("job.completed", "job.failed"), "secret": SECRET, "created_ms": NOW}
    return NewWebhook(new_webhook_id(), account, url, **(given | fields))


async def ended(ledger: Ledger, **fields: Any) -> str:
    made = job(**fields)
    await create(ledger, made)
    await ledger.finish([completed(made)])
    return made.id


async def due(ledger: Ledger, room: Room = PLENTY) -> list[Due]:
    return await ledger.due_deliveries(room, 0.0)


def attempted(due: Due, **fields: Any) -> Attempted:
    return Attempted(due.id, due.webhook_id, due.attempts + 1, NOW + 3_000, **fields)


async def only(ledger: Ledger, webhook: NewWebhook) -> Delivery:
    (delivery,) = await ledger.deliveries(MEMBER, webhook.id, ALL)
    return delivery


def test_the_end_of_a_job_and_what_is_told_of_it_are_one_transaction(place: Place) -> None:
    async def scenario(ledger: Ledger) -> None:
        webhook = hook()
        await ledger.create_webhook(MEMBER, webhook)
        first, second = job(), job()
        await create(ledger, first, second)
        await ledger.finish([completed(first), failed(second)])
        told = await due(ledger)
        assert {each.body for each in told} == {
            events.body(events.job_ended(first.id, OURS, False, first.created_ms + 2_000)),
            events.body(events.job_ended(second.id, OURS, True, second.created_ms + 3_000)),
        }
        assert all((each.url, each.secrets, each.attempts) == (webhook.url, (SECRET,), 0) for each in told)
        assert SECRET not in repr(told)

    clock = Clock()
    clock.ms += 10_000
    with_ledger(place, scenario, clock)


def test_an_end_that_is_told_again_is_told_to_endpoints_once(place: Place) -> None:
    async def scenario(ledger: Ledger) -> None:
        await ledger.create_webhook(MEMBER, hook())
        made = job()
        await create(ledger, made)
        for _ in range(2):
            await ledger.finish([completed(made), failed(made)])
        assert len(await due(ledger)) == 1

    with_ledger(place, scenario, _later())


def test_what_is_to_be_told_outlives_the_ledger_and_so_does_who_listens(place: Place) -> None:
    webhook = hook()
    ids: list[DeliveryId] = []

    async def before(ledger: Ledger) -> None:
        await ledger.create_webhook(MEMBER, webhook)
        await ended(ledger)
        (told,) = await due(ledger)
        await ledger.record_attempts([attempted(told, status=500, problem="refused", next_ms=NOW + 5_000)])
        ids.append(told.id)

    async def after(ledger: Ledger) -> None:
        (told,) = await due(ledger)
        assert (told.id, told.attempts) == (ids[0], 1)
        await ended(ledger)
        assert len(await due(ledger)) == 2

    with_ledger(place, before, _later())
    with_ledger(place, after, _later())


def _later() -> Clock:
    clock = Clock()
    clock.ms += 60_000
    return clock


def test_where_nobody_listens_the_end_of_a_job_asks_nothing_more(place: Place) -> None:
    statements: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    async def scenario(ledger: Ledger) -> None:
        made = job()
        await create(ledger, made)
        sqlalchemy_events.listen(Engine, "before_cursor_execute", note)
        try:
            await ledger.finish([completed(made)])
            assert await due(ledger) == []
        finally:
            sqlalchemy_events.remove(Engine, "before_cursor_execute", note)
        assert any("UPDATE jobs" in each for each in statements)
        assert not any("webhooks" in each or "deliveries" in each for each in statements)

    with_ledger(place, scenario)


def test_who_waits_for_something_to_tell_is_told_at_once(place: Place) -> None:
    async def scenario(ledger: Ledger) -> None:
        await ledger.create_webhook(MEMBER, hook())
        waiting = asyncio.create_task(ledger.due_deliveries(PLENTY, 3600.0))
        await asyncio.sleep(0)
        job_id = await ended(ledger)
        (told,) = await asyncio.wait_for(waiting, 10)
        assert job_id in told.body

    with_ledger(place, scenario, _later())


def test_endpoints_have_the_room_that_there_is_for_each(place: Place) -> None:
    async def scenario(ledger: Ledger) -> None:
        busy, free = hook(), hook("https://example.org/other", THEIRS)
        await ledger.create_webhook(MEMBER, busy)
        await ledger.create_webhook(STRANGER, free)
        for _ in range(5):
            await ended(ledger)
        await ended(ledger, account=THEIRS)
        of = {each.webhook_id for each in await due(ledger, Room(100, 2, {busy.id: 0}, {}))}
        assert of == {free.id}
        found = await due(ledger, Room(100, 2, {}, {}))
        assert sorted([each.webhook_id for each in found]) == sorted([busy.id, busy.id, free.id])
        under_way = {busy.id: tuple(each.id for each in found if each.webhook_id == busy.id)}
        others = await due(ledger, Room(100, 2, {}, under_way))
        assert not {each.id for each in others if each.webhook_id == busy.id} & set(under_way[busy.id])
        assert len(await due(ledger, Room(1, 2, {}, {}))) == 1
        assert await due(ledger, Room(0, 2, {}, {})) == []

    with_ledger(place, scenario, _later())


def test_what_came_of_an_attempt_is_written_down_once(place: Place) -> None:
    async def scenario(ledger: Ledger) -> None:
        webhook = hook()
        await ledger.create_webhook(MEMBER, webhook)
        await ended(ledger)
        (told,) = await due(ledger)
        first = attempted(told, problem="timeout", next_ms=NOW + 5_000)
        second = replace(first, attempt=2, status=204, problem=None, next_ms=None)
        for each in (first, first, second, first):
            await ledger.record_attempts([each])
        delivery = await only(ledger, webhook)
        assert (delivery.status, delivery.attempts, delivery.last_status, delivery.ended_ms, delivery.next_ms) == (
            "delivered", 2, 204, NOW + 3_000, None,
        )  # fmt: skip
        assert await due(ledger) == []

    with_ledger(place, scenario, _later())


def test_one_that_is_gone_is_disabled_unless_it_has_moved(place: Place) -> None:
    async def scenario(ledger: Ledger) -> None:
        webhook = hook()
        await ledger.create_webhook(MEMBER, webhook)
        await ended(ledger)
        (told,) = await due(ledger)
        await ledger.change_webhook(MEMBER, webhook.id, WebhookChange(url="https://example.org/moved"))
        gone = attempted(told, status=410, problem="refused", gone_url=webhook.url)
        await ledger.record_attempts([gone])
        (now,) = await ledger.webhooks(OURS)
        assert now.disabled_by is None
        await ledger.record_attempts([replace(gone, attempt=2, gone_url=now.url)])
        (now,) = await ledger.webhooks(OURS)
        assert now.disabled_by == "gone"
        await ended(ledger)
        assert len(await ledger.deliveries(MEMBER, webhook.id, ALL)) == 1
        with pytest.raises(Conflict):
            await ledger.redeliver(MEMBER, webhook.id, told.id)
        assert (await ledger.change_webhook(MEMBER, webhook.id, WebhookChange(enabled=True))).disabled_by is None
        again = await ledger.redeliver(MEMBER, webhook.id, told.id)
        assert (again.id, again.status, again.attempts) == (told.id, "pending", 2)

    with_ledger(place, scenario, _later())


def test_a_secret_signs_for_a_day_after_its_rotation(place: Place) -> None:
    clock = _later()

    async def scenario(ledger: Ledger) -> None:
        webhook = hook()
        await ledger.create_webhook(MEMBER, webhook)
        await ended(ledger)
        for _ in range(2):  # what is repeated because its answer was lost
            await ledger.rotate_webhook(MEMBER, webhook.id, "whsec_Mg==")
        (told,) = await due(ledger)
        assert told.secrets == ("whsec_Mg==", SECRET)
        for secret in ("whsec_Mw==", "whsec_NA==", "whsec_NQ=="):
            await ledger.rotate_webhook(MEMBER, webhook.id, secret)
        (told,) = await due(ledger)
        assert told.secrets == ("whsec_NQ==", "whsec_NA==", "whsec_Mw==")
        clock.ms += FORMER_SECRET_SIGNS_MS
        (told,) = await due(ledger)
        assert told.secrets == ("whsec_NQ==",)

    with_ledger(place, scenario, clock)


def test_webhooks_are_of_their_account(place: Place) -> None:
    async def scenario(ledger: Ledger) -> None:
        webhook = hook()
        await ledger.create_webhook(MEMBER, webhook)
        change = WebhookChange(enabled=False)
        for call in (
            ledger.change_webhook(STRANGER, webhook.id, change),
            ledger.rotate_webhook(STRANGER, webhook.id, SECRET),
            ledger.remove_webhook(STRANGER, webhook.id),
            ledger.deliveries(STRANGER, webhook.id, ALL),
            ledger.test_webhook(STRANGER, webhook.id, events.tested(webhook.id, THEIRS, NOW)),
            ledger.redeliver(STRANGER, webhook.id, DeliveryId("msg_0")),
            ledger.change_webhook(MEMBER, WebhookId("hook_none"), change),
        ):
            with pytest.raises(WebhookNotFound):
                await call
        assert await ledger.webhooks(THEIRS) == []
        assert await ledger.webhooks(None) == await ledger.webhooks(OURS)
        assert (await ledger.change_webhook(ADMIN, webhook.id, change)).disabled_by == "request"

    with_ledger(place, scenario)


def test_what_cannot_be_registered(place: Place) -> None:
    async def scenario(ledger: Ledger) -> None:
        first = hook()
        assert await ledger.create_webhook(MEMBER, first) == await ledger.create_webhook(MEMBER, first)
        with pytest.raises(Conflict):
            await ledger.create_webhook(MEMBER, hook())
        with pytest.raises(Forbidden):
            await ledger.create_webhook(MEMBER, hook("https://example.org/2", events=("model.failed",)))
        with pytest.raises(BadRequest):
            await ledger.create_webhook(ADMIN, hook(account=AccountId("acct_none")))
        for number in range(MOST_OF_AN_ACCOUNT - 1):
            await ledger.create_webhook(MEMBER, hook(f"https://example.org/of/{number}"))
        with pytest.raises(Conflict):
            await ledger.create_webhook(MEMBER, hook("https://example.org/one/too/many"))
        await ledger.create_webhook(STRANGER, hook(account=THEIRS))

    with_ledger(place, scenario)


def test_events_of_the_system_are_for_all_that_want_them_and_are_told_once(place: Place) -> None:
    async def scenario(ledger: Ledger) -> None:
        node = Event("event_1", "node.offline", NOW, {"id": "node_1"})
        await ledger.happened([node], NOTHING_KNOWN, "scheduler")  # nobody listens yet
        wants, does_not = hook(events=("node.offline",)), hook("https://example.org/2")
        for each in (wants, does_not):
            await ledger.create_webhook(ADMIN, each)
        for _ in range(2):
            await ledger.happened([replace(node, key="event_2")], NOTHING_KNOWN, "scheduler")
        (told,) = await due(ledger)
        assert (told.webhook_id, told.body) == (wants.id, events.body(node))

    with_ledger(place, scenario, _later())


def test_budgets_of_keys_and_accounts_tell_of_what_is_reached_once_a_month(place: Place) -> None:
    clock = _later()

    async def scenario(ledger: Ledger) -> None:
        budget = Budget("tokens", 100, "month")
        await ledger.change_account(OURS, AccountChange(budget=budget))
        webhook = hook(events=("budget.reached",))
        await ledger.create_webhook(MEMBER, webhook)
        for tokens in (70, 9, 15):  # and 3 of each prompt
            made = job(created_ms=clock.ms - 10_000, prompt_tokens=3, rates=Rates())
            assert not isinstance((await ledger.create([Submission(made)]))[0], Exception)
            await ledger.finish([completed(made, tokens=tokens)])
        told = [each.body for each in await due(ledger)]
        assert [each.count(f'"id":"{OURS}"') for each in told] == [1, 1]
        assert sorted('"threshold":80' in each for each in told) == [False, True]

    with_ledger(place, scenario, clock)


def test_old_deliveries_go_and_so_do_those_of_webhooks_that_were_removed(place: Place) -> None:
    clock = _later()

    async def scenario(ledger: Ledger) -> None:
        kept, removed = hook(), hook("https://example.org/2")
        for each in (kept, removed):
            await ledger.create_webhook(MEMBER, each)
        await ended(ledger)
        first, second = await due(ledger)
        await ledger.record_attempts([attempted(each, status=204) for each in (first, second)])
        await ended(ledger)
        await ledger.remove_webhook(MEMBER, removed.id)
        await ledger.prune_deliveries()
        assert elsewhere(place, "SELECT count(*) FROM webhooks") == [(1,)]
        assert len(await ledger.deliveries(MEMBER, kept.id, ALL)) == 2
        clock.ms += KEPT_MS
        await ledger.prune_deliveries()
        delivery = await only(ledger, kept)
        assert (delivery.status, delivery.attempts) == ("pending", 0)
        with pytest.raises(DeliveryNotFound):
            await ledger.redeliver(MEMBER, kept.id, first.id)
        assert "whsec_" in str(elsewhere(place, "SELECT secrets FROM webhooks"))
        await ledger.remove_webhook(MEMBER, kept.id)
        assert "whsec_" not in str(elsewhere(place, "SELECT secrets FROM webhooks"))

    with_ledger(place, scenario, clock)


def test_what_waits_for_a_disabled_endpoint_waits_three_days(place: Place) -> None:
    clock = _later()

    async def scenario(ledger: Ledger) -> None:
        webhook = hook()
        await ledger.create_webhook(MEMBER, webhook)
        await ended(ledger)
        await ledger.change_webhook(MEMBER, webhook.id, WebhookChange(enabled=False))
        await ledger.prune_deliveries()
        assert await due(ledger) == []
        assert (await only(ledger, webhook)).status == "pending"
        clock.ms += GIVE_UP_MS
        await ledger.prune_deliveries()
        delivery = await only(ledger, webhook)
        assert (delivery.status, delivery.problem, delivery.next_ms) == ("failed", "disabled", None)

    with_ledger(place, scenario, clock)


def test_the_page_of_a_status_begins_where_the_one_before_ended(place: Place) -> None:
    async def scenario(ledger: Ledger) -> None:
        webhook = hook()
        await ledger.create_webhook(MEMBER, webhook)
        for _ in range(5):
            await ended(ledger)
        told = await due(ledger)
        await ledger.record_attempts([attempted(each, status=204) for each in told[:3]])
        first = await ledger.deliveries(MEMBER, webhook.id, DeliveryQuery(2, "delivered"))
        before = (first[-1].created_ms, first[-1].id)
        rest = await ledger.deliveries(MEMBER, webhook.id, DeliveryQuery(2, "delivered", before))
        assert {each.id for each in (*first, *rest)} == {each.id for each in told[:3]}
        assert len(await ledger.deliveries(MEMBER, webhook.id, DeliveryQuery(9, "pending"))) == 2

    with_ledger(place, scenario, _later())


def test_what_a_clock_that_was_wrong_has_put_off_is_tried_when_it_is_right_again(place: Place) -> None:
    clock = _later()

    async def scenario(ledger: Ledger) -> None:
        webhook = hook()
        await ledger.create_webhook(MEMBER, webhook)
        for put_off_ms in (HOUR_MS, 365 * DAY_MS):
            await ended(ledger)
            (told,) = await due(ledger)
            await ledger.record_attempts([attempted(told, problem="timeout", next_ms=clock.ms + put_off_ms)])
        assert await due(ledger) == []
        await ledger.prune_deliveries()
        (now,) = await due(ledger)
        assert now.id == told.id

    with_ledger(place, scenario, clock)


def test_a_retry_is_signed_by_the_secrets_of_its_time(place: Place) -> None:
    clock = _later()

    async def scenario(ledger: Ledger) -> None:
        webhook = hook()
        await ledger.create_webhook(MEMBER, webhook)
        await ended(ledger)
        (told,) = await due(ledger)
        await ledger.record_attempts([attempted(told, problem="timeout", next_ms=clock.ms + HOUR_MS)])
        await ledger.rotate_webhook(MEMBER, webhook.id, "whsec_Mg==")
        clock.ms += HOUR_MS
        (again,) = await due(ledger)
        assert (again.id, again.secrets) == (told.id, ("whsec_Mg==", SECRET))
        clock.ms += FORMER_SECRET_SIGNS_MS
        (again,) = await due(ledger)
        assert again.secrets == ("whsec_Mg==",)

    with_ledger(place, scenario, clock)


def test_all_that_waited_too_long_for_a_disabled_endpoint_has_ended_however_much_it_is(place: Place) -> None:
    clock = _later()

    async def scenario(ledger: Ledger) -> None:
        webhook = hook(events=("node.offline",))
        await ledger.create_webhook(ADMIN, webhook)
        lost = [Event(f"event_{number}", "node.offline", NOW, {"id": f"node_{number}"}) for number in range(1_100)]
        await ledger.happened(lost, NOTHING_KNOWN, "scheduler")
        await ledger.change_webhook(ADMIN, webhook.id, WebhookChange(enabled=False))
        clock.ms += GIVE_UP_MS
        await ledger.prune_deliveries()
        assert elsewhere(place, "SELECT problem, count(*) FROM deliveries GROUP BY 1") == [("disabled", 1_100)]

    with_ledger(place, scenario, clock)


DAY_MS = 24 * HOUR_MS


async def tried(ledger: Ledger, webhook: NewWebhook, clock: Clock, problem: Problem | None) -> Webhook:
    """The endpoint, once something more has been sent to it now, and this has come of it."""
    await ended(ledger, created_ms=clock.ms - 10_000)
    (told,) = await due(ledger)
    await ledger.record_attempts([Attempted(told.id, webhook.id, 1, clock.ms, None, problem)])
    (now,) = await ledger.webhooks(OURS)
    return now


def test_an_endpoint_of_which_every_attempt_has_failed_for_five_days_is_disabled(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    clock = _later()

    async def scenario(ledger: Ledger) -> None:
        webhook = hook()
        await ledger.create_webhook(MEMBER, webhook)
        began_ms = clock.ms
        for _ in range(5):
            now = await tried(ledger, webhook, clock, "timeout")
            assert (now.disabled_by, now.failing_since_ms) == (None, began_ms)
            clock.ms += DAY_MS
        assert (await ledger.totals()).endpoints == {"failing": 1}
        now = await tried(ledger, webhook, clock, "refused")
        assert (now.disabled_by, now.disabled_ms, now.failing_since_ms) == ("failures", clock.ms, began_ms)
        assert (await ledger.totals()).endpoints == {"given_up": 1}

    with_ledger(place, scenario, clock)
    (line,) = [record.getMessage() for record in caplog.records if "is disabled" in record.getMessage()]
    assert "hook_" in line and "https" not in line


def test_one_success_is_enough_to_stay_enabled_and_what_this_system_could_not_send_counts_for_nothing(
    place: Place,
) -> None:
    clock = _later()

    async def scenario(ledger: Ledger) -> None:
        webhook = hook()
        await ledger.create_webhook(MEMBER, webhook)
        problems: list[Problem | None] = [
            "timeout",
            "timeout",
            "not_sent",
            None,
            "redirected",
            "not_sent",
            "bad_answer",
        ]
        for problem in problems:
            now = await tried(ledger, webhook, clock, problem)
            clock.ms += 2 * DAY_MS
        assert (now.disabled_by, now.failing_since_ms) == (None, clock.ms - 6 * DAY_MS)
        for _ in range(3):
            now = await tried(ledger, webhook, clock, "not_sent")
            clock.ms += 2 * DAY_MS
        assert now.disabled_by is None

    with_ledger(place, scenario, clock)


def test_what_waits_for_an_endpoint_that_failed_says_so_and_is_told_when_it_is_enabled(place: Place) -> None:
    clock = _later()

    async def scenario(ledger: Ledger) -> None:
        webhook = hook()
        await ledger.create_webhook(MEMBER, webhook)
        await tried(ledger, webhook, clock, "timeout")
        clock.ms += 5 * DAY_MS
        await ended(ledger, created_ms=clock.ms - 20_000)
        (waiting,) = await due(ledger)
        await ended(ledger, created_ms=clock.ms - 10_000)
        other = next(each for each in await due(ledger) if each.id != waiting.id)
        failed_again = Attempted(other.id, webhook.id, 1, clock.ms, None, "timeout", clock.ms + 5_000)
        await ledger.record_attempts([failed_again])
        listed = await ledger.deliveries(MEMBER, webhook.id, DeliveryQuery(9, "pending"))
        assert {(each.problem, each.next_ms) for each in listed} == {("disabled", None)} and len(listed) == 2
        with pytest.raises(Conflict):
            await ledger.redeliver(MEMBER, webhook.id, waiting.id)
        assert await due(ledger) == []
        now = await ledger.change_webhook(MEMBER, webhook.id, WebhookChange(enabled=True))
        assert (now.disabled_by, now.disabled_ms, now.failing_since_ms) == (None, None, None)
        assert waiting.id in {each.id for each in await due(ledger)}
        again = await ledger.redeliver(MEMBER, webhook.id, other.id)
        assert (again.status, again.next_ms) == ("pending", clock.ms)

    with_ledger(place, scenario, clock)


def test_another_url_is_another_endpoint_whose_time_begins(place: Place) -> None:
    clock = _later()

    async def scenario(ledger: Ledger) -> None:
        webhook = hook()
        await ledger.create_webhook(MEMBER, webhook)
        await tried(ledger, webhook, clock, "timeout")
        same = await ledger.change_webhook(MEMBER, webhook.id, WebhookChange(url=webhook.url))
        assert same.failing_since_ms == clock.ms
        moved = await ledger.change_webhook(MEMBER, webhook.id, WebhookChange(url="https://example.org/moved"))
        assert moved.failing_since_ms is None
        clock.ms += 6 * DAY_MS
        assert (await tried(ledger, webhook, clock, "timeout")).disabled_by is None

    with_ledger(place, scenario, clock)


def test_time_in_which_the_system_did_not_run_is_no_failure_of_an_endpoint(place: Place) -> None:
    clock = _later()
    webhook = hook()

    async def before(ledger: Ledger) -> None:
        await ledger.create_webhook(MEMBER, webhook)
        await tried(ledger, webhook, clock, "timeout")
        clock.ms += 4 * DAY_MS
        await tried(ledger, webhook, clock, "timeout")

    async def after_an_hour(ledger: Ledger) -> None:
        (now,) = await ledger.webhooks(OURS)
        assert now.failing_since_ms is not None

    async def after_days(ledger: Ledger) -> None:
        now = await tried(ledger, webhook, clock, "timeout")
        assert (now.disabled_by, now.failing_since_ms) == (None, clock.ms)

    with_ledger(place, before, clock)
    clock.ms += HOUR_MS
    with_ledger(place, after_an_hour, clock)
    clock.ms += 3 * DAY_MS
    with_ledger(place, after_days, clock)


async def thresholds(ledger: Ledger) -> list[int]:
    """Those of which the endpoints have been told, or are to be."""
    bodies = [json.loads(each.body) for each in await due(ledger)]
    return sorted(each["data"]["threshold"] for each in bodies)


async def spend(ledger: Ledger, clock: Clock, tokens: int) -> None:
    """A job that asks for 10 tokens at most, and is billed so many."""
    made = job(created_ms=clock.ms - 10_000, prompt_tokens=3, rates=Rates())
    (answer,) = await ledger.create([Submission(made)])
    assert not isinstance(answer, Exception)
    await ledger.finish([completed(made, tokens=tokens - 3)])


async def is_refused(ledger: Ledger, clock: Clock, tokens: int) -> bool:
    sampling = Sampling(max_tokens=tokens - 3)
    made = job(created_ms=clock.ms - 10_000, prompt_tokens=3, rates=Rates(), sampling=sampling)
    (answer,) = await ledger.create([Submission(made)])
    return isinstance(answer, BudgetExceeded)


def test_a_budget_that_is_nearly_spent_is_used_up_when_a_job_has_no_room_in_it(place: Place) -> None:
    """Room is reserved before a job begins, so that the last few tokens of a budget may never be spent."""
    clock = _later()

    async def scenario(ledger: Ledger) -> None:
        await ledger.change_account(OURS, AccountChange(budget=Budget("tokens", 100, "month")))
        await ledger.create_webhook(MEMBER, hook(events=("budget.reached",)))
        assert await is_refused(ledger, clock, 101)  # a large one, and nothing is spent
        await spend(ledger, clock, 79)
        assert await is_refused(ledger, clock, 30)
        assert await thresholds(ledger) == []
        await spend(ledger, clock, 8)
        assert await thresholds(ledger) == [80]
        assert await is_refused(ledger, clock, 20)
        assert await is_refused(ledger, clock, 20)
        await spend(ledger, clock, 13)
        assert await thresholds(ledger) == [80, 100]

    with_ledger(place, scenario, clock)


def test_another_amount_is_reached_anew_by_what_is_spent_after_it(place: Place) -> None:
    clock = _later()

    async def scenario(ledger: Ledger) -> None:
        await ledger.change_account(OURS, AccountChange(budget=Budget("tokens", 100, "all")))
        await ledger.create_webhook(MEMBER, hook(events=("budget.reached",)))
        await spend(ledger, clock, 85)
        await ledger.change_account(OURS, AccountChange(budget=Budget("tokens", 200, "all")))
        await spend(ledger, clock, 5)
        assert await thresholds(ledger) == [80]
        await spend(ledger, clock, 75)
        assert await thresholds(ledger) == [80, 80]
        await ledger.change_account(OURS, AccountChange(budget=Budget("tokens", 180, "all")))
        await spend(ledger, clock, 5)
        assert await thresholds(ledger) == [80, 80]
        await spend(ledger, clock, 10)
        assert await thresholds(ledger) == [80, 80, 100]

    with_ledger(place, scenario, clock)


def test_a_new_month_is_reached_anew(place: Place) -> None:
    clock = _later()

    async def scenario(ledger: Ledger) -> None:
        await ledger.change_account(OURS, AccountChange(budget=Budget("tokens", 100, "month")))
        await ledger.create_webhook(MEMBER, hook(events=("budget.reached",)))
        for _ in range(2):
            await spend(ledger, clock, 85)
            clock.ms += 32 * 86_400_000
        assert await thresholds(ledger) == [80, 80]

    with_ledger(place, scenario, clock)
