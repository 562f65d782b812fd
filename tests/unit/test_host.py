"""A hosted object starts however often that fails, and nobody who calls it meanwhile waits for ever."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from actors.ray.host import Host, Patience
from actors.wire.calls import Unreachable
from cluster.errors import StartError
from tests.support.plain_system import run

QUICK = Patience(call_s=0.02, start_s=0.02, first_pause_s=0.001, longest_pause_s=0.002)
PATIENT = Patience(first_pause_s=0.001, longest_pause_s=0.002)


class Plain:
    """Starts as often as `failures` last in vain."""

    def __init__(self, failures: Iterator[Exception]) -> None:
        self._failures = failures
        self.attempts = 0
        self.failed = asyncio.Event()

    async def start(self) -> None:
        self.attempts += 1
        for failure in self._failures:
            self.failed.set()
            raise failure

    async def double(self, number: int) -> int:
        return 2 * number


class Forever(Iterator[Exception]):
    """The same failure each time, until it is told that it has passed."""

    def __init__(self, failure: Exception) -> None:
        self.failure: Exception | None = failure

    def __next__(self) -> Exception:
        if self.failure is None:
            raise StopIteration
        return self.failure


@asynccontextmanager
async def hosted(plain: Plain, patience: Patience = PATIENT) -> AsyncIterator[Host]:
    async def make() -> Plain:
        return plain

    host = Host("Plain", make, patience)
    host.begin()
    try:
        yield host
    finally:
        await host.close()


def test_a_start_that_fails_is_repeated_until_it_succeeds() -> None:
    async def scenario() -> None:
        plain = Plain(iter([Unreachable("ledger has not started yet"), RuntimeError("the database is away")]))
        async with hosted(plain) as host:
            assert await host.call("double", 4) == 8
            assert plain.attempts == 3

    run(scenario())


def test_what_cannot_even_be_made_is_made_again() -> None:
    async def scenario() -> None:
        plain, failures = Plain(iter([])), [OSError("no such device")]

        async def make() -> Plain:
            if failures:
                raise failures.pop()
            return plain

        host = Host("Plain", make, PATIENT)
        host.begin()
        assert await host.call("double", 1) == 2

    run(scenario())


def test_a_call_meanwhile_waits_for_a_while_and_is_told_no_reason() -> None:
    async def scenario() -> None:
        plain = Plain(Forever(RuntimeError("no route to 10.0.0.7")))
        async with hosted(plain, QUICK) as host:
            with pytest.raises(Unreachable) as refused:
                await host.call("double", 1)
            assert str(refused.value) == "Plain has not started yet"

    run(scenario())


def test_a_call_meanwhile_goes_on_when_it_has_started() -> None:
    async def scenario() -> None:
        failures = Forever(RuntimeError("the database is away"))
        plain = Plain(failures)
        async with hosted(plain) as host:
            call = asyncio.create_task(host.call("double", 5))
            await plain.failed.wait()
            failures.failure = None
            assert await call == 10

    run(scenario())


def test_who_asks_for_the_start_is_told_a_refusal_at_once_and_it_is_tried_again() -> None:
    async def scenario() -> None:
        failures = Forever(StartError("The database was written by newer software"))
        plain = Plain(failures)
        async with hosted(plain) as host:
            with pytest.raises(StartError, match="newer software"):
                await host.call("start")
            failures.failure = None
            assert await host.call("double", 1) == 2
            await host.call("start")

    run(scenario())


def test_who_asks_for_the_start_is_told_why_it_takes_long() -> None:
    async def scenario() -> None:
        async with hosted(Plain(Forever(RuntimeError("the database is away"))), QUICK) as host:
            with pytest.raises(Unreachable, match="Plain has not started: RuntimeError: the database is away"):
                await host.call("start")

    run(scenario())


def test_a_refusal_that_becomes_another_failure_is_not_taken_for_a_start() -> None:
    async def scenario() -> None:
        failures = Forever(StartError("another system has the database"))
        plain = Plain(failures)
        async with hosted(plain, QUICK) as host:
            with pytest.raises(StartError):
                await host.call("start")
            failures.failure = RuntimeError("the database is away")
            plain.failed.clear()
            await plain.failed.wait()
            with pytest.raises(Unreachable):
                await host.call("start")

    run(scenario())


def test_a_reason_is_logged_once_until_it_changes(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        away, full = RuntimeError("away"), RuntimeError("full")
        async with hosted(Plain(iter([away, away, away, full, away]))) as host:
            await host.call("double", 1)

    with caplog.at_level(logging.WARNING):
        run(scenario())
    assert caplog.messages == [
        f"Plain does not start: RuntimeError: {reason}; trying again" for reason in ("away", "full", "away")
    ]


def test_what_may_not_fail_quietly_fails_at_once() -> None:
    async def scenario() -> None:
        async def make() -> Plain:
            return Plain(iter([RuntimeError("no such backend")]))

        with pytest.raises(RuntimeError, match="no such backend"):
            await Host("Engine", make, QUICK).begin_once()

    run(scenario())
