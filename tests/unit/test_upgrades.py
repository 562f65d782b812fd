"""Databases of every released version, with jobs that have ended or have not, under the software of today."""

import pytest

from actors.ledger import Ledger
from cluster.ids import AccountId, JobId, KeyId
from cluster.keys import secret_hash
from cluster.messages.money import Usage, UsageQuery
from cluster.messages.records import CompletedRecord, FailedRecord, JobQuery
from cluster.messages.work import Ended, Finished
from cluster.store.inspection import inspect
from tests.support import older_databases as older
from tests.support.ledger_stage import NOW, Place, url, with_ledger

OURS = AccountId(older.ACCOUNT)
DEADLINE_MS = NOW + 60_000


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
