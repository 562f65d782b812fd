"""Notices: made without waiting, and a failure of one disturbs nobody."""

import asyncio
import logging

import pytest

from actors.wire.calls import Unreachable, tell
from tests.support.plain_system import run


def test_the_caller_does_not_wait() -> None:
    async def scenario() -> None:
        heard, let_go = asyncio.Event(), asyncio.Event()

        async def call() -> None:
            heard.set()
            await let_go.wait()

        told = tell(call(), "a notice")
        assert not heard.is_set()
        await heard.wait()
        assert not told.done()
        let_go.set()
        await told

    run(scenario())


def test_a_failure_is_logged_and_no_more(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        async def call() -> None:
            raise Unreachable("engine/sim/0 died")

        with caplog.at_level(logging.WARNING):
            await tell(call(), "engine.abort")
        assert caplog.messages == ["engine.abort failed: Unreachable: engine/sim/0 died"]

    run(scenario())
