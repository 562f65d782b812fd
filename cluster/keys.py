"""API keys: their secrets, and what a maker may give to a key. A member gives no more than its account has."""

import hashlib
import secrets
import string

from msgspec.structs import asdict, replace

from cluster.errors import BadRequest, Forbidden
from cluster.messages.money import Budget
from cluster.messages.people import Account, KeyLimits, NewKey, Principal

_BASE62 = string.digits + string.ascii_letters
_PREFIX = "inft_"
_RANDOM_CHARACTERS = 32
_SHOWN_CHARACTERS = 9


def new_secret() -> str:
    """A new key: `inft_` and 32 random base62 characters, about 190 bits."""
    return _PREFIX + "".join(secrets.choice(_BASE62) for _ in range(_RANDOM_CHARACTERS))


def secret_hash(secret: str) -> str:
    """What is stored of a key, and what it is looked up by: the SHA-256 of the whole secret, in hex.

    A plain fast hash is right here: a slow, salted one protects secrets that can be guessed, and 190 random
    bits cannot. It also lets a key be found by one indexed look-up.
    """
    return hashlib.sha256(secret.encode()).hexdigest()


def visible_prefix(secret: str) -> str:
    """The beginning of a key, by which its owner recognises it. Never more than a quarter of the secret."""
    return secret[: min(_SHOWN_CHARACTERS, len(secret) // 4)]


def granted(maker: Principal, asked: NewKey, account: Account | None, default: KeyLimits) -> NewKey:
    """The key as it is to be made; `account` is the one it asks for, `default` the limits of one without its own.

    Raises Forbidden, and BadRequest that names the field.
    """
    if maker.role != "admin":
        _stay_at_home(maker, asked)
    if account is None:
        raise BadRequest(f"account: there is no account {asked.account_id}")
    return asked if maker.role == "admin" else _confined(maker, asked, account, default)


def _stay_at_home(maker: Principal, asked: NewKey) -> None:
    if asked.account_id != maker.account_id:
        raise Forbidden("account: only an admin makes keys of other accounts")
    if asked.role != "member":
        raise Forbidden("role: only an admin makes admin keys")


def _confined(maker: Principal, asked: NewKey, account: Account, default: KeyLimits) -> NewKey:
    if asked.budget is not None and account.budget is not None:
        _check_budget(asked.budget, account.budget.budget)
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


def _check_budget(asked: Budget, most: Budget) -> None:
    comparable = (asked.unit, asked.period) == (most.unit, most.period)
    if comparable and asked.amount > most.amount:
        raise BadRequest(f"budget.amount: at most {most.amount}, as the account has")


def _models(asked: tuple[str, ...], own: tuple[str, ...]) -> tuple[str, ...]:
    if not own:
        return asked
    if foreign := [model for model in asked if model not in own]:
        raise BadRequest(f"models: this key may not use {', '.join(foreign)} itself")
    return asked or own
