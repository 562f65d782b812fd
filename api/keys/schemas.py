"""Keys: what a bearer token may do, and what it has done."""

from typing import Annotated, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from api.http.bodies import Change, ExactRequest, Moment, Name, OptionalMoment, Text, Time
from api.keys.limits import BudgetRequest, BudgetUse, Limits, LimitsRequest, budget_body, limits_body
from cluster import keys
from cluster.clock import iso_utc
from cluster.messages import people
from cluster.messages.people import KeyRole, KeyStatus

_Models = Annotated[list[Text], Field(min_length=1, description="The only ones it may use, by id or alias")]


class KeyRequest(ExactRequest):
    """A key to be made. Only an admin may name another account or the role admin."""

    name: Name
    expires_at: Annotated[OptionalMoment, Field(description="In the future; without a zone it is UTC")] = None
    limits: LimitsRequest | None = None
    budget: BudgetRequest | None = None
    models: _Models | None = None
    account: Annotated[Text, Field(description="Whose it is to be; the caller's, if not given")] | None = None
    role: KeyRole = "member"


class KeyPatch(Change):
    """What of a key is to be otherwise: what is left out stays, null is the default. Of `limits`, what is left out is
    the account's. A budget of the same unit and period goes on, with what has been spent of it; any other begins anew.
    """

    name: Annotated[Name, Field(default_factory=str)]
    expires_at: Annotated[Moment | None, Field(description="In the future; without a zone it is UTC")] = None
    limits: LimitsRequest | None = None
    budget: BudgetRequest | None = None
    models: _Models | None = None


class Key(TypedDict):
    """A key as its owner is told of it. `limits` are those in force."""

    id: str
    account_id: str
    name: str
    prefix: Annotated[str, Field(description="The beginning of the secret")]
    role: KeyRole
    status: KeyStatus
    created_at: Time
    limits: Limits
    expires_at: NotRequired[Time]
    revoked_at: NotRequired[Time]
    last_used_at: NotRequired[Time]
    budget: NotRequired[BudgetUse]
    models: NotRequired[Annotated[list[str], Field(description="The only ones it may use")]]


class NewKey(Key):
    """A key that has just been made."""

    key: Annotated[str, Field(description="The secret. It is shown here, and never again", pattern="^inft_")]


class KeyList(TypedDict):
    """Keys, the oldest first, revoked and expired ones too."""

    keys: list[Key]


def key_body(key: people.Key, now_ms: int) -> Key:
    body: Key = {
        "id": key.id,
        "account_id": key.account_id,
        "name": key.name,
        "prefix": key.prefix,
        "role": key.role,
        "status": keys.status(key.expires_ms, key.revoked_ms, now_ms),
        "created_at": iso_utc(key.created_ms),
        "limits": limits_body(key.limits),
    }
    if key.expires_ms is not None:
        body["expires_at"] = iso_utc(key.expires_ms)
    if key.revoked_ms is not None:
        body["revoked_at"] = iso_utc(key.revoked_ms)
    if key.last_used_ms is not None:
        body["last_used_at"] = iso_utc(key.last_used_ms)
    if key.budget is not None:
        body["budget"] = budget_body(key.budget)
    if key.models:
        body["models"] = list(key.models)
    return body


def new_key_body(key: people.Key, secret: str, now_ms: int) -> NewKey:
    return {**key_body(key, now_ms), "key": secret}
