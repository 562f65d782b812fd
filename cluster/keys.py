"""API keys: their secrets, whether one is valid, whose keys a caller may ask for, and what a maker may give to a key.

A member asks for what is its account's, and gives no more than its account has. An admin does as it likes.
"""

import hashlib
import math
import re
import secrets
import string
import zlib
from collections.abc import Iterable
from typing import Literal

from msgspec import UNSET
from msgspec.structs import asdict, replace

from cluster.errors import BadRequest, Forbidden
from cluster.ids import AccountId
from cluster.messages.money import Budget, BudgetState
from cluster.messages.people import Account, KeyChange, KeyLimits, KeyRole, KeyStatus, NewKey, Principal

_BASE62 = string.digits + string.ascii_letters
_PREFIX = "inft_"
_RANDOM_CHARACTERS = 32
_CHECKSUM_CHARACTERS = 6
_SHOWN_CHARACTERS = 9
_WITH_CHECKSUM = re.compile(rf"{_PREFIX}[0-9A-Za-z]{{{_RANDOM_CHARACTERS + _CHECKSUM_CHARACTERS}}}", re.ASCII)

EVERYBODY = AccountId("all")
"""What an admin names in the place of an account."""

Checksum = Literal["right", "wrong", "none"]


def new_secret() -> str:
    """A new key: `inft_`, 32 random base62 characters, about 190 bits, and a checksum of all before it."""
    secret = _PREFIX + "".join(secrets.choice(_BASE62) for _ in range(_RANDOM_CHARACTERS))
    return secret + _checksum(secret)


def checksum(secret: str) -> Checksum:
    """Whether a token has the checksum of a new key. Older keys, and an admin's own, have none.

    No secret: it tells what is mistyped, cut off or made up, before anybody is asked who holds it.
    """
    if not _WITH_CHECKSUM.fullmatch(secret):
        return "none"
    text, given = secret[:-_CHECKSUM_CHARACTERS], secret[-_CHECKSUM_CHARACTERS:]
    return "right" if given == _checksum(text) else "wrong"


def _checksum(text: str) -> str:
    """The CRC-32, in base62."""
    number, digits = zlib.crc32(text.encode()), ""
    for _ in range(_CHECKSUM_CHARACTERS):
        number, digit = divmod(number, len(_BASE62))
        digits = _BASE62[digit] + digits
    return digits


def secret_hash(secret: str) -> str:
    """What is stored of a key, and what it is looked up by: the SHA-256 of the whole secret, in hex.

    A plain fast hash is right here: a slow, salted one protects secrets that can be guessed, and 190 random
    bits cannot. It also lets a key be found by one indexed look-up.
    """
    return hashlib.sha256(secret.encode()).hexdigest()


def visible_prefix(secret: str) -> str:
    """The beginning of a key, by which its owner recognises it. Never more than a quarter of the secret."""
    return secret[: min(_SHOWN_CHARACTERS, len(secret) // 4)]


def is_expired(expires_ms: int | None, now_ms: int) -> bool:
    """Whether the time of a key is over. One without an end never expires."""
    return expires_ms is not None and expires_ms <= now_ms


def status(expires_ms: int | None, revoked_ms: int | None, now_ms: int) -> KeyStatus:
    """What a key is at this time. One that was revoked stays so."""
    if revoked_ms is not None:
        return "revoked"
    return "expired" if is_expired(expires_ms, now_ms) else "active"


def is_valid(expires_ms: int | None, revoked_ms: int | None, now_ms: int) -> bool:
    """Whether a key lets its holder in at this time."""
    return status(expires_ms, revoked_ms, now_ms) == "active"


def account_named(caller: Principal, account_id: AccountId | None) -> AccountId:
    """The account that the caller asks about: its own if it names none. Raises Forbidden."""
    if account_id is None:
        return caller.account_id
    check_account(caller, account_id)
    return account_id


def accounts_named(caller: Principal, account_id: AccountId | None) -> AccountId | None:
    """As `account_named`; None where an admin names `all` of them. Raises Forbidden."""
    named = account_named(caller, account_id)
    return None if named == EVERYBODY else named


def account_seen(caller: Principal) -> AccountId | None:
    """The only account whose keys and jobs the caller sees; None for an admin, who sees all."""
    return None if caller.role == "admin" else caller.account_id


def check_account(caller: Principal, account_id: AccountId) -> None:
    """Raises Forbidden for an account that is no business of the caller's."""
    if account_id != caller.account_id and caller.role != "admin":
        raise Forbidden("account: only an admin may name another account")


def check_role(maker: Principal, role: KeyRole) -> None:
    """Raises Forbidden for a key with a role that `maker` may not give away."""
    if role == "admin" and maker.role != "admin":
        raise Forbidden("role: only an admin may make admin keys")


def granted(maker: Principal, asked: NewKey, account: Account | None, default: KeyLimits) -> NewKey:
    """The key as it is to be made; `account` is the one it asks for, `default` the limits of one without its own.

    Raises Forbidden, and BadRequest that names the field.
    """
    check_account(maker, asked.account_id)
    check_role(maker, asked.role)
    if account is None:
        raise BadRequest(f"account: there is no account {asked.account_id}")
    return asked if maker.role == "admin" else _confined(maker, asked, account, default)


def changed(changer: Principal, asked: KeyChange, role: KeyRole, account: Account, default: KeyLimits) -> KeyChange:
    """The change of a key of `account` as it is to be made; who changes gives no more than who makes.

    Raises Forbidden for an admin key, where the changer is none, and BadRequest that names the field.
    """
    if changer.role == "admin":
        return asked
    if role == "admin":
        raise Forbidden("Only an admin may change an admin key")
    if asked.budget is not UNSET:
        _check_budget(asked.budget, account.budget)
    if asked.models is not UNSET:
        asked = replace(asked, models=_models(asked.models, changer.models))
    if asked.limits is not UNSET and asked.limits is not None:
        asked = replace(asked, limits=_limits(asked.limits, account.limits or default))
    return asked


def lasting(expiries: Iterable[int | None]) -> float:
    """Until when one of the keys that end then is valid. One without an end is for ever."""
    return max((math.inf if expires_ms is None else expires_ms for expires_ms in expiries), default=-math.inf)


def _confined(maker: Principal, asked: NewKey, account: Account, default: KeyLimits) -> NewKey:
    _check_budget(asked.budget, account.budget)
    models = _models(asked.models, maker.models)
    if asked.limits is None:
        return replace(asked, models=models)
    return replace(asked, models=models, limits=_limits(asked.limits, account.limits or default))


def _limits(asked: KeyLimits, most: KeyLimits) -> KeyLimits:
    if asked.tokens_per_minute is None:
        asked = replace(asked, tokens_per_minute=most.tokens_per_minute)
    ceilings = asdict(most)
    for name, value in asdict(asked).items():
        if ceilings[name] is not None and value > ceilings[name]:
            raise BadRequest(f"limits.{name}: at most {ceilings[name]}, as the account has")
    return asked


def _check_budget(asked: Budget | None, of_account: BudgetState | None) -> None:
    if asked is None or of_account is None:
        return
    most = of_account.budget
    comparable = (asked.unit, asked.period) == (most.unit, most.period)
    if comparable and asked.amount > most.amount:
        raise BadRequest(f"budget.amount: at most {most.amount}, as the account has")


def _models(asked: tuple[str, ...], own: tuple[str, ...]) -> tuple[str, ...]:
    if not own:
        return asked
    if foreign := [model for model in asked if model not in own]:
        raise BadRequest(f"models: this key may not use {', '.join(foreign)} itself")
    return asked or own
