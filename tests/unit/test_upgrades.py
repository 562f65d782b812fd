"""Databases of every released version, with jobs that have ended or have not, under the software of today."""

import json

import pytest
from alembic import command
from sqlalchemy import create_engine, text
from sqlalchemy import inspect as inspect_schema

from actors.ledger import Ledger
from cluster.catalogue import Replicas
from cluster.ids import AccountId, JobId, KeyId, WebhookId, delivery_id
from cluster.keys import secret_hash
from cluster.measures.tallies import Sheet, Tally
from cluster.messages.models import BoundsChange, ModelSettings
from cluster.messages.money import Usage, UsageQuery
from cluster.messages.records import CompletedRecord, FailedRecord, JobQuery
from cluster.messages.webhooks import Attempted, DeliveryQuery, Due, Room
from cluster.messages.work import Ended, Finished
from cluster.store import migrations
from cluster.store.inspection import inspect
from cluster.store.open import open_engine, parse
from tests.support import older_databases as older
from tests.support import older_rows as rows
from tests.support.ledger_stage import NOW, Place, elsewhere, url, with_ledger

OURS = AccountId(older.ACCOUNT)
DEADLINE_MS = NOW + 60_000
HOOK = WebhookId(rows.HOOK)
PLENTY = Room(100, 100, {}, {})
SINCE_MEASURES = tuple(version for version in older.VERSIONS if version >= "0011")
SINCE_WEBHOOKS = tuple(version for version in older.VERSIONS if version >= "0012")


@pytest.mark.parametrize("version", older.VERSIONS)
def test_all_that_was_there_is_there_and_what_was_open_goes_on(fresh: Place, version: str) -> None:
    older.write(fresh, version, DEADLINE_MS)
    before = inspect(url(fresh))
    assert (before.schema, before.state, before.faults) == (version, "older", ())
    written = older.VERSIONS[: older.VERSIONS.index(version) + 1]
    cost = older.COST * 2 * (len(written) - 1)  # the first version knew no prices

    async def scenario(ledger: Ledger) -> None:
        principal = await ledger.authenticate(secret_hash(older.SECRET))
        assert principal is not None
        assert (principal.account_id, principal.limits.reads_per_minute) == (OURS, 900)
        records = {record.id: record for record in (await ledger.jobs(OURS, JobQuery(limit=1000))).records}
        assert len(records) == 4 * len(written)
        for each in written:
            good, bad = records[JobId(older.completed(each))], records[JobId(older.failed(each))]
            assert isinstance(good, CompletedRecord)
            assert isinstance(bad, FailedRecord)
            assert good.content == bad.content == older.text_of(each)
            assert (good.metadata, good.epoch) == ({"of": each}, 2 if each >= "0004" else 1)
            assert good.usage.cached_tokens == (3 if each >= "0008" else None)
            assert len(await ledger.placements(good.id)) == (each >= "0002")
        days = await ledger.usage(UsageQuery(OURS, group_by=("day",)))
        assert [day.jobs for day in days] == [2] * len(written)
        (total,) = await ledger.usage(UsageQuery(OURS))
        ended = 2 * len(written)
        counts = (ended, ended * older.PROMPT_TOKENS, ended * older.COMPLETION_TOKENS, cost)
        assert (total.jobs, total.prompt_tokens, total.completion_tokens, total.cost) == counts

        opened = {found.job.id: found for found in await ledger.open_jobs()}
        assert set(opened) == {JobId(make(each)) for each in written for make in (older.waiting, older.running)}
        assert all(found.job.messages[0].content == older.QUESTION for found in opened.values())
        ends = [Ended(job_id, "at last", Finished(Usage(2, 3), "stop"), NOW) for job_id in opened]
        await ledger.finish(ends)
        await ledger.finish(ends)
        (total,) = await ledger.usage(UsageQuery(OURS))
        assert (total.jobs, total.prompt_tokens) == (2 * ended, ended * (older.PROMPT_TOKENS + 2))
        for key in await ledger.keys(OURS):
            assert key.id == KeyId(older.KEY)
            assert key.budget is None or key.budget.reserved == 0
        await ledger.remove(JobId(older.completed(version)), OURS)
        assert await ledger.share_marks() != [] or version < "0006"

    with_ledger(fresh, scenario)
    after = inspect(url(fresh))
    assert (after.state, after.faults, after.open_jobs) == ("current", (), 0)


