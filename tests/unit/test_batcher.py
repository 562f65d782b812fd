"""Batcher: gathering, order, errors, cancellation."""

import asyncio
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.wire.batcher import Batcher


class Gate:
    """A call that notes its batches and answers when it is let through, each item with `answer(item)`."""

    def __init__(self, answer: Callable[[int], int | Exception] = lambda item: item * 10) -> None:
        self.batches: list[list[int]] = []
        self._answer = answer
        self._permits = asyncio.Semaphore(0)
        self._entered = asyncio.Semaphore(0)

    async def __call__(self, items: list[int]) -> Sequence[int | Exception]:
        self.batches.append(items)
        self._entered.release()
        await self._permits.acquire()
        return [self._answer(item) for item in items]

    async def entered(self) -> None:
        await self._entered.acquire()

    def let_through(self, calls: int = 1) -> None:
        for _ in range(calls):
            self._permits.release()


async def gather_behind(gate: Gate, batcher: Batcher[int, int], items: Sequence[int]) -> list[asyncio.Task[int]]:
    """Item 0 in a call that is under way, and `items` waiting behind it."""
    first = asyncio.create_task(batcher.add(0))
    await gate.entered()
    rest = [asyncio.create_task(batcher.add(item)) for item in items]
    await asyncio.sleep(0)  # each task runs up to its wait
    return [first, *rest]


def test_an_item_goes_at_once_when_nothing_is_under_way() -> None:
    async def scenario() -> None:
        gate = Gate()
        batcher = Batcher(gate)
        for item in (1, 2):
            task = asyncio.create_task(batcher.add(item))
            await gate.entered()
            gate.let_through()
            assert await task == item * 10
        assert gate.batches == [[1], [2]]

    asyncio.run(scenario())


def test_items_gather_while_a_call_is_under_way() -> None:
    async def scenario() -> None:
        gate = Gate()
        tasks = await gather_behind(gate, Batcher(gate), [1, 2, 3])
        assert gate.batches == [[0]]
        gate.let_through(2)
        assert await asyncio.gather(*tasks) == [0, 10, 20, 30]
        assert gate.batches == [[0], [1, 2, 3]]

    asyncio.run(scenario())


def test_a_call_has_at_most_max_items() -> None:
    async def scenario() -> None:
        gate = Gate()
        tasks = await gather_behind(gate, Batcher(gate, max_items=2), [1, 2, 3])
        gate.let_through(3)
        await asyncio.gather(*tasks)
        assert gate.batches == [[0], [1, 2], [3]]

    asyncio.run(scenario())


def test_an_exception_among_the_results_is_its_callers_alone() -> None:
    async def scenario() -> None:
        gate = Gate(lambda item: ValueError("two") if item == 2 else item)
        tasks = await gather_behind(gate, Batcher(gate), [1, 2, 3])
        gate.let_through(2)
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(result) for result in results] == [int, int, ValueError, int]

    asyncio.run(scenario())


def test_a_failed_call_fails_all_its_callers_and_no_later_one() -> None:
    async def scenario() -> None:
        down = True

        async def call(items: list[int]) -> Sequence[int]:
            if down:
                raise ConnectionError("down")
            return items

        batcher: Batcher[int, int] = Batcher(call)
        results = await asyncio.gather(batcher.add(1), batcher.add(2), return_exceptions=True)
        assert [type(result) for result in results] == [ConnectionError, ConnectionError]
        down = False
        assert await batcher.add(3) == 3

    asyncio.run(scenario())


def test_a_call_that_answers_too_few_results_fails_its_callers() -> None:
    async def scenario() -> None:
        async def call(_: list[int]) -> Sequence[int]:
            return []

        with pytest.raises(RuntimeError, match="answered 0 results"):
            await Batcher(call).add(1)

    asyncio.run(scenario())


def test_a_cancelled_caller_disturbs_no_other() -> None:
    async def scenario() -> None:
        gate = Gate()
        first, second, third = await gather_behind(gate, Batcher(gate), [1, 2])
        first.cancel()  # under way
        second.cancel()  # waiting
        await asyncio.sleep(0)
        gate.let_through(2)
        assert await third == 20
        assert gate.batches == [[0], [2]]

    asyncio.run(scenario())


def test_nobody_waits_for_a_call_that_will_not_be_made() -> None:
    async def scenario() -> None:
        async def call(_: list[int]) -> Sequence[int]:
            raise asyncio.CancelledError

        with pytest.raises(asyncio.CancelledError):
            await Batcher(call).add(1)

    asyncio.run(scenario())


def test_it_survives_its_event_loop() -> None:
    async def call(items: list[int]) -> Sequence[int]:
        return items

    batcher: Batcher[int, int] = Batcher(call)
    assert [asyncio.run(batcher.add(item)) for item in (1, 2)] == [1, 2]


@given(pauses=st.lists(st.integers(0, 3), max_size=30), max_items=st.integers(1, 5))
def test_every_item_travels_once_in_order_whenever_it_comes(pauses: list[int], max_items: int) -> None:
    async def scenario() -> None:
        batches: list[list[int]] = []

        async def call(items: list[int]) -> Sequence[int]:
            batches.append(items)
            await asyncio.sleep(0)
            return [-item for item in items]

        batcher: Batcher[int, int] = Batcher(call, max_items)
        tasks = []
        for item, pause in enumerate(pauses):
            tasks.append(asyncio.create_task(batcher.add(item)))
            for _ in range(pause):
                await asyncio.sleep(0)
        assert await asyncio.gather(*tasks) == [-item for item in range(len(pauses))]
        assert [item for batch in batches for item in batch] == list(range(len(pauses)))
        assert all(1 <= len(batch) <= max_items for batch in batches)

    asyncio.run(scenario())
