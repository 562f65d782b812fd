"""Who asks: accounts, their keys, and what each key may do."""

from typing import Literal, NamedTuple

from msgspec import UNSET, Struct, UnsetType

from cluster.ids import AccountId, KeyId
from cluster.messages.money import Budget, BudgetState

KeyRole = Literal["member", "admin"]
KeyStatus = Literal["active", "expired", "revoked"]


class KeyLimits(Struct, frozen=True):
    """What a key may ask for, in windows that are fixed on the clock. None means no limit."""

    submissions_per_minute: int = 60
    submissions_per_hour: int = 1000
    reads_per_minute: int = 600
    tokens_per_minute: int | None = None


class Principal(Struct, frozen=True):
    """Who asks: the holder of a valid key. `models` are the only ones it may use, or adapters; none means all.

    `max_queued` is how many jobs of its account may wait; None means any number.
    """

    account_id: AccountId
    key_id: KeyId
    role: KeyRole
    limits: KeyLimits
    models: tuple[str, ...] = ()
    expires_ms: int | None = None
    max_queued: int | None = None

    def may_use(self, model: str, adapter: str = "") -> bool:
        """Whether it may use this model, or this adapter of it: who may use a model may use its adapters, too."""
        return not self.models or model in self.models or (bool(adapter) and adapter in self.models)


class SignedIn(NamedTuple):
    """A session that was begun with the key of this hash; without an id, that key itself."""

    key_hash: str
    id: str = ""


class Account(Struct, frozen=True):
    """An account. Without `limits` of its own its keys have the default ones.

    `weight` is its share of a model beside other accounts that want it, `max_queued` how many of its jobs may wait for
    an engine; None means any number.
    """

    id: AccountId
    name: str
    created_ms: int
    limits: KeyLimits | None = None
    budget: BudgetState | None = None
    weight: int = 1
    max_queued: int | None = None


class AccountChange(Struct, frozen=True):
    """What of an account is to be otherwise; what is UNSET stays. A budget of another unit or period begins anew."""

    name: str | UnsetType = UNSET
    limits: KeyLimits | UnsetType | None = UNSET
    budget: Budget | UnsetType | None = UNSET
    weight: int | UnsetType = UNSET
    max_queued: int | UnsetType | None = UNSET


class NewKey(Struct, frozen=True):
    """A key to be made. Without `limits` it has its account's, or else the default ones."""

    id: KeyId
    account_id: AccountId
    name: str
    secret: str
    role: KeyRole
    created_ms: int
    expires_ms: int | None = None
    limits: KeyLimits | None = None
    budget: Budget | None = None
    models: tuple[str, ...] = ()


class Key(Struct, frozen=True):
    """A key as its owner is told of it. `prefix` is the beginning of its secret, `limits` are those in force."""

    id: KeyId
    account_id: AccountId
    name: str
    prefix: str
    role: KeyRole
    created_ms: int
    limits: KeyLimits
    expires_ms: int | None = None
    revoked_ms: int | None = None
    last_used_ms: int | None = None
    budget: BudgetState | None = None
    models: tuple[str, ...] = ()


class KeyChange(Struct, frozen=True):
    """What of a key is to be otherwise; what is UNSET stays. `limits` of None are its account's, `models` of () all."""

    name: str | UnsetType = UNSET
    limits: KeyLimits | UnsetType | None = UNSET
    budget: Budget | UnsetType | None = UNSET
    models: tuple[str, ...] | UnsetType = UNSET
    expires_ms: int | UnsetType | None = UNSET


class ShareMark(Struct, frozen=True):
    """What an account has had of a model while others waited (`cluster/shares.py`); None where it counts no more."""

    model: str
    account_id: AccountId
    counter: float | None


class WindowMark(Struct, frozen=True):
    """At most `used` has been let through of this window of a key's bucket, as the Ledger knows for good."""

    key_id: KeyId
    bucket: str
    length_s: int
    number: int
    used: int
