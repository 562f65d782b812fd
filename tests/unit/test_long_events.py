"""However much there is to tell at once, as in the replay of a long answer, no event is longer than readers take."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from api.http.sse import encode
from api.openai.choices import Told
from api.openai.completions import Chunks, ChunksWanted
from api.openai.text_answers import TextChunks, TextWanted
from api.replica.live import Piece, Reader
from cluster.ids import JobId
from cluster.messages.marks import Mark, Prompt, Stopped, Tokens, Turn, Whole
from cluster.messages.money import Usage
from cluster.messages.work import Accepted, Finished
from cluster.text.token_log import TokenLog

MOST_BYTES = 16 * 1024
LETTERS = 40_000
ACCEPTED = Accepted(JobId("job_1"), "m", 5_000)
TEXTS = {"ascii": "a", "two bytes": "é", "emoji": "🦊", "quotes": '"', "control characters": "\x01", "lines": "\n"}


def log_of(text: str, marks: Sequence[Mark] = ()) -> TokenLog:
    log = TokenLog(epoch=1)
    log.append(text, marks=marks)
    log.close(Finished(Usage(), "stop"))
    return log


def pieces_of(log: TokenLog) -> list[Piece]:
    reader, pieces = Reader(), list[Piece]()
    while not pieces or pieces[-1].end is None:
        piece = reader.next(log)
        assert piece is not None
        pieces.append(piece)
    return pieces


def events(log: TokenLog, tell: Callable[[Piece], bytes]) -> list[bytes]:
    """What the whole log is told as. No event is too long, and none that there was to tell is left out."""
    told = [event for piece in pieces_of(log) for event in tell(piece).split(b"\n\n") if event]
    assert max(map(len, told)) <= MOST_BYTES
    return told


def data(event: bytes) -> Any:
    return json.loads(event.partition(b"data: ")[2])


@pytest.mark.parametrize("letter", TEXTS.values(), ids=TEXTS)
def test_a_long_text(letter: str) -> None:
    *told, _ = events(log_of(letter * LETTERS), encode)
    assert "".join(data(event)["text"] for event in told) == letter * LETTERS
    ids = [int(event.split(b"\n")[0].removeprefix(b"id: ")) for event in told]
    assert (ids, ids[-1]) == (sorted(set(ids)), LETTERS)  # a reader can go on from each of them


@pytest.mark.parametrize("letter", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize("kind", ["content", "reasoning", "arguments"])
def test_a_long_text_of_any_kind(kind: Any, letter: str) -> None:
    log = log_of(letter * LETTERS, [Turn(0, kind, 0, 0, "call")])
    events(log, encode)
    events(log, Chunks(ACCEPTED, ChunksWanted()).encode)
    assert sum(len(piece.text) for piece in pieces_of(log)) == LETTERS


def test_log_probabilities() -> None:
    entry = {"token": "a", "logprob": -0.25, "bytes": [97], "top_logprobs": [{"token": "b", "logprob": -1.5}] * 20}
    marks = [Tokens(at, 0, (1,), json.dumps([entry])) for at in range(300)]
    wanted = ChunksWanted(told=Told(logprobs=True, token_ids=True))
    told = events(log_of("a" * 300, marks), Chunks(ACCEPTED, wanted).encode)
    choices = [choice for event in told if event != b"data: [DONE]" for choice in data(event)["choices"]]
    assert sum(len((choice["logprobs"] or {"content": []})["content"]) for choice in choices) == 300
    assert sum(len(choice.get("token_ids", [])) for choice in choices) == 300


def test_choices_one_after_the_other() -> None:
    marks = [
        Stopped(LETTERS, 0, "stop"),
        Turn(LETTERS, "content", 1),
        Whole(2 * LETTERS, 1, "b"),
        Stopped(2 * LETTERS, 1, "stop"),
    ]
    told = events(log_of("a" * LETTERS + "b" * LETTERS, marks), Chunks(ACCEPTED, ChunksWanted(2)).encode)
    choices = [choice for event in told if event != b"data: [DONE]" for choice in data(event)["choices"]]
    for index, letter in enumerate("ab"):
        mine = [choice["delta"].get("content") or "" for choice in choices if choice["index"] == index]
        assert "".join(mine) == letter * LETTERS


def test_a_prompt_that_is_echoed() -> None:
    log = log_of("a", [Prompt(0, 0, (), "p" * LETTERS)])
    told = events(log, Chunks(ACCEPTED, ChunksWanted()).encode)
    said = [data(event)["choices"][0]["delta"].get("content") or "" for event in told if event != b"data: [DONE]"]
    assert "".join(said) == "p" * LETTERS + "a"


def test_a_completion_of_a_prompt() -> None:
    told = events(log_of("a" * LETTERS), TextChunks(ACCEPTED, TextWanted()).encode)
    assert "".join(data(event)["choices"][0]["text"] for event in told if event != b"data: [DONE]") == "a" * LETTERS
