"""A step taken again and again: one error policy, and a signal for tests."""

import asyncio
import logging

import pytest

from actors.wire.calls import Unreachable
from actors.wire.every import Every
from cluster.errors import DatabaseUnavailable
from tests.support.plain_system import run, settled


def test_steps_are_taken_until_it_is_stopped() -> None:
    async def scenario() -> None:
        taken: list[int] = []

        async def step() -> None:
            taken.append(len(taken))

        every = Every(0.0, step, "a step")
        every.start()
        every.start()
        await every.taken()
        await every.taken()
        every.stop()
        so_far = len(taken)
        await settled()
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert so_far >= 2
        assert len(taken) == so_far

    run(scenario())


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (RuntimeError("broken"), "looking failed; trying again"),
        (Unreachable("ledger died"), "looking: Unreachable: ledger died; trying again"),
        (DatabaseUnavailable("locked"), "looking: DatabaseUnavailable: locked; trying again"),
    ],
)
def test_a_step_that_fails_is_told_of_and_taken_again(
    error: Exception, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        errors = [error]

        async def step() -> None:
            if errors:
                raise errors.pop()

        every = Every(0.0, step, "looking")
        every.start()
        with caplog.at_level(logging.WARNING):
            await every.taken()
            await every.taken()
        every.stop()
        assert caplog.messages == [told]

    run(scenario())


def test_a_step_that_is_hastened_does_not_wait_for_its_time() -> None:
    async def scenario() -> None:
        async def step() -> None:
            pass

        every = Every(3600.0, step, "a step")
        every.start()
        await every.taken()
        every.hasten()
        await every.taken()
        every.stop()

    run(scenario())
