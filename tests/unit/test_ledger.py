"""The Ledger: what it promises of jobs, their ends and its own life, on SQLite."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from actors.bookkeeping.book import Book
from actors.ledger import Ledger
from cluster.errors import DatabaseRefused, DatabaseUnavailable, StartError, Superseded
from cluster.ids import AccountId, EngineId, JobId, NodeId, new_job_id
from cluster.job_states import JobState
from cluster.keys import new_secret, secret_hash
from cluster.liveness.roles import JOURNAL_ROLE
from cluster.messages.money import Rates, Usage
from cluster.messages.placements import Verdict
from cluster.messages.records import CompletedRecord, FailedRecord, JobQuery, PendingRecord, ProcessingRecord
from cluster.messages.work import Failed, Job, OpenJob, Sampling, Submission
from tests.support.ledger_stage import (
    DEFAULT,
    NOW,
    OUR_KEY,
    OURS,
    THEIRS,
    NewPlace,
    Place,
    completed,
    create,
    elsewhere,
    failed,
    job,
    placed,
    url,
    with_ledger,
)


def test_what_create_returned_is_durable(place: Place) -> None:
    async def scenario(ledger: Ledger) -> None:
        jobs = [job() for _ in range(100)]
        await create(ledger, *jobs)
        assert elsewhere(place, "SELECT count(*), min(state) FROM jobs") == [(100, "pending")]

    with_ledger(place, scenario)


def test_a_job_comes_back_as_it_was_accepted(place: Place) -> None:
    async def scenario(ledger: Ledger) -> None:
        full = job()
        plain = job(
            NOW + 1, node_id=None, metadata={}, priority="low", sampling=Sampling(), prompt_tokens=None, rates=Rates()
        )
        await create(ledger, full, plain)
        assert await ledger.open_jobs() == [
            OpenJob(full, JobState.PENDING),
            OpenJob(plain, JobState.PENDING),
        ]

    with_ledger(place, scenario)


def test_open_jobs_are_read_a_few_at_a_time(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each time within the limit on a call: however many jobs there are, a Scheduler can start."""
    monkeypatch.setattr("actors.bookkeeping.jobs._PAGE", 3)

    async def scenario(ledger: Ledger) -> None:
        for count in range(8):
            made = sorted((job(NOW + at // 3) for at in range(count)), key=lambda job: (job.created_ms, job.id))
            await create(ledger, *made)
            assert await ledger.open_jobs() == [OpenJob(one, JobState.PENDING) for one in made]
            await ledger.finish([completed(one) for one in made])

    with_ledger(place, scenario)


def test_a_repeated_create_is_ignored(place: Place) -> None:
    async def scenario(ledger: Ledger) -> None:
        first, other = job(), job()
        await create(ledger, first, first)
        await ledger.finish([completed(first)])
        await asyncio.gather(create(ledger, first), create(ledger, first, other))
        record = await ledger.job(first.id, OURS)
        assert record is not None
        assert record.status is JobState.COMPLETED
        assert [open_job.job.id for open_job in await ledger.open_jobs()] == [other.id]

    with_ledger(place, scenario)


def test_the_life_of_a_job(place: Place) -> None:
    async def scenario(ledger: Ledger) -> None:
        lived = job()
        await create(ledger, lived)
        await ledger.placed([placed(lived, attempt=1)])
        told = {
            "id": lived.id,
            "account_id": OURS,
            "key_id": OUR_KEY,
            "model": lived.model,
            "created_ms": lived.created_ms,
        }
        told["metadata"] = {"trace": "é"}
        assert await ledger.job(lived.id, OURS) == ProcessingRecord(**told, node_id=NodeId("node_1"))

        await ledger.placed([placed(lived, attempt=2)])
        await ledger.placed([placed(lived, attempt=1)])  # late
        assert await ledger.open_jobs() == [OpenJob(lived, JobState.PROCESSING, attempt=2)]

        await ledger.finish([completed(lived, "Paris \x00 🦜")])
        assert await ledger.job(lived.id, OURS) == CompletedRecord(
            **told,
            node_id=NodeId("node_2"),
            content="Paris \x00 🦜",
            finish_reason="stop",
            usage=Usage(3, 20),
            ended_ms=NOW + 2_000,
        )
        assert await ledger.open_jobs() == []

    with_ledger(place, scenario)


def test_a_failed_job_keeps_what_it_produced_and_is_counted(place: Place) -> None:
    async def scenario(ledger: Ledger) -> None:
        lost = job()
        await create(ledger, lost)
        await ledger.finish([failed(lost)])
        record = await ledger.job(lost.id, OURS)
        assert record is not None
        assert isinstance(record, FailedRecord)
        assert (record.content, record.node_id) == ("Par", None)
        assert record.end == Failed(Usage(3, 1), "timeout", "It took too long")
        assert elsewhere(place, "SELECT * FROM usage") == [(lost.id, OURS, OUR_KEY, "sim:fast", 3, 1, NOW + 3_000, 5)]

    with_ledger(place, scenario)


def test_the_first_end_wins_and_is_counted_once(place: Place) -> None:
    async def scenario(ledger: Ledger) -> None:
        ended = job()
        await create(ledger, ended)
        await ledger.finish([failed(ended), completed(ended)])
        await asyncio.gather(*(ledger.finish([completed(ended)]) for _ in range(20)))
        record = await ledger.job(ended.id, OURS)
        assert record is not None
        assert record.status is JobState.FAILED
        assert elsewhere(place, "SELECT completion_tokens FROM usage") == [(1,)]

    with_ledger(place, scenario)


def test_a_job_that_has_begun_is_created_as_processing(place: Place) -> None:
    async def scenario(ledger: Ledger) -> None:
        begun, waiting, unknown = job(), job(), job()
        where = replace(placed(begun), considered=ENGINES)
        await ledger.create([Submission(begun), Submission(waiting)], [where, placed(unknown)])
        running = await ledger.job(begun.id, OURS)
        assert isinstance(running, ProcessingRecord)
        assert running.node_id == where.node_id
        assert isinstance(await ledger.job(waiting.id, OURS), PendingRecord)
        assert await ledger.placements(begun.id) == [where]
        assert await ledger.placements(unknown.id) == []

    with_ledger(place, scenario)


def test_placed_after_the_end_is_ignored(place: Place) -> None:
    async def scenario(ledger: Ledger) -> None:
        ended = job()
        await create(ledger, ended)
        await ledger.finish([completed(ended)])
        before = await ledger.job(ended.id, OURS)
        await ledger.placed([placed(ended)])
        assert await ledger.job(ended.id, OURS) == before

    with_ledger(place, scenario)


def test_unknown_jobs_and_empty_lists_change_nothing(place: Place) -> None:
    async def scenario(ledger: Ledger) -> None:
        await ledger.placed([placed(job())])
        await ledger.finish([completed(job())])
        await asyncio.gather(ledger.create([]), ledger.placed([]), ledger.finish([]))
        assert elsewhere(place, "SELECT count(*) FROM usage") == [(0,)]

    with_ledger(place, scenario)


def test_a_bad_write_fails_alone(place: Place) -> None:
    async def scenario(ledger: Ledger) -> None:
        await ledger.start()
        good, bad = job(), job(account_id=AccountId("acct_nobody"))
        other = job()
        results = await asyncio.gather(
            create(ledger, good), create(ledger, bad), create(ledger, other), return_exceptions=True
        )
        assert results[0] is None
        assert isinstance(results[1], DatabaseRefused)
        assert results[2] is None
        assert {open_job.job.id for open_job in await ledger.open_jobs()} == {good.id, other.id}

    with_ledger(place, scenario)


def test_a_new_ledger_on_the_same_file_sees_all(place: Place) -> None:
    pending, processing, ended = job(NOW), job(NOW + 1), job(NOW + 2)

    async def before(ledger: Ledger) -> None:
        await create(ledger, pending, processing, ended)
        await ledger.placed([placed(processing, attempt=3)])
        await ledger.finish([completed(ended)])

    async def after(ledger: Ledger) -> None:
        assert await ledger.open_jobs() == [
            OpenJob(pending, JobState.PENDING),
            OpenJob(processing, JobState.PROCESSING, attempt=3),
        ]
        record = await ledger.job(ended.id, OURS)
        assert record is not None
        assert record.content == "Paris."

    with_ledger(place, before)
    with_ledger(place, after)


def test_another_accounts_job_is_none(place: Place) -> None:
    async def scenario(ledger: Ledger) -> None:
        theirs = job(account=THEIRS)
        await create(ledger, theirs)
        assert await ledger.job(theirs.id, OURS) is None
        assert await ledger.job(new_job_id(), OURS) is None
        assert await ledger.job(theirs.id, THEIRS) is not None
        assert (await ledger.jobs(OURS, JobQuery())).records == ()

    with_ledger(place, scenario)


def test_a_list_can_be_read_page_by_page_newest_first(place: Place) -> None:
    async def scenario(ledger: Ledger) -> None:
        jobs = [job(NOW + at) for at in (0, 5, 5, 5, 5, 9, 2)]
        await create(ledger, *jobs)
        newest_first = sorted(jobs, key=lambda made: (made.created_ms, made.id), reverse=True)
        expected = [made.id for made in newest_first]
        assert [record.id for record in (await ledger.jobs(OURS, JobQuery())).records] == expected

        seen: list[JobId] = []
        before = None
        while page := (await ledger.jobs(OURS, JobQuery(limit=2, before=before))).records:
            await create(ledger, job(NOW + 100))  # what comes meanwhile moves nothing
            seen += [record.id for record in page]
            before = (page[-1].created_ms, page[-1].id)
        assert seen == expected

    with_ledger(place, scenario)


def test_a_list_can_be_of_one_state_and_since_a_time(place: Place) -> None:
    async def scenario(ledger: Ledger) -> None:
        old, done, lost, running = (job(NOW + at) for at in range(4))
        await create(ledger, old, done, lost, running)
        await ledger.placed([placed(running)])
        await ledger.finish([completed(done), failed(lost)])

        async def ids(query: JobQuery) -> list[JobId]:
            return [record.id for record in (await ledger.jobs(OURS, query)).records]

        assert await ids(JobQuery(status=JobState.COMPLETED)) == [done.id]
        assert await ids(JobQuery(status=JobState.FAILED)) == [lost.id]
        assert await ids(JobQuery(status=JobState.PROCESSING)) == [running.id]
        assert await ids(JobQuery(status=JobState.PENDING)) == [old.id]
        assert await ids(JobQuery(since_ms=NOW + 2)) == [running.id, lost.id]

    with_ledger(place, scenario)


def test_the_first_admin_key_is_told_once(fresh: Place) -> None:
    async def first(ledger: Ledger) -> None:
        await asyncio.gather(ledger.start(), ledger.start())
        secret = await ledger.first_admin_key()
        assert secret is not None
        assert await ledger.first_admin_key() is None
        await ledger.start()
        assert await ledger.first_admin_key() is None
        principal = await ledger.authenticate(secret_hash(secret))
        assert principal is not None
        assert principal.role == "admin"
        assert elsewhere(fresh, "SELECT count(*) FROM api_keys") == [(1,)]

    async def later(ledger: Ledger) -> None:
        assert await ledger.first_admin_key() is None
        assert elsewhere(fresh, "SELECT count(*) FROM api_keys") == [(1,)]

    with_ledger(fresh, first)
    with_ledger(fresh, later)


def test_a_given_admin_key_that_the_door_would_refuse_is_refused_at_the_start(fresh: Place) -> None:
    async def scenario() -> None:
        mistyped = "inft_" + "0" * 38
        with pytest.raises(StartError, match=r"^The first admin key looks like one that was made here") as refused:
            await Ledger(url(fresh), mistyped, DEFAULT).start()
        assert mistyped not in str(refused.value)

    asyncio.run(scenario())


def test_a_given_admin_key_becomes_the_first_and_is_not_told(fresh: Place) -> None:
    async def scenario() -> None:
        secret = new_secret()
        ledger = Ledger(url(fresh), secret, DEFAULT)
        assert await ledger.first_admin_key() is None
        principal = await ledger.authenticate(secret_hash(secret))
        assert principal is not None
        assert principal.role == "admin"
        await ledger.stop()

    asyncio.run(scenario())


def test_a_given_admin_key_is_ignored_when_there_are_keys(place: Place) -> None:
    async def scenario() -> None:
        ledger = Ledger(url(place), new_secret(), DEFAULT)
        await ledger.start()
        assert elsewhere(place, "SELECT count(*) FROM api_keys") == [(2,)]
        await ledger.stop()

    asyncio.run(scenario())


def test_a_ledger_that_cannot_start_says_why_and_is_away_for_every_other_caller(tmp_path: Path) -> None:
    """Whoever asks for a start shows its error to an operator; what others are told may come to a client."""

    async def scenario() -> None:
        folder = tmp_path / "no folder"
        ledger = Ledger(url(folder / "x.db"), None, DEFAULT)  # no I/O, no error
        with pytest.raises(StartError, match="no folder"):
            await ledger.start()
        for call in (create(ledger, job()), ledger.open_jobs(), ledger.first_admin_key()):
            with pytest.raises(DatabaseUnavailable):
                await call
        folder.mkdir()
        assert await ledger.open_jobs() == []
        await ledger.stop()

    asyncio.run(scenario())


ENGINES = (
    Verdict(EngineId("engine/1"), NodeId("node_1"), None, score=3),
    Verdict(EngineId("engine/2"), NodeId("node_2"), "draining", score=0),
)


def test_every_attempt_is_kept_with_what_was_considered(place: Place) -> None:
    async def scenario(ledger: Ledger) -> None:
        moved = job()
        first = replace(placed(moved, 1), considered=ENGINES)
        second = replace(placed(moved, 2), moved_by="engine died")
        await create(ledger, moved)
        await ledger.placed([second])
        await ledger.placed([first, first, second, placed(job())])
        assert await ledger.placements(moved.id) == [first, second]
        assert await ledger.placements(new_job_id()) == []
        assert await ledger.open_jobs() == [OpenJob(moved, JobState.PROCESSING, attempt=2)]

    with_ledger(place, scenario)


def test_a_quick_jobs_placement_is_told_by_its_end_and_explained_later(place: Place) -> None:
    async def scenario(ledger: Ledger) -> None:
        quick = job()
        seen, reasoned = placed(quick, after_ms=8), replace(placed(quick, after_ms=5), considered=ENGINES)
        reasoned = replace(reasoned, moved_by="engine failed it")
        await create(ledger, quick)
        await ledger.finish([replace(completed(quick), ran=seen)])
        assert await ledger.placements(quick.id) == [seen]
        await ledger.placed([reasoned])
        assert await ledger.placements(quick.id) == [reasoned]
        await ledger.finish([replace(completed(quick), ran=seen)])
        assert await ledger.placements(quick.id) == [reasoned]
        record = await ledger.job(quick.id, OURS)
        assert record is not None
        assert (record.status, record.node_id) == (JobState.COMPLETED, "node_1")

    with_ledger(place, scenario)


async def _complete(ledger: Ledger, jobs: Sequence[Job], tokens: int) -> None:
    await create(ledger, *jobs)
    await ledger.placed([placed(done, after_ms=1_000) for done in jobs])
    await ledger.finish([completed(done, tokens=tokens, after_ms=3_000) for done in jobs])


def test_speed_is_that_of_the_last_32_completed_jobs(place: Place) -> None:
    async def scenario(ledger: Ledger) -> None:
        for first, last, tokens in ((0, 10, 1_000), (10, 26, 20), (26, 42, 41)):  # in two seconds each
            await _complete(ledger, [job(NOW + at, model="a") for at in range(first, last)], tokens)
        await _complete(ledger, [job(NOW, model="b")], tokens=2)
        await _complete(ledger, [job(NOW, model="silent")], tokens=0)
        lost, unplaced = job(NOW + 50, model="b"), job(NOW + 51, model="c")
        await create(ledger, lost, unplaced, job(model="d"))
        await ledger.placed([placed(lost)])
        await ledger.finish([failed(lost), completed(unplaced)])
        assert await ledger.speeds() == {"a": 15, "b": 1}

    with_ledger(place, scenario)


@pytest.fixture(scope="module")
def shared(places: NewPlace) -> Place:
    """One database for all examples of a property: they use jobs of their own."""
    return places()


STEPS = st.lists(st.sampled_from(["create", "placed 1", "placed 2", "completed", "failed"]), max_size=12)


@settings(max_examples=25)
@given(steps=STEPS, together=st.booleans())
def test_any_order_and_repetition_leaves_one_end_and_one_usage_row(
    shared: Place, steps: list[str], together: bool
) -> None:
    async def scenario(ledger: Ledger) -> None:
        lived = job()
        calls = {
            "create": lambda: create(ledger, lived),
            "placed 1": lambda: ledger.placed([placed(lived, 1)]),
            "placed 2": lambda: ledger.placed([placed(lived, 2)]),
            "completed": lambda: ledger.finish([completed(lived)]),
            "failed": lambda: ledger.finish([failed(lived)]),
        }
        if together:
            await asyncio.gather(*(calls[step]() for step in steps))
        else:
            for step in steps:
                await calls[step]()
        record = await ledger.job(lived.id, OURS)
        content = getattr(record, "content", None)
        assert _end_of(steps) == (record and (record.status, content))
        counted = elsewhere(shared, f"SELECT completion_tokens FROM usage WHERE job_id = '{lived.id}'")
        assert counted == {"Paris.": [(20,)], "Par": [(1,)]}.get(str(content), [])

    with_ledger(shared, scenario)


def _end_of(steps: list[str]) -> tuple[JobState, str | None] | None:
    """What is to be told of a job after these steps."""
    if "create" not in steps:
        return None
    lived = steps[steps.index("create") :]
    for step in lived:
        if step == "completed":
            return JobState.COMPLETED, "Paris."
        if step == "failed":
            return JobState.FAILED, "Par"
    return (JobState.PROCESSING if any("placed" in step for step in lived) else JobState.PENDING), None


def test_who_ends_a_job_again_is_told_how_it_had_ended(shared: Place) -> None:
    async def scenario(ledger: Ledger) -> None:
        lived, other = job(), job()
        await create(ledger, lived)
        await create(ledger, other)
        assert await ledger.finish([completed(lived)]) == {}
        before = await ledger.finish([failed(lived), completed(other)])
        assert before == {lived.id: await ledger.job(lived.id, lived.account_id)}
        assert await ledger.finish([completed(replace(lived, id=new_job_id()))]) == {}

    with_ledger(shared, scenario)


def test_a_journal_whose_place_another_has_taken_ends_no_job(shared: Place) -> None:
    async def scenario(ledger: Ledger) -> None:
        lived, other = job(), job()
        await create(ledger, lived)
        await create(ledger, other)
        assert await ledger.hold(JOURNAL_ROLE, "first", begins=True)
        await ledger.finish([completed(lived)], "first")
        assert await ledger.hold(JOURNAL_ROLE, "second", begins=True)
        assert not await ledger.hold(JOURNAL_ROLE, "first", begins=False)
        with pytest.raises(Superseded):
            await ledger.finish([completed(other)], "first")
        assert other.id in {each.job.id for each in await ledger.open_jobs()}
        await ledger.finish([completed(other)], "second")

    with_ledger(shared, scenario)


def test_what_was_found_in_a_cache_is_told_by_the_jobs_end(place: Place) -> None:
    async def scenario(ledger: Ledger) -> None:
        known, quick = job(), job()
        reasoned = replace(placed(known), considered=ENGINES, passed=2)
        await create(ledger, known, quick)
        await ledger.placed([reasoned])
        ends = [replace(completed(each), ran=replace(placed(each), cached_tokens=48)) for each in (known, quick)]
        await ledger.finish(ends)
        assert await ledger.placements(known.id) == [replace(reasoned, cached_tokens=48)]
        assert await ledger.placements(quick.id) == [replace(placed(quick), cached_tokens=48)]
        late = replace(placed(quick), considered=ENGINES, passed=1)
        await ledger.placed([late])
        assert await ledger.placements(quick.id) == [replace(late, cached_tokens=48)]

    with_ledger(place, scenario)


def test_no_two_books_have_a_method_of_one_name() -> None:
    """The order in which the Ledger inherits them would decide which one is called."""
    of_books = [name for book in (*Ledger.__bases__, Book) for name in vars(book) if not name.startswith("__")]
    assert len(of_books) > 50
    assert sorted(of_books) == sorted(set(of_books))
    overridden = {name for name in vars(Ledger) if not name.startswith("__")} & set(of_books)
    assert overridden == set()
