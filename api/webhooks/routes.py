"""Webhooks: made, listed, changed and tried. A member's are those of its account; an admin's, all."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from api.http import parameters as queries
from api.http.answers import Answer
from api.http.bodies import parse
from api.http.dependencies import Body, Caller, CurrentGateway
from api.http.openapi import GUARDED, errors, takes
from api.http.parameters import (
    DeliveryPath,
    KnownAndOnce,
    WebhookPath,
    decode_delivery_cursor,
    encode_delivery_cursor,
)
from api.replica.gateway import Gateway
from api.webhooks.schemas import (
    Delivery,
    DeliveryList,
    NewWebhook,
    Webhook,
    WebhookList,
    WebhookPatch,
    WebhookRequest,
    delivery_body,
    new_webhook_body,
    webhook_body,
)
from cluster.errors import BadRequest, Conflict, DeliveryNotFound, Forbidden, PayloadTooLarge, WebhookNotFound
from cluster.ids import AccountId, new_webhook_id
from cluster.keys import account_named, account_seen
from cluster.messages import webhooks
from cluster.messages.people import Principal
from cluster.messages.webhooks import DeliveryQuery
from cluster.webhooks.signing import new_secret

router = APIRouter(tags=["webhooks"], dependencies=[KnownAndOnce], responses=errors(*GUARDED, BadRequest))

_SECRET = {"Cache-Control": "no-store"}


@router.post(
    "/webhooks",
    status_code=201,
    response_model=NewWebhook,
    responses=errors(BadRequest, Forbidden, Conflict, PayloadTooLarge),
    openapi_extra=takes(WebhookRequest),
)
async def create_webhook(gateway: CurrentGateway, caller: Caller, body: Body) -> Response:
    """Have an endpoint told of events. The secret that signs is in this answer and nowhere else."""
    asked = asked_webhook(gateway, caller, parse(WebhookRequest, body))
    return Answer(new_webhook_body(await gateway.webhooks.create(caller, asked), asked.secret), 201, _SECRET)


@router.get("/webhooks", response_model=WebhookList, responses=errors(BadRequest, Forbidden))
async def list_webhooks(gateway: CurrentGateway, caller: Caller, account: queries.AccountName = None) -> Response:
    """The account's webhooks, the oldest first; for an admin everybody's, or those of the account named."""
    seen = account_seen(caller) if account is None else account_named(caller, account)
    return Answer({"webhooks": [webhook_body(webhook) for webhook in await gateway.webhooks.of(seen)]})


@router.patch(
    "/webhooks/{webhook_id}",
    response_model=Webhook,
    responses=errors(BadRequest, Forbidden, WebhookNotFound, Conflict, PayloadTooLarge),
    openapi_extra=takes(WebhookPatch),
)
async def change_webhook(gateway: CurrentGateway, caller: Caller, webhook_id: WebhookPath, body: Body) -> Response:
    """Change a webhook, or enable or disable it. What waits for one that is disabled goes on once it is enabled."""
    change = parse(WebhookPatch, body).change()
    return Answer(webhook_body(await gateway.webhooks.change(caller, webhook_id, change)))


@router.delete("/webhooks/{webhook_id}", status_code=204, responses=errors(WebhookNotFound))
async def remove_webhook(gateway: CurrentGateway, caller: Caller, webhook_id: WebhookPath) -> Response:
    """Remove a webhook. What it has not been told by then is dropped."""
    await gateway.webhooks.remove(caller, webhook_id)
    return Response(status_code=204)


@router.post("/webhooks/{webhook_id}/rotate", response_model=NewWebhook, responses=errors(Forbidden, WebhookNotFound))
async def rotate_webhook(gateway: CurrentGateway, caller: Caller, webhook_id: WebhookPath) -> Response:
    """Give a webhook another secret. The one before signs, too, for 24 hours."""
    webhook, secret = await gateway.webhooks.rotate(caller, webhook_id)
    return Answer(new_webhook_body(webhook, secret), headers=_SECRET)


@router.post(
    "/webhooks/{webhook_id}/test",
    status_code=202,
    response_model=Delivery,
    responses=errors(WebhookNotFound, Conflict),
)
async def test_webhook(gateway: CurrentGateway, caller: Caller, webhook_id: WebhookPath) -> Response:
    """Send it an event of the type `webhook.test`; what comes of it is among its deliveries."""
    return Answer(delivery_body(await gateway.webhooks.test(caller, webhook_id)), 202)


@router.get(
    "/webhooks/{webhook_id}/deliveries", response_model=DeliveryList, responses=errors(BadRequest, WebhookNotFound)
)
async def list_deliveries(
    gateway: CurrentGateway,
    caller: Caller,
    webhook_id: WebhookPath,
    limit: queries.Limit = 20,
    status: Annotated[queries.DeliveryStatusName, Query()] = "all",
    cursor: queries.DeliveryCursor = None,
) -> Response:
    """What the webhook is, or has been, told, newest first: what waits, and what ended in the last 7 days."""
    before = None if cursor is None else decode_delivery_cursor(cursor)
    # One more than asked for tells whether more follow.
    query = DeliveryQuery(limit + 1, None if status == "all" else status, before)
    found = await gateway.webhooks.deliveries(caller, webhook_id, query)
    body: DeliveryList = {"deliveries": [delivery_body(delivery) for delivery in found[:limit]]}
    if len(found) > limit:
        body["next_cursor"] = encode_delivery_cursor(found[limit - 1])
    return Answer(body)


@router.post(
    "/webhooks/{webhook_id}/deliveries/{delivery_id}/redeliver",
    status_code=202,
    response_model=Delivery,
    responses=errors(WebhookNotFound, DeliveryNotFound, Conflict),
)
async def redeliver(
    gateway: CurrentGateway, caller: Caller, webhook_id: WebhookPath, delivery_id: DeliveryPath
) -> Response:
    """Tell it once more, now, whatever came of it before. The delivery keeps its id."""
    return Answer(delivery_body(await gateway.webhooks.redeliver(caller, webhook_id, delivery_id)), 202)


def asked_webhook(gateway: Gateway, caller: Principal, request: WebhookRequest) -> webhooks.NewWebhook:
    """The endpoint to be made. Raises Forbidden for another account than a member's own."""
    return webhooks.NewWebhook(
        id=new_webhook_id(),
        account_id=account_named(caller, AccountId(request.account) if request.account else None),
        url=request.url,
        events=tuple(dict.fromkeys(request.events)),
        secret=new_secret(),
        created_ms=gateway.now_ms(),
    )
