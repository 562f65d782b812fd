"""The Journal and attempts: those that are shut out are not heard, and the next one goes on exactly, or anew."""

import pytest

from cluster.messages.work import OpenAttempt, Output, Released
from tests.support.journal_stage import DONE, E1, A, B, Reader, Restarted, Stage, said
from tests.support.plain_system import run, until


def test_fenced_attempts_are_dropped_and_the_next_continues_exactly() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            reader = Reader(stage.journal)
            await reader.watch(A)
            stage.first.says(A, "one ")
            await stage.heard(A, "one ")
            (fence,) = await stage.journal.fence([(A, 1)])
            assert (fence.attempt, fence.ended) == (2, False)
            assert fence.output == said("one ")

            stage.first.says(A, "too late ")
            await until(lambda: stage.first.aborted == [(A, 1)])
            stage.second.says(A, "two", attempt=2, resume=fence.output)
            stage.second.ends(A)
            await reader.end(A)
            assert reader.logs[A].text == "one two"
            assert stage.scheduler.done == [Released(A, 2, tokens=2)]
            assert stage.ledger.finished[0].ran is not None
            assert stage.ledger.finished[0].ran.engine_id == E1
            await until(lambda: stage.second.settled_jobs == [(A, 2)])

    run(scenario())


def test_a_fence_never_goes_back() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            stage.first.says(A, "x")
            await stage.heard(A, "x")
            numbers = [(await stage.journal.fence([(A, attempt)]))[0].attempt for attempt in (0, 0, 7, 3)]
            assert numbers == [2, 3, 8, 9]

    run(scenario())


def test_a_fence_of_what_is_not_known_here_goes_on_from_what_was_tried() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            await stage.journal.watch("reader", [(B, 0, 0)])
            for number in (4, 5):
                fences = await stage.journal.fence([(A, 3), (B, 0)])
                assert [(f.job_id, f.attempt, f.output, f.ended) for f in fences] == [
                    (A, number, Output(epoch=1), False),
                    (B, 1, Output(epoch=1), False),
                ]

    run(scenario())


def test_an_attempt_that_was_shut_out_before_its_first_word_is_not_heard() -> None:
    """Its node was silent, and so was the engine, which was still reading the prompt."""

    async def scenario() -> None:
        async with Stage() as stage:
            (fence,) = await stage.journal.fence([(A, 1)])
            reader = Reader(stage.journal)
            assert await reader.watch(A) == [A]  # it may have ended before this Journal began
            await stage.journal.watch("other", [(A, 0, 0)])
            await stage.journal.unwatch("other", [A])
            stage.first.says(A, "too late")
            await until(lambda: stage.first.aborted == [(A, 1)])
            stage.second.says(A, "one two", attempt=fence.attempt)
            stage.second.ends(A)
            await reader.end(A)
            assert reader.logs[A].text == "one two"

    run(scenario())


def test_an_attempt_is_heard_from_one_engine() -> None:
    """Two Schedulers, one after the other, each began it, and the first died before it could tell anybody."""

    async def scenario() -> None:
        async with Stage() as stage:
            stage.ledger.open.clear()
            stage.first.says(A, "one ")
            stage.first.says(B, "x")
            stage.first.ends(B)
            await stage.heard(A, "one ")
            for job_id in (A, B):
                stage.second.says(job_id, "other words")
                stage.second.ends(job_id)
            await until(lambda: stage.second.aborted == [(A, 1)])
            await until(lambda: stage.second.settled_jobs == [(A, 1)])
            stage.first.says(A, "two")
            await stage.heard(A, "one two")
            assert (stage.first.aborted, stage.first.settled_jobs) == ([], [])
            stage.ledger.open.set()
            await until(lambda: stage.first.settled_jobs == [(B, 1)])
            await until(lambda: stage.second.settled_jobs == [(A, 1), (B, 1)])

    run(scenario())


def test_a_job_that_is_ending_is_not_fenced_before_it_has_ended() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            stage.ledger.open.clear()
            stage.first.says(A, "x")
            stage.first.ends(A)
            await until(lambda: stage.ledger.calls)
            assert [fence.job_id for fence in await stage.journal.fence([(A, 1), (B, 1)])] == [B]
            stage.ledger.open.set()
            await until(lambda: stage.first.settled_jobs)
            assert [fence.ended for fence in await stage.journal.fence([(A, 1)])] == [True]

    run(scenario())


def test_a_prompt_that_cannot_be_rendered_again_goes_with_the_text() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            stage.first.says(A, "x")
            stage.first.logs[A].keep_prompt([7, 8, 9])
            await stage.heard(A, "x")
            stage.ledger.open_jobs = [(A, 1, 0)]
            again = stage.new_journal()
            await again.start()
            for journal in (stage.journal, again):
                (fence,) = await journal.fence([(A, 1)])
                assert (fence.output.text, fence.output.prompt_ids) == ("x", (7, 8, 9))
            await again.stop()

    run(scenario())


def test_a_text_that_is_begun_without_the_earlier_one_takes_its_place() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            reader = Reader(stage.journal)
            await reader.watch(A)
            stage.first.says(A, "The answer is 41")
            await reader.told(A, "The answer is 41")
            stage.second.says(A, "The answer is 42", attempt=2)  # it was told nothing to go on from
            stage.second.ends(A)
            assert await reader.end(A) == DONE
            assert (reader.logs[A].text, reader.logs[A].epoch) == ("The answer is 42", 2)
            assert [(ended.content, ended.epoch) for ended in stage.ledger.finished] == [("The answer is 42", 2)]

    run(scenario())


def test_whoever_goes_on_keeps_the_epoch() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            stage.first.says(A, "one ", attempt=2)
            await stage.heard(A, "one ")
            (fence,) = await stage.journal.fence([(A, 2)])
            assert fence.output == said("one ", epoch=2)
            stage.second.says(A, "two", attempt=3, resume=fence.output)
            await stage.heard(A, "one two")
            assert (await stage.journal.output(A)).epoch == 2

    run(scenario())


@pytest.mark.parametrize(
    ("open_before", "epoch"),
    [([], 1), ([(A, 1, 0)], 0), ([(A, 0, 0)], 0)],
    ids=["accepted since", "placed before", "accepted before"],
)
def test_a_text_has_another_epoch_only_where_an_earlier_one_may_have_been_told(
    open_before: list[OpenAttempt], epoch: int
) -> None:
    async def scenario() -> None:
        stage = Restarted()
        stage.ledger.open_jobs = open_before
        async with stage:
            (fence,) = await stage.journal.fence([(A, 1)])
            assert fence.output == Output(epoch=epoch)

    run(scenario())


def test_a_reader_with_a_position_in_another_text_is_told_this_one_from_its_start() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            stage.first.says(A, "other text", attempt=2)
            await stage.heard(A, "other text")
            reader = Reader(stage.journal)
            await reader.watch(A, offset=5, epoch=1)
            await reader.told(A, "other text")

    run(scenario())
