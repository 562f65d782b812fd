"""Accounts: who owns keys and jobs, with limits, a budget and a share for all of its keys together. Only for admins."""

from fastapi import Response
from starlette.datastructures import FormData
from starlette.requests import Request

from api.accounts.schemas import Account, AccountPatch, AccountRequest, account_body
from api.dashboard.forms import Form, change_of, filled_in, request_of
from api.dashboard.paging import Page, PageNumber
from api.dashboard.rendering import page
from api.dashboard.routing import pages
from api.http.dependencies import Admin, CurrentGateway
from api.http.parameters import AccountPath
from api.replica.gateway import Gateway
from cluster.errors import BadRequest
from cluster.ids import new_account_id

router = pages()

_CHANGED = {"HX-Trigger": "accounts-changed"}


@router.get("/settings/accounts")
async def accounts(request: Request, gateway: CurrentGateway, caller: Admin, number: PageNumber = 1) -> Response:
    return page(request, "settings/accounts.html", {"accounts": await _listed(gateway, number)})


@router.get("/settings/accounts/list")
async def listed(request: Request, gateway: CurrentGateway, caller: Admin, number: PageNumber = 1) -> Response:
    """The list alone."""
    return page(request, "settings/accounts_list.html", {"accounts": await _listed(gateway, number)})


@router.get("/settings/accounts/new")
async def form(request: Request, caller: Admin) -> Response:
    """The form that makes one."""
    return page(request, "settings/accounts_form.html", {"account": None, "given": FormData(), "problem": None})


@router.get("/settings/accounts/button")
async def button(request: Request, caller: Admin) -> Response:
    """What stands in the form's place otherwise."""
    return page(request, "settings/accounts_button.html", {"is_back": True})


@router.post("/settings/accounts")
async def create(request: Request, gateway: CurrentGateway, caller: Admin, form: Form) -> Response:
    """Make an account; or the form again, with what is wrong in it."""
    try:
        asked = request_of(AccountRequest, form)
    except BadRequest as problem:
        shown = {"account": None, "given": form, "problem": problem.message}
        return page(request, "settings/accounts_form.html", shown, 422)
    account = asked.account(new_account_id(), gateway.now_ms(), gateway.default_limits)
    created = await gateway.accounts.create(account)
    told = f"{created.name} has been made. A key lets somebody in: Settings, API Keys."
    return page(request, "settings/accounts_button.html", {"told": told, "is_back": True}, headers=_CHANGED)


@router.get("/settings/accounts/{account_id}/edit")
async def edit(request: Request, gateway: CurrentGateway, caller: Admin, account_id: AccountPath) -> Response:
    """The form that changes one, filled in as it is."""
    account = account_body(await gateway.accounts.get(account_id))
    shown = {"account": account, "given": filled_in(account), "problem": None}
    return page(request, "settings/accounts_form.html", shown)


@router.patch("/settings/accounts/{account_id}")
async def change(
    request: Request, gateway: CurrentGateway, caller: Admin, account_id: AccountPath, form: Form
) -> Response:
    """Change what is otherwise in the form; or the form again, with what is wrong in it."""
    account = account_body(await gateway.accounts.get(account_id))
    try:
        asked = change_of(AccountPatch, form, filled_in(account))
    except BadRequest as problem:
        shown = {"account": account, "given": form, "problem": problem.message}
        return page(request, "settings/accounts_form.html", shown, 422)
    changed = await gateway.accounts.change(account_id, asked.change(gateway.default_limits))
    told = f"{changed.name} has been changed."
    return page(request, "settings/accounts_button.html", {"told": told, "is_back": True}, headers=_CHANGED)


async def _listed(gateway: Gateway, number: int) -> Page[Account]:
    """The newest first."""
    return Page.of([account_body(account) for account in reversed(await gateway.accounts.all())], number)
