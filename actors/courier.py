"""The Courier: sends webhooks, each at least once, and tries again what failed."""

import asyncio
import logging
import random
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, Protocol

from actors.couriering.endpoint import MOST_UNDER_WAY as MOST_OF_EACH
from actors.couriering.endpoint import Endpoint
from actors.couriering.posting import Answer
from actors.wire.batcher import Batcher
from actors.wire.every import Every
from actors.wire.outage import Outage
from cluster.clock import SYSTEM_CLOCK, Clock
from cluster.ids import WebhookId
from cluster.messages.webhooks import Attempted, DeliveryCounts, Due, Room
from cluster.timing import Timing
from cluster.webhooks import signing
from cluster.webhooks.outcomes import outcome, pause_ms

if TYPE_CHECKING:
    from actors.ledger import Ledger

logger = logging.getLogger(__name__)

MOST_SENDING: Final = 256
MOST_SENDING_TO_FAILING: Final = 64
"""Besides: however many endpoints do not answer, those that do have their places."""

MOST_UNDER_WAY: Final = 2048


class Sends(Protocol):
    """How a webhook is sent."""

    async def post(self, url: str, headers: Mapping[str, str], body: str) -> Answer: ...

    async def close(self) -> None: ...


class Courier:
    """Owns nothing that matters: what is to be delivered, and what came of it, the Ledger has.

    What was under way when this process died is sent again, under the same id. An endpoint that fails or takes long has
    only so much under way, so that it keeps no other waiting.
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
        self._endpoints: dict[WebhookId, Endpoint] = {}
        self._under_way: set[asyncio.Task[None]] = set()
        self._places = asyncio.Semaphore(MOST_SENDING)
        self._places_of_failing = asyncio.Semaphore(MOST_SENDING_TO_FAILING)
        self._records = Batcher[Attempted, None](self._record)
        self._recording = Outage("recording what came of webhooks", clock)
        self._delivered = self._failed_attempts = self._given_up = 0
        self.taking = Every(timing.courier_look_s, self._take, "looking for webhooks to deliver")

    async def start(self) -> None:
        self.taking.start()

    async def stop(self) -> None:
        """Send nothing more. What is under way is given up, and sent again by the next one."""
        self.taking.stop()
        attempts = list(self._under_way)
        for attempt in attempts:
            attempt.cancel()
        await asyncio.gather(*attempts, return_exceptions=True)
        await self._sends.close()

    async def counts(self) -> DeliveryCounts:
        """What it has done since this process began."""
        return DeliveryCounts(self._delivered, self._failed_attempts, self._given_up, len(self._under_way))

    async def _take(self) -> None:
        """Begin what is to be told now, as far as there is room; where nothing is under way, wait for it."""
        wait_s = 0.0 if self._under_way else self._timing.courier_wait_s
        for due in await self._ledger.due_deliveries(self._room(), wait_s):
            self._begin(due)

    def _room(self) -> Room:
        now_s = self._clock.monotonic_s()
        return Room(
            max(0, MOST_UNDER_WAY - len(self._under_way)),
            MOST_OF_EACH,
            {webhook_id: endpoint.room(now_s) for webhook_id, endpoint in self._endpoints.items()},
            {webhook_id: tuple(each.under_way) for webhook_id, each in self._endpoints.items() if each.under_way},
        )

    def _begin(self, due: Due) -> None:
        endpoint = self._endpoints.setdefault(due.webhook_id, Endpoint())
        endpoint.begin(due.id, self._clock.monotonic_s())
        attempt = asyncio.create_task(self._deliver(due, endpoint), name=f"delivering {due.id}")
        self._under_way.add(attempt)
        attempt.add_done_callback(self._under_way.discard)

    async def _deliver(self, due: Due, endpoint: Endpoint) -> None:
        try:
            await endpoint.place()
            try:
                attempted = await self._attempt(due, endpoint)
            finally:
                endpoint.leave_place()
            if attempted is not None:
                await self._until_recorded(attempted)
        finally:
            if endpoint.end(due.id):
                self.taking.hasten()
            if endpoint.is_forgettable:
                self._endpoints.pop(due.webhook_id, None)

    async def _attempt(self, due: Due, endpoint: Endpoint) -> Attempted | None:
        """What came of it; None where it was not made, because the endpoint wants nothing more now."""
        async with self._places_of_failing if endpoint.fails else self._places:
            if not endpoint.wants_more(self._clock.monotonic_s()):
                return None
            answer = await self._send(due)
        now_ms = self._clock.wall_ms()
        attempted = outcome(due, answer.status, answer.problem, answer.retry_after, now_ms, self._chance())
        pause = pause_ms(answer.status, answer.retry_after, now_ms)
        endpoint.note(attempted, pause, self._clock.monotonic_s())
        self._count(attempted)
        return attempted

    async def _send(self, due: Due) -> Answer:
        try:
            headers = signing.headers(due.id, self._clock.wall_ms(), due.body, due.secrets)
            return await self._sends.post(due.url, headers, due.body)
        except Exception as error:  # noqa: BLE001 - told, and tried again as what fails otherwise: not at once
            # Neither the message nor the traceback: they may hold the URL.
            logger.error("%s was not sent: %s", due.id, type(error).__name__)  # noqa: TRY400
            return Answer(problem="not_sent")

    def _count(self, attempted: Attempted) -> None:
        if attempted.problem is None:
            self._delivered += 1
        else:
            self._failed_attempts += 1
            self._given_up += attempted.next_ms is None

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
