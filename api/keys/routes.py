"""Keys: made, listed, changed and revoked. A member's are those of its account; an admin's, all."""

from typing import Any

from fastapi import APIRouter, Response

from api.http import parameters as queries
from api.http.answers import Answer
from api.http.bodies import parse
from api.http.dependencies import Body, Caller, CurrentGateway
from api.http.openapi import GUARDED, errors, takes
from api.http.parameters import KeyPath, KnownAndOnce
from api.keys.limits import LimitsRequest
from api.keys.schemas import Key, KeyList, KeyPatch, KeyRequest, NewKey, key_body, new_key_body
from api.replica.gateway import Gateway
from cluster.errors import BadRequest, Conflict, Forbidden, KeyNotFound, ModelNotFound, PayloadTooLarge
from cluster.ids import AccountId, KeyId, new_key_id
from cluster.keys import account_named, account_seen, check_role, is_expired, new_secret
from cluster.messages import people
from cluster.messages.people import KeyLimits, Principal

router = APIRouter(tags=["keys"], dependencies=[KnownAndOnce], responses=errors(*GUARDED, BadRequest))


@router.post(
    "/keys",
    status_code=201,
    response_model=NewKey,
    responses=errors(BadRequest, Forbidden, ModelNotFound, PayloadTooLarge),
    openapi_extra=takes(KeyRequest),
)
async def create_key(gateway: CurrentGateway, caller: Caller, body: Body) -> Response:
    """Make a key. Its secret is in this answer and nowhere else. Of `limits`, what is left out is the account's."""
    request = parse(KeyRequest, body)
    asked = await asked_key(gateway, caller, request)
    key = await gateway.keys.create(caller, asked)
    return Answer(new_key_body(key, asked.secret, gateway.now_ms()), 201, {"Cache-Control": "no-store"})


@router.get("/keys", response_model=KeyList, responses=errors(BadRequest, Forbidden))
async def list_keys(gateway: CurrentGateway, caller: Caller, account: queries.AccountName = None) -> Response:
    """The account's keys, the oldest first; for an admin everybody's, or those of the account named."""
    seen = account_seen(caller) if account is None else account_named(caller, account)
    now_ms = gateway.now_ms()
    return Answer({"keys": [key_body(key, now_ms) for key in await gateway.keys.of(seen)]})


@router.get("/keys/{key_id}", response_model=Key, responses=errors(KeyNotFound))
async def get_key(gateway: CurrentGateway, caller: Caller, key_id: KeyPath) -> Response:
    """One key, with what has been spent of its budget."""
    key = await gateway.keys.get(key_id, account_seen(caller))
    return Answer(key_body(key, gateway.now_ms()))


@router.patch(
    "/keys/{key_id}",
    response_model=Key,
    responses=errors(BadRequest, Forbidden, ModelNotFound, KeyNotFound, Conflict, PayloadTooLarge),
    openapi_extra=takes(KeyPatch),
)
async def change_key(gateway: CurrentGateway, caller: Caller, key_id: KeyPath, body: Body) -> Response:
    """Change a key. Every replica goes by it within 5 s; jobs that have been taken stay."""
    change = await asked_change(gateway, caller, key_id, parse(KeyPatch, body))
    return Answer(key_body(await gateway.keys.change(caller, key_id, change), gateway.now_ms()))


@router.delete("/keys/{key_id}", status_code=204, responses=errors(KeyNotFound, Conflict))
async def revoke_key(gateway: CurrentGateway, caller: Caller, key_id: KeyPath) -> Response:
    """Revoke a key. Every replica refuses it within 5 s; jobs submitted with it go on."""
    await gateway.keys.revoke(key_id, account_seen(caller))
    return Response(status_code=204)


async def asked_key(gateway: Gateway, caller: Principal, request: KeyRequest) -> people.NewKey:
    """The key to be made. Raises BadRequest, Forbidden and ModelNotFound for what it cannot be."""
    created_ms = gateway.now_ms()
    _check_future(request.expires_at, created_ms)
    account_id = account_named(caller, AccountId(request.account) if request.account else None)
    check_role(caller, request.role)
    return people.NewKey(
        id=new_key_id(),
        account_id=account_id,
        name=request.name,
        secret=new_secret(),
        role=request.role,
        created_ms=created_ms,
        expires_ms=request.expires_at,
        limits=await _limits(gateway, account_id, request.limits),
        budget=None if request.budget is None else request.budget.budget(),
        models=await _models(gateway, request.models or []),
    )


async def asked_change(gateway: Gateway, caller: Principal, key_id: KeyId, request: KeyPatch) -> people.KeyChange:
    """What is to be otherwise. Raises KeyNotFound, and BadRequest and ModelNotFound for what cannot be."""
    key = await gateway.keys.get(key_id, account_seen(caller))
    asked: dict[str, Any] = {}
    if request.asks_for("name"):
        asked["name"] = request.name
    if request.asks_for("expires_at"):
        _check_future(request.expires_at, gateway.now_ms())
        asked["expires_ms"] = request.expires_at
    if request.asks_for("limits"):
        asked["limits"] = await _limits(gateway, key.account_id, request.limits)
    if request.asks_for("budget"):
        asked["budget"] = None if request.budget is None else request.budget.budget()
    if request.asks_for("models"):
        asked["models"] = await _models(gateway, request.models or [])
    return people.KeyChange(**asked)


def _check_future(expires_at: int | None, now_ms: int) -> None:
    if is_expired(expires_at, now_ms):
        raise BadRequest("expires_at: must be in the future")


async def _limits(gateway: Gateway, account_id: AccountId, asked: LimitsRequest | None) -> KeyLimits | None:
    if asked is None:
        return None
    own = {account.id: account.limits for account in await gateway.accounts.all()}
    return asked.over(own.get(account_id) or gateway.default_limits)


async def _models(gateway: Gateway, names: list[str]) -> tuple[str, ...]:
    """Their ids in the catalogue, each once."""
    choices = [await gateway.choice(name) for name in names]
    return tuple(dict.fromkeys(choice.id for choice in choices))
