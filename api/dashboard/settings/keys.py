"""API Keys: made, listed and revoked."""

from fastapi import Response
from starlette.datastructures import FormData
from starlette.requests import Request

from api.dashboard.forms import Form, request_of
from api.dashboard.paging import Page, PageNumber
from api.dashboard.rendering import page
from api.dashboard.routing import pages
from api.http.dependencies import Caller, CurrentGateway
from api.http.parameters import Flag, KeyPath
from api.keys.routes import asked_key
from api.keys.schemas import Key, KeyRequest, key_body
from api.replica.gateway import Gateway
from cluster.errors import BadRequest, Forbidden, ModelNotFound
from cluster.keys import account_seen
from cluster.messages.people import Account, Principal

router = pages()

_EMPTY = FormData()


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
    return page(request, "settings/keys_button.html")


@router.post("/settings/keys")
async def create(request: Request, gateway: CurrentGateway, caller: Caller, form: Form) -> Response:
    """Make a key, and show its secret, once; or the form again, with what is wrong in it."""
    try:
        asked = await asked_key(gateway, caller, request_of(KeyRequest, form, lists=["models"]))
        key = await gateway.create_key(caller, asked)
    except (BadRequest, Forbidden, ModelNotFound) as problem:
        return page(request, "settings/keys_new.html", await _form(gateway, caller, form, problem.message), 422)
    shown = {"key": key_body(key, gateway.now_ms()), "secret": asked.secret}
    return page(request, "settings/keys_made.html", shown, headers={"HX-Trigger": "keys-changed"})


@router.delete("/settings/keys/{key_id}")
async def revoke(request: Request, gateway: CurrentGateway, caller: Caller, key_id: KeyPath) -> Response:
    """Every replica refuses it within 5 s. The answer is the list."""
    await gateway.revoke_key(key_id, account_seen(caller))
    return page(request, "settings/keys_list.html", await _listed(gateway, caller, 1, False))


async def _listed(gateway: Gateway, caller: Principal, number: int, all_of_them: bool) -> dict[str, object]:
    """The newest first; without those that let nobody in any more, unless they are asked for."""
    now_ms = gateway.now_ms()
    bodies: list[Key] = [key_body(key, now_ms) for key in reversed(await gateway.keys(account_seen(caller)))]
    shown = [body for body in bodies if all_of_them or body["status"] == "active"]
    names = {account.id: account.name for account in await _accounts(gateway, caller)}
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
    models = [model.id for model in gateway.catalogue.models]
    return {"models": models, "accounts": await _accounts(gateway, caller), "given": given, "problem": problem}


async def _accounts(gateway: Gateway, caller: Principal) -> list[Account]:
    return await gateway.accounts() if caller.role == "admin" else []
