"""API Keys: made, listed, changed and revoked."""

from fastapi import Response
from starlette.datastructures import FormData
from starlette.requests import Request

from api.dashboard.forms import Form, change_of, filled_in, request_of
from api.dashboard.owners import accounts_of
from api.dashboard.paging import Page, PageNumber
from api.dashboard.rendering import page
from api.dashboard.routing import pages
from api.http.dependencies import Caller, CurrentGateway
from api.http.parameters import Flag, KeyPath
from api.keys.routes import asked_change, asked_key
from api.keys.schemas import Key, KeyPatch, KeyRequest, key_body
from api.replica.gateway import Gateway
from cluster.catalogue import Catalogue
from cluster.errors import BadRequest, Conflict, Forbidden, ModelNotFound
from cluster.keys import account_seen
from cluster.messages.people import Principal

router = pages()

_EMPTY = FormData()
_LISTS = ["models"]


@router.get("/settings/keys")
async def keys(
    request: Request, gateway: CurrentGateway, caller: Caller, number: PageNumber = 1, all: Flag = False
) -> Response:
    return page(request, "settings/keys.html", await _listed(gateway, caller, number, all))


@router.get("/settings/keys/list")
async def listed(
    request: Request, gateway: CurrentGateway, caller: Caller, number: PageNumber = 1, all: Flag = False
) -> Response:
    """The list alone."""
    return page(request, "settings/keys_list.html", await _listed(gateway, caller, number, all))


@router.get("/settings/keys/new")
async def form(request: Request, gateway: CurrentGateway, caller: Caller) -> Response:
    """The form that makes one."""
    return page(request, "settings/keys_new.html", await _form(gateway, caller))


@router.get("/settings/keys/button")
async def button(request: Request) -> Response:
    """What stands in the form's place otherwise."""
    return page(request, "settings/keys_button.html", {"is_back": True})


@router.post("/settings/keys")
async def create(request: Request, gateway: CurrentGateway, caller: Caller, form: Form) -> Response:
    """Make a key, and show its secret, once; or the form again, with what is wrong in it."""
    try:
        asked = await asked_key(gateway, caller, request_of(KeyRequest, form, _LISTS))
        key = await gateway.keys.create(caller, asked)
    except (BadRequest, Forbidden, ModelNotFound) as problem:
        return page(request, "settings/keys_new.html", await _form(gateway, caller, form, problem.message), 422)
    shown = {"key": key_body(key, gateway.now_ms()), "secret": asked.secret}
    return page(request, "settings/keys_made.html", shown, headers={"HX-Trigger": "keys-changed"})


@router.get("/settings/keys/{key_id}/edit")
async def edit(request: Request, gateway: CurrentGateway, caller: Caller, key_id: KeyPath) -> Response:
    """The form that changes one, filled in as it is."""
    key = await _key(gateway, caller, key_id)
    return page(request, "settings/keys_edit.html", {"key": key, **await _form(gateway, caller, _filled_in(key))})


@router.patch("/settings/keys/{key_id}")
async def change(request: Request, gateway: CurrentGateway, caller: Caller, key_id: KeyPath, form: Form) -> Response:
    """Change what is otherwise in the form; or the form again, with what is wrong in it."""
    key = await _key(gateway, caller, key_id)
    try:
        asked = change_of(KeyPatch, form, _filled_in(key), _LISTS)
        await gateway.keys.change(caller, key_id, await asked_change(gateway, caller, key_id, asked))
    except (BadRequest, Forbidden, ModelNotFound, Conflict) as problem:
        shown = {"key": key, **await _form(gateway, caller, form, problem.message)}
        return page(request, "settings/keys_edit.html", shown, 422)
    shown = {"saved": form.get("name", ""), "is_back": True}
    return page(request, "settings/keys_button.html", shown, headers={"HX-Trigger": "keys-changed"})


@router.delete("/settings/keys/{key_id}")
async def revoke(request: Request, gateway: CurrentGateway, caller: Caller, key_id: KeyPath) -> Response:
    """Every replica refuses it within 5 s. The answer is the list."""
    await gateway.keys.revoke(key_id, account_seen(caller))
    return page(request, "settings/keys_list.html", await _listed(gateway, caller, 1, False))


async def _listed(gateway: Gateway, caller: Principal, number: int, all_of_them: bool) -> dict[str, object]:
    """The newest first; without those that let nobody in any more, unless they are asked for."""
    now_ms = gateway.now_ms()
    bodies: list[Key] = [key_body(key, now_ms) for key in reversed(await gateway.keys.of(account_seen(caller)))]
    shown = [body for body in bodies if all_of_them or body["status"] == "active"]
    names = {account.id: account.name for account in await accounts_of(gateway, caller)}
    return {
        "keys": Page.of(shown, number),
        "all": all_of_them,
        "others": len(bodies) - len(shown),
        "account_names": names,
    }


async def _form(
    gateway: Gateway, caller: Principal, given: FormData = _EMPTY, problem: str | None = None
) -> dict[str, object]:
    """The form: what can be chosen, what has been `given` already, and what is wrong with that."""
    # A key may be for a model that is not in the catalogue any more.
    models = dict.fromkeys([*_names(gateway.catalogue), *map(str, given.getlist("models"))])
    return {"models": list(models), "accounts": await accounts_of(gateway, caller), "given": given, "problem": problem}


def _names(catalogue: Catalogue) -> list[str]:
    """Models, each with its adapters after it."""
    return [name for model in catalogue.models for name in (model.id, *(each.id for each in model.adapters))]


async def _key(gateway: Gateway, caller: Principal, key_id: KeyPath) -> Key:
    return key_body(await gateway.keys.get(key_id, account_seen(caller)), gateway.now_ms())


def _filled_in(key: Key) -> FormData:
    """As a browser sends it: a time without its zone, and without seconds where there are none."""
    expires_at = key.get("expires_at", "").removesuffix("Z").removesuffix(":00")
    return filled_in({**key, "expires_at": expires_at})
