"""Frames: every reader is told each log exactly, from wherever it asks."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from itertools import accumulate

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.wire import frames
from actors.wire.frames import VERSION, JobLog, OtherVersion, Outbox, decode, encode, follow
from cluster.ids import JobId
from cluster.messages.marks import Prompt, Stopped, Tokens, Turn
from cluster.messages.money import Usage
from cluster.messages.origin import Origin
from cluster.messages.work import Delta, Finished
from cluster.text.token_log import Gap, TokenLog
from tests.support.plain_system import run, settled

END = Finished(Usage(3, 2), "stop")
A, B = JobId("job_a"), JobId("job_b")
MARKS = (
    Turn(6, "arguments", 1, 2, "call_1"),
    Tokens(6, 1, (7, 90_000), "[{}]"),
    Stopped(8, 1, "length", "x", 2),
    Prompt(0, 1, (5,), "p", "[null]"),
)


async def one(stream: AsyncGenerator[bytes, None]) -> list[Delta]:
    async with asyncio.timeout(5):
        return decode(await anext(stream))


def rebuilt(deltas: Sequence[Delta]) -> TokenLog:
    log = TokenLog()
    for delta in deltas:
        log.append_at(delta.offset, delta.text, delta.token_offset, delta.token_ids, delta.ends)
        if delta.end is not None:
            log.close(delta.end)
    return log


def test_what_is_there_is_told_first_then_what_is_new() -> None:
    async def scenario() -> None:
        source = JobLog(A, 2, TokenLog(epoch=2))
        source.prompt_tokens = 3
        source.log.append("Größe ", (1, 2), (4, 6))
        outbox = Outbox(0.0, with_tokens=True)
        outbox.watch(source)
        stream = outbox.frames()
        assert await one(stream) == [Delta(A, 2, 0, "Größe ", 0, (1, 2), 3, None, (4, 6), 2)]
        source.log.append("🦊", [7])
        source.log.close(END)
        outbox.touch(A)
        assert await one(stream) == [Delta(A, 2, 6, "🦊", 2, (7,), 3, END, (7,), 2)]
        assert not outbox.watches(A)
        await stream.aclose()

    run(scenario())


def test_without_tokens_only_text_travels() -> None:
    async def scenario() -> None:
        source = JobLog(A)
        source.log.append("ab", [1, 2])
        outbox = Outbox(0.0)
        outbox.watch(source, offset=1)
        assert await one(outbox.frames()) == [Delta(A, 0, 1, "b")]

    run(scenario())


def test_news_of_many_jobs_travel_together() -> None:
    async def scenario() -> None:
        sources = [JobLog(JobId(f"job_{n}")) for n in range(50)]
        outbox = Outbox(0.0)
        for source in sources:
            outbox.watch(source)
            source.log.append(source.job_id)
            outbox.touch(source.job_id)
        deltas = await one(outbox.frames())
        assert {delta.job_id: delta.text for delta in deltas} == {source.job_id: source.job_id for source in sources}

    run(scenario())


def test_nothing_is_said_of_what_did_not_change_or_is_not_watched() -> None:
    async def scenario() -> None:
        quiet, left, heard = JobLog(A), JobLog(B), JobLog(JobId("job_c"))
        outbox = Outbox(0.0)
        for source in (quiet, left, heard):
            outbox.watch(source)
        left.log.append("not heard")
        outbox.unwatch(B)
        outbox.touch(B)
        outbox.touch("unknown")
        heard.log.append("heard")
        outbox.touch(heard.job_id)
        assert [delta.text for delta in await one(outbox.frames())] == ["heard"]

    run(scenario())


def test_watched_again_it_begins_anew() -> None:
    async def scenario() -> None:
        source = JobLog(A)
        source.log.append("abc")
        outbox = Outbox(0.0)
        outbox.watch(source)
        stream = outbox.frames()
        assert [delta.text for delta in await one(stream)] == ["abc"]
        outbox.watch(source, offset=1)
        assert [(delta.offset, delta.text) for delta in await one(stream)] == [(1, "bc")]

    run(scenario())


def test_a_position_beyond_the_end_gives_the_end_alone() -> None:
    async def scenario() -> None:
        source = JobLog(A)
        source.log.append("abc")
        source.log.close(END)
        outbox = Outbox(0.0)
        outbox.watch(source, offset=10)
        assert [(delta.text, delta.end) for delta in await one(outbox.frames())] == [("", END)]

    run(scenario())


def test_later_news_wait_for_the_interval() -> None:
    async def scenario() -> None:
        source = JobLog(A)
        outbox = Outbox(3600.0)
        source.log.append("at once")
        outbox.watch(source)
        stream = outbox.frames()
        assert [delta.text for delta in await one(stream)] == ["at once"]
        source.log.append(" later")
        outbox.touch(A)
        second = asyncio.ensure_future(anext(stream))
        await settled()
        assert not second.done()
        second.cancel()
        await asyncio.gather(second, return_exceptions=True)

    run(scenario())


@pytest.mark.parametrize("news", ["a first word", "an end"])
def test_a_first_word_and_an_end_wait_for_a_part_of_the_interval_only(
    news: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frames, "_URGENT_SHARE", 0.0)

    async def scenario() -> None:
        flowing, other = JobLog(A), JobLog(B)
        outbox = Outbox(3600.0)
        flowing.log.append("at once")
        outbox.watch(flowing)
        outbox.watch(other)
        stream = outbox.frames()
        await one(stream)
        flowing.log.append(", later")
        outbox.touch(A)
        second = asyncio.ensure_future(anext(stream))
        await settled()
        assert not second.done()
        if news == "an end":
            flowing.log.close(END)
            outbox.touch(A)
        else:
            other.log.append("first")
            outbox.touch(B)
        async with asyncio.timeout(5):
            assert ", later" in [delta.text for delta in decode(await second)]

    run(scenario())


def test_a_reader_that_acknowledges_nothing_gets_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "UNACKNOWLEDGED_FRAMES", 4)

    async def scenario() -> None:
        source = JobLog(A)
        outbox = Outbox(0.0)
        outbox.watch(source)
        stream = outbox.frames()
        for _ in range(4):
            source.log.append("x")
            outbox.touch(A)
            await one(stream)
        source.log.append("yz")
        outbox.touch(A)
        next_frame = asyncio.ensure_future(anext(stream))
        await settled()
        assert not next_frame.done()
        outbox.acknowledge(0)
        await settled()
        assert not next_frame.done()
        outbox.acknowledge(1)
        assert [delta.text for delta in decode(await next_frame)] == ["yz"]

    run(scenario())


@pytest.mark.parametrize(("jobs", "intervals"), [(1, 1.0), (32, 1.0), (48, 1.5), (64, 2.0), (10_000, 2.0)])
def test_frames_of_many_jobs_come_half_as_often_and_never_less(jobs: int, intervals: float) -> None:
    assert frames.intervals_between_frames(jobs) == intervals


@pytest.mark.parametrize(("with_tokens", "told"), [(True, [(5, 6), ()]), (False, [(), ()])])
def test_a_prompt_that_is_kept_is_told_once_to_whom_is_told_tokens(with_tokens: bool, told: list[tuple[int]]) -> None:
    async def scenario() -> None:
        source = JobLog(A, prompt_ids=[5, 6])
        outbox = Outbox(0.0, with_tokens)
        outbox.watch(source)
        stream, heard = outbox.frames(), []
        await anext(stream)
        for token_id, text in enumerate(("a", "b")):
            source.log.append(text, (token_id,))
            source.touch()
            heard += await one(stream)
        assert [delta.prompt_ids for delta in heard] == told

    run(scenario())


def test_a_frame_is_these_bytes() -> None:
    """A change of them is another version: actors of two versions must not understand each other half."""
    told = Delta(
        A, 2, 6, "é🦊", 1, (7, 90_000), 3, Finished(Usage(3, 2), "stop"), (7, 8), 2, (5,), 9, 1, MARKS, Origin("~", "0")
    )
    golden = (
        "92 06 91 9f a5 6a6f625f61 02 06 a6 c3a9f09fa68a 01 92 07 ce00015f90 03"
        "84 a474797065 a846696e6973686564"
        "a57573616765 84 ad70726f6d70745f746f6b656e73 03 b1636f6d706c6574696f6e5f746f6b656e73 02"
        "ad6361636865645f746f6b656e73 c0 b0726561736f6e696e675f746f6b656e73 c0"
        "ad66696e6973685f726561736f6e a473746f70 ab73746f705f726561736f6e c0"
        "92 07 08 02 91 05 09 01"
        "94 96 a47475726e 06 a9617267756d656e7473 01 02 a663616c6c5f31"
        "95 a6746f6b656e73 06 01 92 07 ce00015f90 a45b7b7d5d"
        "96 a773746f70706564 08 01 a66c656e677468 a178 02"
        "98 a670726f6d7074 00 01 91 05 a170 a65b6e756c6c5d a0 a0"
        "92 a17e a130"
    )
    assert encode([told]) == bytes.fromhex(golden)
    assert decode(bytes.fromhex(golden)) == [told]
    assert VERSION == 6


@pytest.mark.parametrize(
    ("frame", "version"),
    [
        (msgspec.msgpack.encode([Delta(A, 1, 0, "x")]), 1),
        (msgspec.msgpack.encode([]), 1),
        (msgspec.msgpack.encode((VERSION + 1, [["whatever", "it", "is"]])), VERSION + 1),
    ],
    ids=["of one delta, before frames had versions", "empty, before frames had versions", "of the next version"],
)
def test_a_frame_of_another_version_is_refused(frame: bytes, version: int) -> None:
    with pytest.raises(OtherVersion, match=rf"of version {version}, and this process reads version {VERSION}"):
        decode(frame)


def test_the_first_frame_tells_what_there_is_be_it_nothing() -> None:
    async def scenario() -> None:
        outbox = Outbox(3600.0)
        stream = outbox.frames()
        assert await one(stream) == []
        source = JobLog(A)
        source.log.append("at once")
        outbox.watch(source)
        assert [delta.text for delta in await one(stream)] == ["at once"]

    run(scenario())


def test_another_text_is_told_from_its_start_wherever_a_reader_stood() -> None:
    async def scenario() -> None:
        source = JobLog(A, 1, TokenLog(epoch=1))
        source.log.append("one", (1,))
        outbox = Outbox(0.0, with_tokens=True)
        outbox.watch(source)
        stream = outbox.frames()
        await one(stream)
        other = TokenLog(epoch=2)
        source.begin_anew(other)
        other.append("two", (2,))
        source.touch()
        assert await one(stream) == [Delta(A, 1, 0, "two", 0, (2,), 0, None, (3,), 2)]

    run(scenario())


def test_what_is_cut_off_is_told_anew_from_there() -> None:
    async def scenario() -> None:
        source = JobLog(A, 1)
        for token, text in enumerate(("one ", "two ", "three")):
            source.log.append(text, (token,))
        outbox, behind = Outbox(0.0, with_tokens=True), Outbox(0.0)
        outbox.watch(source)
        behind.watch(source, offset=1)
        stream = outbox.frames()
        await one(stream)
        source.cut(1)
        source.log.append("zwei", (7,))
        source.touch()
        assert await one(stream) == [Delta(A, 1, 4, "zwei", 1, (7,), 0, None, (8,))]
        assert [delta.text for delta in await one(behind.frames())] == ["ne zwei"]

    run(scenario())


def test_a_closed_outbox_watches_nothing() -> None:
    source = JobLog(A)
    outbox = Outbox(0.0)
    outbox.watch(source)
    assert list(source.watchers) == [outbox]
    assert outbox.close() == [A]
    assert (source.watchers, outbox.watches(A)) == ({}, False)


async def numbered(count: int, closed: list[bool]) -> AsyncGenerator[bytes, None]:
    """So many frames, each of one job that says its number."""
    try:
        for number in range(count):
            yield encode([Delta(A, 1, 0, str(number))])
    finally:
        closed.append(True)


def test_following_a_stream_takes_every_frame_and_acknowledges_now_and_then() -> None:
    async def scenario() -> None:
        texts: list[str] = []
        acknowledged: list[int] = []
        closed: list[bool] = []
        await follow(numbered(20, closed), lambda deltas: texts.append(deltas[0].text), acknowledged.append)
        assert texts == [str(number) for number in range(20)]
        assert (acknowledged, closed) == ([8, 16], [True])

    run(scenario())


def test_what_a_stream_begins_with_is_looked_at_before_it_is_taken() -> None:
    async def scenario() -> None:
        told: list[str] = []
        closed: list[bool] = []

        async def beginning(deltas: Sequence[Delta]) -> None:
            await asyncio.sleep(0)
            told.append(f"begins with {deltas[0].text}")

        await follow(numbered(3, closed), lambda deltas: told.append(deltas[0].text), lambda received: None, beginning)
        assert told == ["begins with 0", "0", "1", "2"]

    run(scenario())


def test_a_stream_that_has_grown_old_is_left_and_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "RENEW_AFTER_FRAMES", 3)

    async def scenario() -> None:
        texts: list[str] = []
        closed: list[bool] = []
        await follow(numbered(20, closed), lambda deltas: texts.append(deltas[0].text), lambda received: None)
        assert (texts, closed) == (["0", "1", "2"], [True])

    run(scenario())


def test_a_stream_is_closed_when_a_frame_cannot_be_taken() -> None:
    async def scenario() -> None:
        closed: list[bool] = []

        def refuse(_: Sequence[Delta]) -> None:
            raise Gap("something is missing")

        with pytest.raises(Gap):
            await follow(numbered(20, closed), refuse, lambda received: None)
        assert closed == [True]

    run(scenario())


@given(
    parts=st.lists(st.text(min_size=1, max_size=4), max_size=12),
    reads=st.lists(st.booleans(), max_size=12),
    offset=st.integers(0, 20),
)
def test_any_reading_rebuilds_the_text(parts: list[str], reads: list[bool], offset: int) -> None:
    async def scenario() -> None:
        source = JobLog(A)
        full = "".join(parts)
        outbox = Outbox(0.0, with_tokens=True)
        outbox.watch(source)
        late = Outbox(0.0)
        stream = outbox.frames()
        deltas: list[Delta] = []
        for number, part in enumerate(parts):
            source.log.append(part, [number])
            outbox.touch(A)
            if number < len(reads) and reads[number]:
                deltas += await one(stream)
        source.log.close(END)
        outbox.touch(A)
        deltas += await one(stream)
        log = rebuilt(deltas)
        assert (log.text, list(log.token_ids), log.end) == (full, list(range(len(parts))), END)
        assert list(log.ends) == list(accumulate(map(len, parts)))
        late.watch(source, offset)
        assert [delta.text for delta in await one(late.frames())] == [full[offset:]]

    run(scenario())