@pytest.mark.parametrize("version", SINCE_MEASURES)
def test_what_was_counted_before_is_counted_on(fresh: Place, version: str) -> None:
    older.write(fresh, version, DEADLINE_MS)
    sums = older.sums_since_measured(int(version))
    before = int(version) - 10  # as many completed as failed, from each version that measured

    async def scenario(ledger: Ledger) -> None:
        opened = [found.job.id for found in await ledger.open_jobs()]
        await ledger.finish([Ended(job_id, "at last", Finished(Usage(2, 3), "stop"), NOW) for job_id in opened])
        totals = await ledger.totals()
        (counted,) = totals.measures
        measures = counted.measures
        assert (counted.model, counted.operation) == (older.MODEL, "chat")
        assert (measures.completed, measures.failures) == (before + len(opened), {"timeout": before})
        assert measures.prompt_tokens == sums["prompt_tokens"] + 2 * len(opened)
        assert measures.cached_tokens == sums["cached_tokens"]
        minutes = (await ledger.ended_minutes(60)).minutes
        assert sum(minute.completed for minute in minutes.values()) == before + len(opened)

        # The last sheet is known: it is not added again, and the next one is.
        for number in (2 * before, 2 * before + 1):
            sheet = Sheet(rows.SOURCE, number, (Tally("requests", rows.ROUTE, 1.0),))
            await ledger.tally(rows.SOURCE, sheet, {})
        (tally,) = [each for each in (await ledger.totals()).tallies if each.name == "requests"]
        assert (tally.labels, tally.count) == (rows.ROUTE, 2 * before + 1)

    with_ledger(fresh, scenario)


@pytest.mark.parametrize("version", SINCE_WEBHOOKS)
def test_what_was_to_be_told_is_told(fresh: Place, version: str) -> None:
    older.write(fresh, version, DEADLINE_MS)
    since = SINCE_WEBHOOKS[: SINCE_WEBHOOKS.index(version) + 1]

    async def scenario(ledger: Ledger) -> None:
        hooks = {hook.id: hook for hook in await ledger.webhooks(OURS)}
        assert set(hooks) == {rows.HOOK, rows.NAMED, rows.DISABLED}
        assert (hooks[HOOK].url, hooks[HOOK].events) == (rows.HOOK_URL, ("job.completed", "job.failed"))
        assert hooks[WebhookId(rows.DISABLED)].disabled_by == "gone"
        due = {each.id: each for each in await due_now(ledger)}
        assert set(due) == {delivery_id(rows.due(each), HOOK) for each in since}
        for each in since:
            one = due[delivery_id(rows.due(each), HOOK)]
            assert (one.body, one.attempts, one.secrets) == (rows.body(rows.due(each)), 1, rows.SIGNING)
            await ledger.record_attempts([Attempted(one.id, HOOK, 2, NOW, status=204)])
        principal = await ledger.authenticate(secret_hash(older.SECRET))
        assert principal is not None
        listed = await ledger.deliveries(principal, HOOK, DeliveryQuery(100))
        assert [(each.status, each.last_status) for each in listed] == [("delivered", 204)] * 2 * len(since)

        opened = [found.job.id for found in await ledger.open_jobs()]
        await ledger.finish([Ended(job_id, "at last", Finished(Usage(2, 3), "stop"), NOW) for job_id in opened])
        told = [(each.webhook_id, json.loads(each.body)["data"]["id"]) for each in await due_now(ledger)]
        of_all = [(rows.HOOK, job_id) for job_id in opened]
        named = [(rows.NAMED, older.waiting(each)) for each in since]
        assert sorted(told) == sorted([*of_all, *named])
        await ledger.prune_deliveries()

    with_ledger(fresh, scenario)
    assert elsewhere(fresh, f"SELECT id FROM webhooks WHERE id = '{rows.REMOVED}'") == []
    assert elsewhere(fresh, f"SELECT id FROM deliveries WHERE webhook_id = '{rows.REMOVED}'") == []


def test_what_admins_set_and_what_signs_sessions_stays(fresh: Place) -> None:
    older.write(fresh, older.VERSIONS[-1], DEADLINE_MS)

    async def scenario(ledger: Ledger) -> None:
        for _ in range(2):
            found = {settings.model: settings for settings in await ledger.model_settings()}
            assert found == {
                older.MODEL: ModelSettings(older.MODEL, **rows.BOUNDS, restarts=rows.RESTARTS),
                rows.GONE: ModelSettings(rows.GONE, restarts=1),
            }
            assert await ledger.session_secret() == rows.SESSIONS
            await ledger.restart_model(older.MODEL, rows.RESTARTS)
        changed = await ledger.change_bounds(older.MODEL, BoundsChange(max=3), Replicas())
        assert changed == ModelSettings(older.MODEL, **(rows.BOUNDS | {"max": 3}), restarts=rows.RESTARTS)

    with_ledger(fresh, scenario)


@pytest.mark.parametrize("version", older.VERSIONS)
def test_all_upgrades_can_be_taken_back_and_nothing_of_before_is_lost(fresh: Place, version: str) -> None:
    older.write(fresh, version, DEADLINE_MS)
    before = _all_rows(fresh)
    engine = open_engine(parse(url(fresh)))
    migrations.upgrade(engine)
    with engine.begin() as connection:
        command.downgrade(migrations.config_of(connection), version)
    engine.dispose()
    assert _all_rows(fresh) == before


def _all_rows(place: Place) -> dict[str, list[str]]:
    engine = create_engine(url(place))
    with engine.connect() as connection:
        tables = inspect_schema(connection).get_table_names()
        rows = {table: connection.execute(text(f"SELECT * FROM {table}")).mappings() for table in tables}
        found = {table: sorted(repr(sorted(row.items())) for row in of_table) for table, of_table in rows.items()}
    engine.dispose()
    return found


async def due_now(ledger: Ledger) -> list[Due]:
    return await ledger.due_deliveries(PLENTY, 0.0)
