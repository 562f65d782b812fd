"""The Courier: sends webhooks, each at least once, and tries again what failed."""

import asyncio
import logging
import random
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, Protocol

from actors.couriering.posting import Answer
from actors.wire.batcher import Batcher
from actors.wire.every import Every
from actors.wire.outage import Outage
from cluster.clock import SYSTEM_CLOCK, Clock
from cluster.ids import DeliveryId, WebhookId
from cluster.messages.webhooks import Attempted, DeliveryCounts, Due, Room
from cluster.timing import Timing
from cluster.webhooks import signing
from cluster.webhooks.outcomes import outcome, pause_ms

if TYPE_CHECKING:
    from actors.ledger import Ledger

logger = logging.getLogger(__name__)

MOST_AT_ONCE: Final = 256
MOST_OF_AN_ENDPOINT: Final = 8
MOST_OF_A_FAILING_ONE: Final = 1


class Sends(Protocol):
    """How a webhook is sent."""

    async def post(self, url: str, headers: Mapping[str, str], body: str) -> Answer: ...

    async def close(self) -> None: ...


class Courier:
    """Owns nothing that matters: what is to be delivered, and what came of it, the Ledger has.

    What was under way when this process died is sent again, under the same id. An endpoint that fails, or takes long,
    has only so many attempts under way at once, and asks for a pause for itself alone.
    """

    def __init__(
        self,
        ledger: "Ledger",
        sends: Sends,
        clock: Clock = SYSTEM_CLOCK,
        timing: Timing = Timing(),
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._ledger = ledger
        self._sends = sends
        self._clock = clock
        self._timing = timing
        self._chance = chance
        self._under_way: dict[DeliveryId, tuple[WebhookId, asyncio.Task[None]]] = {}
        self._failing: set[WebhookId] = set()
        self._paused_until_ms: dict[WebhookId, int] = {}
        self._has_room = asyncio.Event()
        self._records = Batcher[Attempted, None](self._record)
        self._recording = Outage("recording what came of webhooks", clock)
        self._delivered = self._failed_attempts = self._given_up = 0
        self.taking = Every(timing.courier_pause_s, self._take, "looking for webhooks to deliver")

    async def start(self) -> None:
        self.taking.start()

    async def stop(self) -> None:
        """Send nothing more. What is under way is given up, and sent again by the next one."""
        self.taking.stop()
        attempts = [attempt for _, attempt in self._under_way.values()]
        for attempt in attempts:
            attempt.cancel()
        await asyncio.gather(*attempts, return_exceptions=True)
        await self._sends.close()

    async def counts(self) -> DeliveryCounts:
        """What it has done since this process began."""
        return DeliveryCounts(self._delivered, self._failed_attempts, self._given_up, len(self._under_way))

    async def _take(self) -> None:
        """Begin what is to be told now, as far as there is room."""
        self._has_room.clear()
        room = self._room()
        if room.total <= 0:
            await self._has_room.wait()
            return
        for due in await self._ledger.due_deliveries(room, self._timing.courier_wait_s):
            self._begin(due)

    def _room(self) -> Room:
        busy: dict[WebhookId, int] = {}
        for webhook_id, _ in self._under_way.values():
            busy[webhook_id] = busy.get(webhook_id, 0) + 1
        most = dict.fromkeys(self._failing, MOST_OF_A_FAILING_ONE)
        less = {each: most.get(each, MOST_OF_AN_ENDPOINT) - busy.get(each, 0) for each in {*busy, *most}}
        return Room(MOST_AT_ONCE - len(self._under_way), MOST_OF_AN_ENDPOINT, less, tuple(self._under_way))

    def _begin(self, due: Due) -> None:
        if due.id not in self._under_way:
            attempt = asyncio.create_task(self._attempt(due), name=f"delivering {due.id}")
            self._under_way[due.id] = due.webhook_id, attempt

    async def _attempt(self, due: Due) -> None:
        try:
            answer = await self._send(due)
            now_ms = self._clock.wall_ms()
            attempted = outcome(due, answer.status, answer.problem, answer.retry_after, now_ms, self._chance())
            self._note(attempted, pause_ms(answer.status, answer.retry_after, now_ms))
            await self._until_recorded(attempted)
        finally:
            del self._under_way[due.id]
            self._has_room.set()

    async def _send(self, due: Due) -> Answer:
        try:
            headers = signing.headers(due.id, self._clock.wall_ms(), due.body, due.secrets)
            return await self._sends.post(due.url, headers, due.body)
        except Exception as error:  # noqa: BLE001 - told, and tried again as what fails otherwise: not at once
            # Neither the message nor the traceback: they may hold the URL.
            logger.error("%s was not sent: %s", due.id, type(error).__name__)  # noqa: TRY400
            return Answer(problem="not_sent")

    def _note(self, attempted: Attempted, pause_ms: int) -> None:
        if attempted.problem is None:
            self._delivered += 1
            self._failing.discard(attempted.webhook_id)
            return
        if pause_ms:
            self._paused_until_ms[attempted.webhook_id] = attempted.at_ms + pause_ms
        self._failed_attempts += 1
        self._given_up += attempted.next_ms is None
        self._failing.add(attempted.webhook_id)

    async def _until_recorded(self, attempted: Attempted) -> None:
        """Or else it would be sent again at once."""
        while True:
            try:
                await self._records.add(attempted)
            except Exception as error:  # noqa: BLE001 - told, and repeated until it succeeds
                self._recording.failed(error)
                await asyncio.sleep(self._timing.repeat_s)
            else:
                self._recording.succeeded()
                return

    async def _record(self, attempted: list[Attempted]) -> list[None]:
        await self._ledger.record_attempts(attempted)
        return [None] * len(attempted)
