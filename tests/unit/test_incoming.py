"""A body that does not come is not waited for, and what nobody reads of one is let pass."""

import asyncio
from collections.abc import Sequence

import pytest
from starlette.types import Message, Scope

from api.http.incoming import Incoming
from cluster.errors import BadRequest
from tests.support.plain_system import PATIENCE_S, run

PART: Message = {"type": "http.request", "body": b"a", "more_body": True}
LAST: Message = {"type": "http.request", "body": b"a", "more_body": False}
GONE: Message = {"type": "http.disconnect"}
SOON_S = 0.02


class Client:
    """Sends these parts, and then nothing more."""

    def __init__(self, *parts: Message) -> None:
        self._parts = list(parts)
        self.heard = 0

    async def __call__(self) -> Message:
        if not self._parts:
            await asyncio.get_running_loop().create_future()
        self.heard += 1
        return self._parts.pop(0)


def scope(*headers: tuple[bytes, bytes]) -> Scope:
    return {"type": "http", "headers": headers}


BODY = scope((b"content-length", b"2"))
CHUNKED = scope((b"transfer-encoding", b"chunked"))
ASKS_FIRST = scope((b"content-length", b"2"), (b"expect", b"100-continue"))
WITHOUT = scope()


@pytest.mark.parametrize("announced", [BODY, CHUNKED])
def test_a_body_that_does_not_come_is_refused(announced: Scope) -> None:
    async def scenario() -> None:
        incoming = Incoming(announced, Client(PART), body_s=SOON_S)
        assert await incoming() == PART
        with pytest.raises(BadRequest, match=r"^Request body: did not arrive within 0.02 s$"):
            await incoming()
        # Who refuses it does not wait again.
        assert not await incoming.is_over()

    run(scenario())


def test_what_follows_a_body_is_waited_for_without_limit() -> None:
    async def scenario() -> None:
        for announced, parts in ((BODY, [PART, LAST]), (WITHOUT, [])):
            incoming = Incoming(announced, Client(*parts), body_s=SOON_S)
            for part in parts:
                assert await incoming() == part
            hearing = asyncio.ensure_future(incoming())
            assert (await asyncio.wait([hearing], timeout=3 * SOON_S))[0] == set()
            hearing.cancel()

    run(scenario())


@pytest.mark.parametrize(
    ("announced", "parts", "over"),
    [
        (WITHOUT, [], True),
        (BODY, [PART, LAST], True),
        (CHUNKED, [PART, PART, LAST], True),
        (BODY, [PART, GONE], True),
        (BODY, [PART], False),
        (ASKS_FIRST, [], False),
    ],
)
def test_the_rest_of_a_body_is_let_pass_before_an_answer(
    announced: Scope, parts: Sequence[Message], over: bool
) -> None:
    async def scenario() -> None:
        client = Client(*parts)
        assert await Incoming(announced, client, linger_s=SOON_S).is_over() == over
        assert client.heard == len(parts)

    run(scenario())


def test_who_has_asked_whether_to_send_is_not_told_to_by_a_refusal() -> None:
    async def scenario() -> None:
        client = Client(PART)
        assert not await Incoming(ASKS_FIRST, client).is_over()
        assert client.heard == 0

    run(scenario())


def test_two_may_hear_at_once() -> None:
    """An answer begins while something else waits for the client to hang up."""

    async def scenario() -> None:
        incoming = Incoming(BODY, Client(PART, LAST, GONE), linger_s=PATIENCE_S)

        async def until_gone() -> None:
            while await incoming() != GONE:
                pass

        gone = asyncio.ensure_future(until_gone())
        await asyncio.sleep(0)
        assert await incoming.is_over()
        await gone

    run(scenario())


def test_whoever_waits_for_a_hang_up_is_left_waiting_when_the_body_is_given_up() -> None:
    async def scenario() -> None:
        incoming = Incoming(BODY, Client(), body_s=3 * SOON_S, linger_s=SOON_S)
        hearing = asyncio.ensure_future(incoming())
        assert not await incoming.is_over()
        assert (await asyncio.wait([hearing], timeout=6 * SOON_S))[0] == set()
        hearing.cancel()

    run(scenario())
