"""Webhooks: endpoints made, changed, tried and removed, and what each of them has been told."""

from typing import Annotated, NamedTuple, get_args

import msgspec
from fastapi import Depends, Query, Response
from starlette.datastructures import FormData
from starlette.requests import Request

from api.dashboard.forms import Form
from api.dashboard.owners import accounts_of
from api.dashboard.paging import ROWS, Page, PageNumber
from api.dashboard.rendering import page
from api.dashboard.routing import pages
from api.http import parameters as queries
from api.http.bodies import R, parse
from api.http.dependencies import Caller, CurrentGateway
from api.http.parameters import DeliveryPath, WebhookPath, decode_delivery_cursor, encode_delivery_cursor
from api.replica.gateway import Gateway
from api.webhooks.routes import asked_webhook
from api.webhooks.schemas import Webhook, WebhookPatch, WebhookRequest, delivery_body, webhook_body
from cluster.errors import BadRequest, Conflict, Forbidden, WebhookNotFound
from cluster.ids import WebhookId
from cluster.keys import account_seen
from cluster.messages.people import Principal
from cluster.messages.webhooks import DeliveryQuery, EventType, WebhookChange
from cluster.webhooks.events import OF_THE_SYSTEM

router = pages()

_REFUSALS = (BadRequest, Forbidden, Conflict)
_CHANGED = {"HX-Trigger": "webhooks-changed"}


class _DeliveriesAsked(NamedTuple):
    """Which of an endpoint's deliveries are to be shown: a page of those of this status."""

    webhook_id: WebhookId
    status: queries.DeliveryStatusName
    cursor: str | None


async def _asked_deliveries(
    webhook_id: WebhookPath,
    status: Annotated[queries.DeliveryStatusName, Query()] = "all",
    cursor: queries.DeliveryCursor = None,
) -> _DeliveriesAsked:
    return _DeliveriesAsked(webhook_id, status, cursor)


AskedDeliveries = Annotated[_DeliveriesAsked, Depends(_asked_deliveries)]


@router.get("/settings/webhooks")
async def webhooks(request: Request, gateway: CurrentGateway, caller: Caller, number: PageNumber = 1) -> Response:
    return page(request, "settings/webhooks.html", await _listed(gateway, caller, number))


@router.get("/settings/webhooks/list")
async def listed(request: Request, gateway: CurrentGateway, caller: Caller, number: PageNumber = 1) -> Response:
    """The list alone."""
    return page(request, "settings/webhooks_list.html", await _listed(gateway, caller, number))


@router.get("/settings/webhooks/new")
async def form(request: Request, gateway: CurrentGateway, caller: Caller) -> Response:
    """The form that makes one."""
    ends = [("events", "job.completed"), ("events", "job.failed")]
    return page(request, "settings/webhooks_form.html", await _form(gateway, caller, None, FormData([*ends])))


@router.get("/settings/webhooks/button")
async def button(request: Request) -> Response:
    """What stands in the form's place otherwise."""
    return page(request, "settings/webhooks_button.html", {"is_back": True})


@router.post("/settings/webhooks")
async def create(request: Request, gateway: CurrentGateway, caller: Caller, form: Form) -> Response:
    """Make an endpoint, and show its secret, once; or the form again, with what is wrong in it."""
    try:
        asked = asked_webhook(gateway, caller, _asked(WebhookRequest, form))
        made = await gateway.webhooks.create(caller, asked)
    except _REFUSALS as problem:
        shown = await _form(gateway, caller, None, form, problem.message)
        return page(request, "settings/webhooks_form.html", shown, 422)
    shown = {"webhook": webhook_body(made), "secret": asked.secret, "is_new": True}
    return page(request, "settings/webhooks_secret.html", shown, headers=_CHANGED)


@router.get("/settings/webhooks/{webhook_id}/edit")
async def edit(request: Request, gateway: CurrentGateway, caller: Caller, webhook_id: WebhookPath) -> Response:
    """The form that changes one, filled in as it is."""
    webhook = await _webhook(gateway, caller, webhook_id)
    events = [("events", event) for event in webhook["events"]]
    given = FormData([("url", webhook["url"]), *events])
    return page(request, "settings/webhooks_form.html", await _form(gateway, caller, webhook, given))


@router.patch("/settings/webhooks/{webhook_id}")
async def change(
    request: Request, gateway: CurrentGateway, caller: Caller, webhook_id: WebhookPath, form: Form
) -> Response:
    """Change where it is and what it is told of; or the form again, with what is wrong in it."""
    webhook = await _webhook(gateway, caller, webhook_id)
    try:
        changed = await gateway.webhooks.change(caller, webhook_id, _asked(WebhookPatch, form).change())
    except _REFUSALS as problem:
        shown = await _form(gateway, caller, webhook, form, problem.message)
        return page(request, "settings/webhooks_form.html", shown, 422)
    shown = {"told": f"{changed.url} has been changed.", "is_back": True}
    return page(request, "settings/webhooks_button.html", shown, headers=_CHANGED)


