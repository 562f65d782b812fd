"""Webhooks: endpoints, and what is delivered to them."""

import asyncio
import logging
from collections.abc import Sequence
from functools import partial

from actors.bookkeeping.book import Book
from actors.bookkeeping.desk import Desk
from actors.wire.every import Every
from cluster.errors import DatabaseFailed
from cluster.ids import AccountId, DeliveryId, WebhookId
from cluster.measures.tallies import WEBHOOKS
from cluster.messages.people import Principal
from cluster.messages.webhooks import (
    Attempted,
    Delivery,
    DeliveryQuery,
    Due,
    Event,
    NewWebhook,
    Room,
    Webhook,
    WebhookChange,
)
from cluster.store import deliveries, endpoint_health, webhooks
from cluster.store.database import Database
from cluster.store.usage_days import DAY_MS
from cluster.webhooks.schedule import DISABLE_AFTER_MS

logger = logging.getLogger(__name__)


class WebhookBook(Book):
    """Endpoints, what they are told of, and how that went."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self._listeners = desk.listeners
        every_s = desk.timing.prune_deliveries_s
        desk.database.repeat(Every(every_s, self.prune_deliveries, "removing old deliveries"))

    # Endpoints ----------------------------------------------------------------------------------------------------

    async def create_webhook(self, maker: Principal, webhook: NewWebhook) -> Webhook:
        """The endpoint as it stands; repeated, nothing changes. Raises BadRequest, Forbidden and Conflict."""
        # Before it is written: whatever ends from then on is looked at.
        self._listeners.accounts.add(webhook.account_id)
        return await self._write(partial(webhooks.create, maker=maker, asked=webhook))

    async def webhooks(self, account_id: AccountId | None) -> list[Webhook]:
        """The account's endpoints, or everybody's, the oldest first."""
        return await self._read(partial(webhooks.of_account, account_id=account_id))

    async def webhook_at(self, account_id: AccountId, url: str) -> WebhookId:
        """The account's endpoint with this URL. Raises BadRequest where there is none that is enabled."""
        return await self._read(partial(webhooks.at, account_id=account_id, url=url))

    async def change_webhook(self, caller: Principal, webhook_id: WebhookId, change: WebhookChange) -> Webhook:
        """The endpoint as it stands then. May be repeated. Raises WebhookNotFound, Forbidden and Conflict."""
        now_ms = self._now_ms()
        changing = partial(webhooks.change, caller=caller, webhook_id=webhook_id, asked=change, now_ms=now_ms)
        changed = await self._write(changing)
        self._listeners.notify()
        return changed

    async def rotate_webhook(self, caller: Principal, webhook_id: WebhookId, secret: str) -> Webhook:
        """From now on this secret signs, and the one before for a day. Raises WebhookNotFound and Forbidden."""
        rotate = partial(webhooks.rotate, caller=caller, webhook_id=webhook_id, secret=secret, now_ms=self._now_ms())
        return await self._write(rotate)

    async def remove_webhook(self, caller: Principal, webhook_id: WebhookId) -> None:
        """Nothing more is told to it. Raises WebhookNotFound."""
        now_ms = self._now_ms()
        await self._write(partial(webhooks.remove, caller=caller, webhook_id=webhook_id, now_ms=now_ms))
        self._desk.leftovers.note()

    # What is delivered to them ------------------------------------------------------------------------------------

    async def test_webhook(self, caller: Principal, webhook_id: WebhookId, event: Event) -> Delivery:
        """This event on its way to this endpoint alone. Raises WebhookNotFound, and Conflict for a disabled one."""
        delivery = await self._write(partial(deliveries.test, caller=caller, webhook_id=webhook_id, event=event))
        self._listeners.notify()
        return delivery

    async def deliveries(self, caller: Principal, webhook_id: WebhookId, query: DeliveryQuery) -> list[Delivery]:
        """The endpoint's deliveries that `query` asks for, the newest first. Raises WebhookNotFound."""
        return await self._read(partial(deliveries.of_webhook, caller=caller, webhook_id=webhook_id, query=query))

    async def redeliver(self, caller: Principal, webhook_id: WebhookId, delivery: DeliveryId) -> Delivery:
        """The delivery, tried again from now on. Raises WebhookNotFound, DeliveryNotFound and Conflict."""
        now_ms = self._now_ms()
        again = await self._write(
            partial(deliveries.redeliver, caller=caller, webhook_id=webhook_id, delivery=delivery, now_ms=now_ms)
        )
        self._listeners.notify()
        return again

    async def due_deliveries(self, room: Room, wait_s: float) -> list[Due]:
        """What is to be told now, as far as there is room; where there is nothing, it is waited for so long."""
        if found := await self._due(room):
            return found
        await self._listeners.wait(wait_s)
        return await self._due(room)

    async def record_attempts(self, attempted: Sequence[Attempted]) -> None:
        """Writes down what came of these attempts. May be repeated."""
        disabled = await self._write(partial(deliveries.record, attempted=attempted))
        for webhook_id in disabled:
            days = DISABLE_AFTER_MS // DAY_MS
            logger.warning("webhook %s is disabled: every attempt of the last %d days has failed", webhook_id, days)
        for each in attempted:
            self._desk.tallies.count(WEBHOOKS, _came_to(each))

    async def prune_deliveries(self) -> None:
        """Removes deliveries that ended long ago, some at a time, and tries those that a wrong clock has put off.

        What cannot be now is the next time.
        """
        if not self._listeners.accounts:
            return
        prune = partial(deliveries.prune, now_ms=self._now_ms())
        try:
            await self._write(partial(deliveries.hasten, now_ms=self._now_ms()))
            while True:
                may_be_more = await self._write(prune)
                if not may_be_more:
                    return
                await asyncio.sleep(self._timing.prune_pause_s)
        except DatabaseFailed as error:
            logger.warning("old deliveries were not removed, and will be later: %s", error)

    def _learn_who_listens(self, database: Database) -> None:
        self._listeners.accounts |= database.read(webhooks.accounts)
        if self._listeners.accounts:
            database.commit_all([partial(endpoint_health.begin_anew, now_ms=self._now_ms())])

    async def _due(self, room: Room) -> list[Due]:
        if not await self._somebody_listens():
            return []
        self._listeners.look()
        return await self._read(partial(deliveries.due, room=room, now_ms=self._now_ms()))

    async def _somebody_listens(self) -> bool:
        """Or did, once. It is known as soon as the database has been opened."""
        await self._desk.database.opened()
        return bool(self._listeners.accounts)


def _came_to(attempted: Attempted) -> str:
    if attempted.problem is None:
        return "delivered"
    return "given_up" if attempted.next_ms is None else "failed"
