"""Events of the jobs' own API: what a piece of a text is told as, and the id that names the position after it."""

import json
from typing import Any

import pytest

from api.http.sse import DONE, PING, encode
from api.replica.live import Piece
from cluster.messages.marks import PLAIN, Stopped, Tokens, Turn, Whole
from cluster.messages.money import Usage
from cluster.messages.work import Failed, Finished

CALL: dict[str, Any] = {"index": 1, "id": "call_1"}


@pytest.mark.parametrize(
    ("turn", "told"),
    [
        (PLAIN, {"text": "é"}),
        (Turn(7), {"text": "é"}),
        (Turn(7, "content", 2), {"text": "é", "choice": 2}),
        (Turn(7, "reasoning"), {"reasoning": "é"}),
        (Turn(7, "tool", 0, 1, "call_1"), {"tool_calls": [CALL | {"name": "é"}]}),
        (Turn(7, "arguments", 3, 1, "call_1"), {"tool_calls": [CALL | {"arguments": "é"}], "choice": 3}),
    ],
)
def test_a_piece_says_what_it_is(turn: Turn, told: dict[str, Any]) -> None:
    event = encode(Piece("é", 8, turn=turn)).decode()
    name, data, end = event.split("\n", 2)
    assert (name, end) == ("id: 8", "\n")
    assert json.loads(data.removeprefix("data: ")) == told


def test_a_position_in_another_text_than_the_first_says_so() -> None:
    assert encode(Piece("x", 8, epoch=42)).startswith(b"id: 42-8\n")


@pytest.mark.parametrize("note", [Tokens(8, 0, (1,)), Stopped(8, 1, "stop"), Whole(8, 0, "x")])
def test_what_comes_without_text_is_no_event(note: Tokens | Stopped | Whole) -> None:
    assert encode(Piece(offset=8, notes=(note,))) == b""


def test_signs_of_life_and_ends() -> None:
    assert encode(Piece(offset=8)) == PING
    assert encode(Piece(offset=8, end=Finished(Usage(), "stop"))) == b"id: end\n" + DONE
    failed = encode(Piece(offset=8, end=Failed(Usage(), "timeout", "too late")))
    assert failed == b'id: end\ndata: {"error":"timeout","message":"too late"}\n\n'