@router.post("/settings/webhooks/{webhook_id}/rotate")
async def rotate(request: Request, gateway: CurrentGateway, caller: Caller, webhook_id: WebhookPath) -> Response:
    """Give it another secret, and show that, once."""
    webhook, secret = await gateway.webhooks.rotate(caller, webhook_id)
    shown = {"webhook": webhook_body(webhook), "secret": secret, "is_new": False}
    return page(request, "settings/webhooks_secret.html", shown, headers=_CHANGED)


@router.post("/settings/webhooks/{webhook_id}/test")
async def test(request: Request, gateway: CurrentGateway, caller: Caller, webhook_id: WebhookPath) -> Response:
    """Send it a test. The answer says where to see what comes of it."""
    await gateway.webhooks.test(caller, webhook_id)
    return page(request, "settings/webhooks_button.html", {"tested": await _webhook(gateway, caller, webhook_id)})


@router.post("/settings/webhooks/{webhook_id}/enable")
async def enable(request: Request, gateway: CurrentGateway, caller: Caller, webhook_id: WebhookPath) -> Response:
    """Send to it again. The answer is the list."""
    await gateway.webhooks.change(caller, webhook_id, WebhookChange(enabled=True))
    return await listed(request, gateway, caller)


@router.post("/settings/webhooks/{webhook_id}/disable")
async def disable(request: Request, gateway: CurrentGateway, caller: Caller, webhook_id: WebhookPath) -> Response:
    """Send nothing to it. The answer is the list."""
    await gateway.webhooks.change(caller, webhook_id, WebhookChange(enabled=False))
    return await listed(request, gateway, caller)


@router.delete("/settings/webhooks/{webhook_id}")
async def remove(request: Request, gateway: CurrentGateway, caller: Caller, webhook_id: WebhookPath) -> Response:
    """What it has not been told by then is dropped. The answer is the list."""
    await gateway.webhooks.remove(caller, webhook_id)
    return await listed(request, gateway, caller)


@router.get("/settings/webhooks/{webhook_id}/deliveries")
async def deliveries(request: Request, gateway: CurrentGateway, caller: Caller, asked: AskedDeliveries) -> Response:
    return page(request, "settings/deliveries.html", await _delivered(gateway, caller, asked))


@router.get("/settings/webhooks/{webhook_id}/deliveries/now")
async def deliveries_now(request: Request, gateway: CurrentGateway, caller: Caller, asked: AskedDeliveries) -> Response:
    """The list alone, asked for again and again."""
    return page(request, "settings/deliveries_list.html", await _delivered(gateway, caller, asked))


@router.post("/settings/webhooks/{webhook_id}/deliveries/{delivery_id}/redeliver")
async def redeliver(
    request: Request, gateway: CurrentGateway, caller: Caller, delivery_id: DeliveryPath, asked: AskedDeliveries
) -> Response:
    """Tell it once more, now. The answer is the list."""
    await gateway.webhooks.redeliver(caller, asked.webhook_id, delivery_id)
    return await deliveries_now(request, gateway, caller, asked)


def _asked(model: type[R], form: FormData) -> R:
    """What the form asks for. No event that is ticked is none, and not the API's default. Raises BadRequest."""
    body: dict[str, object] = {
        "url": str(form.get("url", "")).strip(),
        "events": list(map(str, form.getlist("events"))),
    }
    if account := form.get("account"):
        body["account"] = str(account)
    return parse(model, msgspec.json.encode(body))


async def _listed(gateway: Gateway, caller: Principal, number: int) -> dict[str, object]:
    """The newest first."""
    found = [webhook_body(webhook) for webhook in reversed(await gateway.webhooks.of(account_seen(caller)))]
    names = {account.id: account.name for account in await accounts_of(gateway, caller)}
    return {"webhooks": Page.of(found, number), "account_names": names}


async def _form(
    gateway: Gateway, caller: Principal, webhook: Webhook | None, given: FormData, problem: str | None = None
) -> dict[str, object]:
    """The form that makes an endpoint, or changes `webhook`: what is `given` in it, and what is wrong with that."""
    hidden = () if caller.role == "admin" else OF_THE_SYSTEM
    events = [event for event in get_args(EventType) if event not in hidden]
    accounts = await accounts_of(gateway, caller)
    return {"webhook": webhook, "events": events, "accounts": accounts, "given": given, "problem": problem}


async def _webhook(gateway: Gateway, caller: Principal, webhook_id: WebhookId) -> Webhook:
    """Raises WebhookNotFound, for another account's too."""
    for webhook in await gateway.webhooks.of(account_seen(caller)):
        if webhook.id == webhook_id:
            return webhook_body(webhook)
    raise WebhookNotFound("No such webhook")


async def _delivered(gateway: Gateway, caller: Principal, asked: _DeliveriesAsked) -> dict[str, object]:
    """A page of deliveries, the newest first."""
    webhook_id, status, cursor = asked
    before = None if cursor is None else decode_delivery_cursor(cursor)
    # One more than are shown tells whether more follow.
    query = DeliveryQuery(ROWS + 1, None if status == "all" else status, before)
    found = await gateway.webhooks.deliveries(caller, webhook_id, query)
    return {
        "webhook": await _webhook(gateway, caller, webhook_id),
        "deliveries": [delivery_body(delivery) for delivery in found[:ROWS]],
        "older": encode_delivery_cursor(found[ROWS - 1]) if len(found) > ROWS else None,
        "cursor": cursor,
        "status": status,
    }
