"""The Courier: how much it sends at once, and that what it has sent is written down, whoever is away."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest

from actors.courier import MOST_SENDING as MOST_SENDING_IN_ALL
from actors.courier import MOST_SENDING_TO_FAILING, Courier
from actors.couriering.endpoint import MOST_SENDING
from actors.couriering.posting import Answer
from cluster.errors import DatabaseUnavailable
from cluster.ids import DeliveryId, WebhookId
from cluster.messages.webhooks import Attempted, Due, Room
from cluster.timing import Timing
from tests.support.clocks import StillClock
from tests.support.plain_system import run, settled, until

NOW = 1_800_000_000_000
BUSY, OTHER = WebhookId("hook_busy"), WebhookId("hook_other")
SECRET = "whsec_c2VjcmV0"
# It looks again when there is reason to, and not because time has passed.
NEVER_AGAIN = Timing(courier_look_s=3600.0, courier_wait_s=3600.0, repeat_s=0.001)


def due(number: int, webhook_id: WebhookId = BUSY) -> Due:
    return Due(DeliveryId(f"msg_{webhook_id}_{number}"), webhook_id, f"https://{webhook_id}/", (SECRET,), "{}", 0, NOW)


class PlainLedger:
    """What is due until it has been recorded as ended. It can be away."""

    def __init__(self, *waiting: Due) -> None:
        self.waiting = {each.id: each for each in waiting}
        self.recorded: list[Attempted] = []
        self.is_away = False
        self.more = asyncio.Event()

    def bring(self, *more: Due) -> None:
        """These are due, too."""
        self.waiting |= {each.id: each for each in more}
        self.more.set()

    async def due_deliveries(self, room: Room, wait_s: float) -> list[Due]:
        if not (found := self._due(room)) and wait_s:
            await self.more.wait()
            self.more.clear()
            found = self._due(room)
        return found

    def _due(self, room: Room) -> list[Due]:
        found: list[Due] = []
        for each in self.waiting.values():
            of_it = sum(one.webhook_id == each.webhook_id for one in found)
            if each.id in room.under_way.get(each.webhook_id, ()):
                continue
            if of_it < room.of_some.get(each.webhook_id, room.of_each) and len(found) < room.total:
                found.append(each)
        return found

    async def record_attempts(self, attempted: list[Attempted]) -> None:
        if self.is_away:
            raise DatabaseUnavailable("away")
        for each in attempted:
            self.recorded.append(each)
            del self.waiting[each.id]  # for this test's time


class Sends:
    """Notes what is sent. What is `held` is answered once it is let go."""

    def __init__(self, answer: Callable[[str], Answer] = lambda _: Answer(204)) -> None:
        self.answer = answer
        self.sent: list[str] = []
        self.now: list[str] = []
        self.most: dict[str, int] = {}
        self.let_go = asyncio.Event()
        self.let_go.set()
        self.held: dict[str, asyncio.Event] = {}

    async def post(self, url: str, headers: Mapping[str, str], body: str) -> Answer:
        self.sent.append(headers["webhook-id"])
        self.now.append(url)
        self.most[url] = max(self.most.get(url, 0), self.now.count(url))
        try:
            await asyncio.sleep(0)
            await self.held.get(url, self.let_go).wait()
            return self.answer(url)
        finally:
            self.now.remove(url)

    async def close(self) -> None:
        pass


def play(scenario: Callable[[PlainLedger, Sends, Courier], Awaitable[None]], *waiting: Due) -> None:
    play_with_clock(lambda ledger, sends, courier, _: scenario(ledger, sends, courier), *waiting)


def play_with_clock(
    scenario: Callable[[PlainLedger, Sends, Courier, StillClock], Awaitable[None]], *waiting: Due
) -> None:
    async def playing() -> None:
        ledger: Any = PlainLedger(*waiting)
        sends, clock = Sends(), StillClock(NOW)
        courier = Courier(ledger, sends, clock, NEVER_AGAIN, lambda: 0.0)
        await scenario(ledger, sends, courier, clock)
        await courier.stop()

    run(playing())


def test_a_quick_endpoint_is_told_all_without_a_pause() -> None:
    async def scenario(ledger: PlainLedger, sends: Sends, courier: Courier) -> None:
        await courier.start()
        await until(lambda: len(ledger.recorded) == 500, "all of them")
        assert len(sends.sent) == len(set(sends.sent)) == 500
        assert sends.most == {f"https://{BUSY}/": MOST_SENDING}
        await settled()
        counts = await courier.counts()
        assert (counts.delivered, counts.failed_attempts, counts.under_way) == (500, 0, 0)

    play(scenario, *map(due, range(500)))


def test_one_that_does_not_answer_keeps_no_other_waiting() -> None:
    async def scenario(ledger: PlainLedger, sends: Sends, courier: Courier) -> None:
        sends.let_go.clear()
        await courier.start()
        await until(lambda: len(sends.now) == 2 * MOST_SENDING, "as many as may be sent at once")
        await settled()
        assert (sends.now.count(f"https://{BUSY}/"), sends.now.count(f"https://{OTHER}/")) == (MOST_SENDING,) * 2
        sends.let_go.set()
        await until(lambda: len(ledger.recorded) == 100, "all of them")

    play(scenario, *map(due, range(90)), *(due(number, OTHER) for number in range(10)))


def test_one_that_fails_is_asked_one_at_a_time_until_it_succeeds() -> None:
    async def scenario(ledger: PlainLedger, sends: Sends, courier: Courier) -> None:
        sends.answer = lambda _: Answer(problem="timeout")
        await courier.start()
        await until(lambda: len(ledger.recorded) >= MOST_SENDING, "the first")
        sends.most.clear()
        await until(lambda: len(ledger.recorded) >= 60, "more of them")
        assert set(sends.most.values()) == {1}
        sends.answer = lambda _: Answer(200)
        await until(lambda: len(ledger.recorded) == 150, "all of them")
        assert max(sends.most.values()) == MOST_SENDING

    play(scenario, *map(due, range(150)))


def test_however_many_do_not_answer_the_others_have_their_places() -> None:
    """More endpoints than may be sent to at once, each with more than enough to be told."""
    dead = [WebhookId(f"hook_dead_{number}") for number in range(MOST_SENDING_IN_ALL + 50)]

    async def scenario(ledger: PlainLedger, sends: Sends, courier: Courier) -> None:
        hangs = asyncio.Event()
        sends.answer = lambda url: Answer(problem="timeout") if "dead" in url else Answer(204)
        await courier.start()
        await until(lambda: len(ledger.recorded) == len(dead), "the first failure of each")
        sends.held = {f"https://{webhook_id}/": hangs for webhook_id in dead}
        ledger.bring(*(due(number, webhook_id) for webhook_id in dead for number in (1, 2)))
        courier.taking.hasten()
        await until(lambda: len(sends.now) == MOST_SENDING_TO_FAILING, "those that do not answer")
        await settled()
        assert len(sends.now) == MOST_SENDING_TO_FAILING
        ledger.bring(*(due(number, OTHER) for number in range(100)))
        courier.taking.hasten()
        await until(lambda: len([each for each in ledger.recorded if each.webhook_id == OTHER]) == 100, "the others")
        hangs.set()

    play(scenario, *(due(0, webhook_id) for webhook_id in dead))


def test_a_pause_lasts_as_long_as_it_was_asked_for_whatever_the_wall_clock_says() -> None:
    async def scenario(ledger: PlainLedger, sends: Sends, courier: Courier, clock: StillClock) -> None:
        sends.answer = lambda _: Answer(503, "refused", "60")
        await courier.start()
        await until(lambda: len(ledger.recorded) == 1, "the first")
        clock.advance_wall(-3600)
        sends.answer = lambda _: Answer(204)
        ledger.bring(due(1))
        clock.advance(59)
        courier.taking.hasten()
        await courier.taking.taken()
        await settled()
        assert len(sends.sent) == 1
        clock.advance(2)
        courier.taking.hasten()
        await until(lambda: len(ledger.recorded) == 2, "the second")

    play_with_clock(scenario, due(0))


def test_one_that_asks_for_a_pause_is_sent_nothing_more() -> None:
    async def scenario(ledger: PlainLedger, sends: Sends, courier: Courier) -> None:
        sends.answer = lambda url: Answer(429, "refused", "60") if str(BUSY) in url else Answer(204)
        await courier.start()
        await until(lambda: len([each for each in ledger.recorded if each.webhook_id == OTHER]) == 20, "the others")
        await settled()
        assert len([each for each in ledger.recorded if each.webhook_id == BUSY]) <= MOST_SENDING
        assert all(each.next_ms == NOW + 60_000 for each in ledger.recorded if each.webhook_id == BUSY)

    play(scenario, *map(due, range(50)), *(due(number, OTHER) for number in range(20)))


def test_what_was_sent_is_written_down_though_the_ledger_is_away_and_is_not_sent_again() -> None:
    async def scenario(ledger: PlainLedger, sends: Sends, courier: Courier) -> None:
        ledger.is_away = True
        await courier.start()
        await until(lambda: len(sends.sent) == 3, "what was sent")
        for _ in range(5):
            courier.taking.hasten()
            await courier.taking.taken()
        ledger.is_away = False
        await until(lambda: len(ledger.recorded) == 3, "what came of it")
        assert len(sends.sent) == 3

    play(scenario, *map(due, range(3)))


def test_what_cannot_be_sent_is_tried_again_later_and_its_url_is_in_no_log(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(ledger: PlainLedger, sends: Sends, courier: Courier) -> None:
        def fails(url: str) -> Answer:
            raise RuntimeError(f"no idea about {url}")

        sends.answer = fails
        await courier.start()
        await until(lambda: ledger.recorded, "what came of it")
        (attempted,) = ledger.recorded
        assert (attempted.problem, attempted.status, attempted.next_ms) == ("not_sent", None, NOW + 5_000)

    with caplog.at_level(logging.DEBUG):
        play(scenario, due(0))
    assert "https://" not in caplog.text and SECRET not in caplog.text
    assert "RuntimeError" in caplog.text


def test_a_secret_that_is_none_hurts_nobody_else() -> None:
    async def scenario(ledger: PlainLedger, sends: Sends, courier: Courier) -> None:
        await courier.start()
        await until(lambda: len(ledger.recorded) == 2, "both")
        assert {each.problem for each in ledger.recorded} == {None, "not_sent"}

    broken = Due(DeliveryId("msg_broken"), OTHER, "https://other/", ("whsec_abcde",), "{}", 0, NOW)
    play(scenario, due(0), broken)


def test_who_is_stopped_records_nothing_of_what_was_under_way() -> None:
    async def scenario(ledger: PlainLedger, sends: Sends, courier: Courier) -> None:
        sends.let_go.clear()
        await courier.start()
        await until(lambda: len(sends.now) == 3, "what is under way")
        await courier.stop()
        assert (ledger.recorded, sends.now) == ([], [])
        assert (await courier.counts()).under_way == 0

    play(scenario, *map(due, range(3)))
