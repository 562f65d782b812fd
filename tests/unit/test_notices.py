"""Notices that nobody waits for."""

import asyncio
import logging

import pytest

from actors.wire.notices import Notices
from tests.support.plain_system import run, settled, until

INTERVAL_S = 0.1


class Told:
    def __init__(self) -> None:
        self.calls: list[list[int]] = []
        self.failing = False

    async def __call__(self, notices: list[int]) -> None:
        self.calls.append(notices)
        if self.failing:
            raise ConnectionError("nobody there")


def alone() -> bool:
    """Whether nothing but this test is under way: no call, and no wait for the next one."""
    return len(asyncio.all_tasks()) == 1


def test_the_first_goes_at_once_and_what_comes_meanwhile_as_one() -> None:
    async def scenario() -> None:
        told = Told()
        notices = Notices(told, "telling", INTERVAL_S)
        notices.add([1])
        await settled()
        assert told.calls == [[1]]
        for number in (2, 3, 4):
            notices.add([number])
            await settled()
        assert told.calls == [[1]]
        await until(lambda: len(told.calls) == 2)
        assert told.calls == [[1], [2, 3, 4]]

    run(scenario())


def test_after_a_pause_the_next_goes_at_once_again() -> None:
    async def scenario() -> None:
        told = Told()
        notices = Notices(told, "telling", INTERVAL_S)
        notices.add([1])
        await until(alone)
        notices.add([])
        notices.add([2, 3])
        await settled()
        assert told.calls == [[1], [2, 3]]

    run(scenario())


def test_a_call_that_fails_is_told_and_holds_up_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        told = Told()
        told.failing = True
        notices = Notices(told, "telling them", INTERVAL_S)
        notices.add([1])
        await settled()
        notices.add([2])
        await until(lambda: told.calls == [[1], [2]])

    with caplog.at_level(logging.WARNING):
        run(scenario())
    assert "telling them failed: ConnectionError" in caplog.text


def test_nothing_is_told_after_the_stop() -> None:
    async def scenario() -> None:
        told = Told()
        notices = Notices(told, "telling", INTERVAL_S)
        notices.add([1])
        await settled()
        notices.add([2])
        notices.stop()
        await settled()
        assert alone()
        assert told.calls == [[1]]

    run(scenario())
