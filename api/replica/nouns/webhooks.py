"""Webhooks as routes ask for them: endpoints, and what each of them has been told."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from msgspec import UNSET

from actors.outgoing import urls
from actors.outgoing.urls import UrlRefused
from cluster.clock import Clock
from cluster.errors import BadRequest
from cluster.ids import AccountId, DeliveryId, WebhookId
from cluster.messages.people import Principal
from cluster.messages.webhooks import Delivery, DeliveryQuery, NewWebhook, Webhook, WebhookChange
from cluster.webhooks import events, signing

if TYPE_CHECKING:
    from actors.ledger import Ledger


class Webhooks:
    """Endpoints that are told of events. All that names one raises WebhookNotFound, for who does not see it too."""

    def __init__(self, ledger: "Ledger", private_hosts: Sequence[str], clock: Clock) -> None:
        """Besides public hosts, these `private_hosts` may be told."""
        self._ledger = ledger
        self._private_hosts = private_hosts
        self._clock = clock

    async def create(self, maker: Principal, webhook: NewWebhook) -> Webhook:
        """Raises BadRequest for a URL that nothing may be sent to, Forbidden for events that are not for `maker`, and
        Conflict for a URL that the account has already, or one too many.
        """
        self._check(webhook.url)
        return await self._ledger.create_webhook(maker, webhook)

    async def of(self, account_id: AccountId | None) -> list[Webhook]:
        """The account's endpoints, or everybody's, the oldest first."""
        return await self._ledger.webhooks(account_id)

    async def change(self, caller: Principal, webhook_id: WebhookId, change: WebhookChange) -> Webhook:
        """Raises what `create` does."""
        if change.url is not UNSET:
            self._check(change.url)
        return await self._ledger.change_webhook(caller, webhook_id, change)

    async def rotate(self, caller: Principal, webhook_id: WebhookId) -> tuple[Webhook, str]:
        """The endpoint and its new secret. The one before signs for a day yet. Raises Forbidden."""
        secret = signing.new_secret()
        return await self._ledger.rotate_webhook(caller, webhook_id, secret), secret

    async def remove(self, caller: Principal, webhook_id: WebhookId) -> None:
        await self._ledger.remove_webhook(caller, webhook_id)

    async def test(self, caller: Principal, webhook_id: WebhookId) -> Delivery:
        """An event of the type `webhook.test` on its way. Raises Conflict where the endpoint is disabled."""
        event = events.tested(webhook_id, caller.account_id, self._clock.wall_ms())
        return await self._ledger.test_webhook(caller, webhook_id, event)

    async def deliveries(self, caller: Principal, webhook_id: WebhookId, query: DeliveryQuery) -> list[Delivery]:
        """The endpoint's deliveries that `query` asks for, the newest first."""
        return await self._ledger.deliveries(caller, webhook_id, query)

    async def redeliver(self, caller: Principal, webhook_id: WebhookId, delivery: DeliveryId) -> Delivery:
        """The delivery, tried again from now on. Raises DeliveryNotFound, and Conflict for a disabled endpoint."""
        return await self._ledger.redeliver(caller, webhook_id, delivery)

    def _check(self, url: str) -> None:
        try:
            urls.checked(url, self._private_hosts)
        except UrlRefused as refusal:
            raise BadRequest(f"url: {refusal}") from None
