"""Texts that mean more than an answer, on their way: whoever reads, from wherever, is told each piece once, as it is.

From a log by frames (`actors/wire/frames.py`) to what a replica knows of a job, and to its readers (`api/replica/`).
"""

from collections.abc import AsyncGenerator, Sequence

from hypothesis import given
from hypothesis import strategies as st

from actors.wire.frames import JobLog, Outbox, decode
from api.replica.live import Live, Piece, Reader
from cluster.ids import AccountId, JobId
from cluster.messages.marks import Mark, Turn
from cluster.messages.money import Usage
from cluster.messages.work import Delta, Finished, Output, Position
from cluster.text.choices import segments
from cluster.text.token_log import TokenLog
from tests.support.marked_texts import Step, marked_steps
from tests.support.plain_system import run

END = Finished(Usage(3, 5), "stop")
Meant = tuple[str, int, str]
A = JobId("job_a")


def whole(steps: Sequence[Step]) -> TokenLog:
    log = TokenLog(epoch=1)
    for step in steps:
        log.append(step.text, step.token_ids, step.ends, step.marks)
    return log


def meant(text: str, marks: Sequence[Mark], begin: int = 0) -> list[Meant]:
    """What each character from `begin` on means."""
    found = ((each.turn.kind, each.turn.choice, letter) for each in segments(text, marks) for letter in each.text)
    return list(found)[begin:]


def notes(marks: Sequence[Mark], begin: int = 0) -> list[Mark]:
    """What else is told of the text from `begin` on."""
    return [mark for mark in marks if not isinstance(mark, Turn) and mark.at >= begin]


def told(pieces: Sequence[Piece]) -> list[Meant]:
    return [(piece.turn.kind, piece.turn.choice, letter) for piece in pieces for letter in piece.text]


def noted(pieces: Sequence[Piece]) -> list[Mark]:
    return [note for piece in pieces for note in piece.notes]


def rest(reader: Reader, log: TokenLog) -> list[Piece]:
    """All that the reader is told before the end, or before there is more."""
    pieces: list[Piece] = []
    while (piece := reader.next(log)) is not None and piece.end is None:
        pieces.append(piece)
    return pieces


@given(marked_steps, st.data())
def test_a_reader_is_told_everything_once_however_it_comes(steps: list[Step], data: st.DataObject) -> None:
    log, reader, pieces = TokenLog(epoch=1), Reader(), list[Piece]()
    for step in steps:
        log.append(step.text, step.token_ids, step.ends, step.marks)
        for _ in range(data.draw(st.integers(0, 3))):
            if piece := reader.next(log):
                pieces.append(piece)
    pieces += rest(reader, log)
    assert told(pieces) == meant(log.text, log.marks)
    assert noted(pieces) == notes(log.marks)
    assert [piece.offset for piece in pieces] == sorted(piece.offset for piece in pieces)
    log.close(END)
    assert reader.next(log) == Piece(offset=log.length, end=END)


@given(marked_steps, st.data())
def test_a_reader_that_comes_back_is_told_what_follows_its_position(steps: list[Step], data: st.DataObject) -> None:
    log = whole(steps)
    offset = data.draw(st.integers(0, log.length))
    pieces = rest(Reader(Position(offset)), log)
    assert told(pieces) == meant(log.text, log.marks, offset)
    assert noted(pieces) == notes(log.marks, offset)


@given(marked_steps, st.data())
def test_a_piece_is_of_one_kind_and_comes_with_its_own_notes(steps: list[Step], data: st.DataObject) -> None:
    log = whole(steps)
    offset = data.draw(st.integers(0, log.length))
    for piece in rest(Reader(Position(offset)), log):
        begin = piece.offset - len(piece.text)
        assert piece.text == log.text[begin : piece.offset]
        assert all(begin <= note.at < max(piece.offset, begin + 1) for note in piece.notes)


@given(marked_steps, st.data())
def test_frames_that_break_off_and_begin_anew_tell_every_mark_once(steps: list[Step], data: st.DataObject) -> None:
    """The Journal's stream breaks at any time: what it tells again is known already, and no reader notices."""

    async def scenario() -> None:
        source, live, reader = JobLog(A, 1, TokenLog(epoch=1)), Live(AccountId("us"), True, 0.0), Reader()
        live.enter(reader)
        pieces: list[Piece] = []
        outbox, stream = watching(source, live)
        for step in steps:
            source.log.append(step.text, step.token_ids, step.ends, step.marks)
            source.touch()
            match data.draw(st.sampled_from(["wait", "frame", "break"])):
                case "frame":
                    take(live, decode(await anext(stream)))
                    pieces += rest(reader, live.log)
                case "break":
                    outbox.close()
                    outbox, stream = watching(source, live)
        source.log.close(END)
        source.touch()
        take(live, decode(await anext(stream)))
        pieces += rest(reader, live.log)
        assert (live.log.text, live.log.marks, live.log.end) == (source.log.text, source.log.marks, END)
        assert told(pieces) == meant(source.log.text, source.log.marks)
        assert noted(pieces) == notes(source.log.marks)
        await stream.aclose()

    run(scenario())


def watching(source: JobLog, live: Live) -> tuple[Outbox, AsyncGenerator[bytes, None]]:
    """A new stream of frames, from where the replica stands."""
    outbox = Outbox(0.0)
    outbox.watch(source, live.log.length)
    return outbox, outbox.frames()


def take(live: Live, deltas: Sequence[Delta]) -> None:
    for delta in deltas:
        live.take(delta.epoch, delta.offset, delta.text, delta.mark_offset, delta.marks)
        if delta.end is not None:
            live.close(delta.end, delta.epoch, delta.offset + len(delta.text))


@given(marked_steps, st.data())
def test_a_log_that_is_sent_again_has_each_mark_once(steps: list[Step], data: st.DataObject) -> None:
    """By a sender that begins again at any of its steps."""
    source, log = whole(steps), TokenLog(epoch=1)
    for number in range(len(steps)):
        begin = data.draw(st.integers(0, number))
        before, until = whole(steps[:begin]), whole(steps[: number + 1])
        tokens, marks = len(before.token_ids), len(before.marks)
        log.append_at(
            before.length,
            until.since(before.length),
            tokens,
            until.token_ids[tokens:],
            until.ends[tokens:],
            marks,
            until.marks[marks:],
        )
    assert (log.text, log.marks) == (source.text, source.marks)
    assert log.output() == source.output()


@given(marked_steps, st.data())
def test_a_point_to_go_on_from_has_the_marks_of_its_text(steps: list[Step], data: st.DataObject) -> None:
    log = whole(steps)
    output = log.output()
    assert (output.text, list(output.marks)) == (log.text, log.marks)  # every step here ends with a token's text
    kept = data.draw(st.integers(0, len(steps)))
    source = whole(steps[:kept])
    log.cut(len(source.token_ids))
    assert (log.text, meant(log.text, log.marks)) == (source.text, meant(source.text, source.marks))
    assert set(log.marks) <= set(source.marks)
    assert TokenLog(Output(log.text, marks=tuple(log.marks))).marks == log.marks
