"""Models: what each one does, and why it does not do more; for admins, how many there may be, Restart, and adapters."""

from math import isfinite
from typing import Any

import msgspec
from fastapi import Response
from starlette.datastructures import FormData
from starlette.requests import Request

from api.dashboard.forms import Form, body_of
from api.dashboard.paging import Page, PageNumber
from api.dashboard.rendering import page
from api.dashboard.routing import pages
from api.http.bodies import parse
from api.http.dependencies import Admin, CurrentGateway
from api.http.parameters import AdapterPath, ModelPath
from api.models.adapters import AdapterRequest
from api.models.detail import ModelPatch, detail_body
from api.models.schemas import CatalogueModel, catalogue_body
from api.replica.gateway import Gateway
from cluster.errors import BadRequest, Conflict
from cluster.messages.models import ModelDetail

router = pages()

_BOUNDS = ("min", "max", "idle_s")
_EMPTY = FormData()
_ADAPTERS_CHANGED = {"HX-Trigger": "adapters-changed"}

# A model's id may have slashes in it: what changes of a page is asked for at the page's own address, by htmx.


@router.get("/models")
async def models(request: Request, gateway: CurrentGateway, number: PageNumber = 1) -> Response:
    template = "models/rows.html" if _is_part(request) else "models/list.html"
    return page(request, template, {"models": Page.of(await _models(gateway), number)})


@router.get("/models/{model_id:path}")
async def model(request: Request, gateway: CurrentGateway, model_id: ModelPath) -> Response:
    template = "models/now.html" if _is_part(request) else "models/model.html"
    return page(request, template, await _shown(gateway, await gateway.models.get(model_id)))


@router.patch("/models/{model_id:path}")
async def change(request: Request, gateway: CurrentGateway, caller: Admin, model_id: ModelPath, form: Form) -> Response:
    """Set how many replicas there may be. The answer is the form, with what is wrong in it."""
    try:
        detail = await gateway.models.change(model_id, parse(ModelPatch, _bounds(form)).change())
    except BadRequest as problem:
        shown = await _shown(gateway, await gateway.models.get(model_id), form, problem.message)
        return page(request, "models/bounds.html", shown, 422)
    shown = await _shown(gateway, detail) | {"saved": True}
    return page(request, "models/bounds.html", shown, headers={"HX-Trigger": "bounds-changed"})


@router.post("/models/{model_id:path}/restart")
async def restart(request: Request, gateway: CurrentGateway, caller: Admin, model_id: ModelPath) -> Response:
    """Replace its replicas one after the other. The answer is what is so now."""
    return page(request, "models/now.html", await _shown(gateway, await gateway.models.restart(model_id)))


@router.post("/models/{model_id:path}/adapters")
async def add_adapter(
    request: Request, gateway: CurrentGateway, caller: Admin, model_id: ModelPath, form: Form
) -> Response:
    """Add an adapter. The answer is the form, and with what is wrong in it, if anything."""
    try:
        detail = await gateway.adapters.add(model_id, parse(AdapterRequest, _adapter(form)).adapter())
    except (BadRequest, Conflict) as problem:
        shown = await _shown(gateway, await gateway.models.get(model_id), form, problem.message)
        return page(request, "models/adapters.html", shown, 422)
    return page(request, "models/adapters.html", await _shown(gateway, detail), headers=_ADAPTERS_CHANGED)


@router.delete("/models/{model_id:path}/adapters/{adapter_id:path}")
async def remove_adapter(
    request: Request, gateway: CurrentGateway, caller: Admin, model_id: ModelPath, adapter_id: AdapterPath
) -> Response:
    """Remove an adapter that an admin has added. The answer is the form, and those that are left."""
    await gateway.adapters.remove(model_id, adapter_id)
    shown = await _shown(gateway, await gateway.models.get(model_id))
    return page(request, "models/adapters.html", shown, headers=_ADAPTERS_CHANGED)


def _is_part(request: Request) -> bool:
    return "HX-Request" in request.headers


async def _models(gateway: Gateway) -> list[CatalogueModel]:
    now = await gateway.models.now()
    return [catalogue_body(view, now.tokens_per_second, gateway.catalogue) for view in now.views]


async def _shown(
    gateway: Gateway, detail: ModelDetail, given: FormData = _EMPTY, problem: str | None = None
) -> dict[str, object]:
    """The model; and of the form what has been `given` already, and what is wrong with that."""
    speeds = await gateway.models.speeds()
    known = gateway.catalogue.model(detail.view.id)
    body = detail_body(detail, lambda name: speeds.get(name, 0), gateway.catalogue)
    return {
        "model": body,
        "aliases": known.aliases,
        "given": given,
        "problem": problem,
        "saved": False,
    }


def _bounds(form: FormData) -> bytes:
    """The JSON of what the form asks for. An empty field is what the settings say."""
    asked: dict[str, Any] = {}
    for name in _BOUNDS:
        text = str(form.get(name, "")).strip()
        asked[name] = (int(text) if text.isdecimal() and text.isascii() else text) if text else None
    return msgspec.json.encode({"replicas": asked})


def _adapter(form: FormData) -> bytes:
    """The JSON of the adapter that the form asks for. One without prices costs what its model costs."""
    asked = body_of(form)
    price: dict[str, Any] = asked.get("price", {})
    asked |= {"price": {part: _amount(text) for part, text in price.items()}} if price else {}
    return msgspec.json.encode(asked | {name: str(asked[name]) for name in ("id", "source") if name in asked})


def _amount(text: int | str) -> float | str:
    try:
        amount = float(text)
    except ValueError:
        return str(text)
    return amount if isfinite(amount) else str(text)
