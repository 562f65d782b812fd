"""Accounts. Only for admins, but that everybody may see its own."""

from fastapi import APIRouter, Response

from api.accounts.schemas import Account, AccountList, AccountPatch, AccountRequest, account_body
from api.http.answers import Answer
from api.http.bodies import parse
from api.http.dependencies import Admin, Body, Caller, CurrentGateway
from api.http.openapi import GUARDED, errors, takes
from api.http.parameters import AccountPath, KnownAndOnce
from cluster.errors import AccountNotFound, BadRequest, Forbidden, PayloadTooLarge
from cluster.ids import new_account_id
from cluster.keys import check_account

router = APIRouter(tags=["accounts"], dependencies=[KnownAndOnce], responses=errors(*GUARDED, BadRequest, Forbidden))


@router.post(
    "/accounts",
    status_code=201,
    response_model=Account,
    responses=errors(BadRequest, PayloadTooLarge),
    openapi_extra=takes(AccountRequest),
)
async def create_account(gateway: CurrentGateway, caller: Admin, body: Body) -> Response:
    """Make an account, with limits and a budget of its own if need be."""
    request = parse(AccountRequest, body)
    account = request.account(new_account_id(), gateway.now_ms(), gateway.default_limits)
    return Answer(account_body(await gateway.accounts.create(account)), 201)


@router.patch(
    "/accounts/{account_id}",
    response_model=Account,
    responses=errors(BadRequest, PayloadTooLarge, AccountNotFound),
    openapi_extra=takes(AccountPatch),
)
async def change_account(gateway: CurrentGateway, caller: Admin, account_id: AccountPath, body: Body) -> Response:
    """Change an account. Every replica goes by it within 5 s; jobs that have been taken stay."""
    change = parse(AccountPatch, body).change(gateway.default_limits)
    return Answer(account_body(await gateway.accounts.change(account_id, change)))


@router.get("/accounts", response_model=AccountList)
async def list_accounts(gateway: CurrentGateway, caller: Admin) -> Response:
    """All accounts, the oldest first."""
    return Answer({"accounts": [account_body(account) for account in await gateway.accounts.all()]})


@router.get("/accounts/{account_id}", response_model=Account, responses=errors(AccountNotFound))
async def get_account(gateway: CurrentGateway, caller: Caller, account_id: AccountPath) -> Response:
    """One account, with what has been spent of its budget; a member's own, for an admin any."""
    check_account(caller, account_id)
    return Answer(account_body(await gateway.accounts.get(account_id)))
