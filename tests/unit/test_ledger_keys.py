"""The Ledger's accounts and keys: who may make, see, use and revoke which."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from actors.ledger import Ledger
from cluster.errors import BadRequest, Conflict, DatabaseFailed, Forbidden, KeyNotFound
from cluster.ids import AccountId, KeyId, new_key_id
from cluster.keys import new_secret, secret_hash, visible_prefix
from cluster.messages.money import Budget, BudgetState
from cluster.messages.people import Account, KeyChange, KeyLimits, NewKey, Principal, SignedIn
from cluster.messages.work import Accepted, Submission
from cluster.store import keys
from cluster.timing import Timing
from tests.support.ledger_stage import (
    ADMIN,
    DEFAULT,
    NOW,
    OUR_KEY,
    OUR_SECRET,
    OURS,
    THEIR_KEY,
    THEIRS,
    Clock,
    Place,
    elsewhere,
    job,
    with_ledger,
)
from tests.support.plain_system import PATIENCE_S, until

MEMBER = Principal(OURS, OUR_KEY, "member", DEFAULT)
MONTHLY = Budget("tokens", 1000, "month")
LIMITED = Account(AccountId("acct_limited"), "limited", NOW, KeyLimits(10, 100, 50, 500), BudgetState(MONTHLY))
LIMITED_MEMBER = Principal(LIMITED.id, KeyId("key_any"), "member", DEFAULT)


def new(account: AccountId = OURS, **fields: object) -> NewKey:
    key = NewKey(new_key_id(), account, "laptop", new_secret(), "member", NOW)
    return replace(key, **fields)  # type: ignore[arg-type]


def test_accounts_are_told_oldest_first_with_their_budgets(place: Place) -> None:
    async def scenario(ledger: Ledger) -> None:
        assert await ledger.create_account(replace(LIMITED, created_ms=NOW + 1)) == replace(LIMITED, created_ms=NOW + 1)
        older = Account(AccountId("acct_older"), "older", NOW - 1, weight=3, max_queued=20)
        await ledger.create_account(older)
        told = await ledger.accounts()
        assert [account.id for account in told] == [older.id, OURS, THEIRS, LIMITED.id]
        assert told[0] == older
        assert await ledger.weights() == {older.id: 3}
        assert told[-1] == replace(LIMITED, created_ms=NOW + 1)

    with_ledger(place, scenario)


def test_a_repeated_account_or_key_changes_nothing(place: Place) -> None:
    async def scenario(ledger: Ledger) -> None:
        await ledger.create_account(LIMITED)
        assert await ledger.create_account(replace(LIMITED, name="other", budget=None)) == LIMITED
        asked = new(budget=MONTHLY, created_ms=NOW + 1)
        first, again = await asyncio.gather(*(ledger.create_key(MEMBER, asked) for _ in range(2)))
        assert first == again == await ledger.create_key(MEMBER, replace(asked, name="other"))
        assert [key.id for key in await ledger.keys(OURS)] == [OUR_KEY, asked.id]

    with_ledger(place, scenario)


def test_a_key_is_told_without_its_secret_and_works(place: Place) -> None:
    async def scenario(ledger: Ledger) -> None:
        asked = new(limits=KeyLimits(1, 2, 3, 4), models=("a", "b"), expires_ms=NOW + 1, budget=MONTHLY)
        key = await ledger.create_key(ADMIN, asked)
        assert (key.id, key.account_id, key.name, key.role) == (asked.id, OURS, "laptop", "member")
        assert (key.prefix, key.created_ms, key.expires_ms) == (visible_prefix(asked.secret), NOW, NOW + 1)
        assert (key.limits, key.models, key.budget) == (KeyLimits(1, 2, 3, 4), ("a", "b"), BudgetState(MONTHLY))
        assert (key.revoked_ms, key.last_used_ms) == (None, None)
        holder = await ledger.authenticate(secret_hash(asked.secret))
        assert holder == Principal(OURS, asked.id, "member", KeyLimits(1, 2, 3, 4), ("a", "b"), asked.expires_ms)
        kept = elsewhere(place, f"SELECT key_hash FROM api_keys WHERE id = '{key.id}'")
        assert kept == [(secret_hash(asked.secret),)]

    with_ledger(place, scenario)
    assert not isinstance(place, Path) or OUR_SECRET.encode() not in place.read_bytes()


def test_a_key_has_its_own_limits_or_its_accounts_or_the_default(place: Place) -> None:
    async def scenario(ledger: Ledger) -> None:
        await ledger.create_account(LIMITED)
        own = KeyLimits(1, 2, 3)
        asked = [new(limits=own), new(), new(LIMITED.id, limits=own), new(LIMITED.id)]
        for key in asked:
            await ledger.create_key(ADMIN, key)
        expected = [own, DEFAULT, own, LIMITED.limits]
        told = {key.id: key.limits for key in await ledger.keys(None)}
        assert [told[key.id] for key in asked] == expected
        holders = [await ledger.authenticate(secret_hash(key.secret)) for key in asked]
        assert [holder and holder.limits for holder in holders] == expected

    with_ledger(place, scenario)


def test_a_member_makes_member_keys_of_its_own_account(place: Place) -> None:
    async def scenario(ledger: Ledger) -> None:
        with pytest.raises(Forbidden, match=r"^account"):
            await ledger.create_key(MEMBER, new(THEIRS))
        with pytest.raises(Forbidden, match=r"^account"):
            await ledger.create_key(MEMBER, new(AccountId("acct_nobody")))
        with pytest.raises(Forbidden, match=r"^role"):
            await ledger.create_key(MEMBER, new(role="admin"))
        with pytest.raises(BadRequest, match=r"^account"):
            await ledger.create_key(ADMIN, new(AccountId("acct_nobody")))
        assert len(await ledger.keys(None)) == 2
        made = await ledger.create_key(ADMIN, new(THEIRS, role="admin"))
        assert (made.account_id, made.role) == (THEIRS, "admin")

    with_ledger(place, scenario)


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        (new(LIMITED.id, limits=KeyLimits(11, 100, 50, 500)), "limits.submissions_per_minute: at most 10"),
        (new(LIMITED.id, limits=KeyLimits(10, 101, 50, 500)), "limits.submissions_per_hour: at most 100"),
        (new(LIMITED.id, limits=KeyLimits(10, 100, 51, 500)), "limits.reads_per_minute: at most 50"),
        (new(LIMITED.id, limits=KeyLimits(10, 100, 50, 501)), "limits.tokens_per_minute: at most 500"),
        (new(LIMITED.id, budget=Budget("tokens", 1001, "month")), "budget.amount: at most 1000"),
        (new(LIMITED.id, models=("b", "c")), "models: this key may not use c"),
    ],
)
def test_a_member_gives_no_more_than_it_has(place: Place, asked: NewKey, field: str) -> None:
    async def scenario(ledger: Ledger) -> None:
        await ledger.create_account(LIMITED)
        with pytest.raises(BadRequest, match=f"^{field}"):
            await ledger.create_key(replace(LIMITED_MEMBER, models=("a", "b")), asked)
        assert await ledger.keys(LIMITED.id) == []
        await ledger.create_key(replace(ADMIN, models=("a",)), asked)
        assert len(await ledger.keys(LIMITED.id)) == 1

    with_ledger(place, scenario)


def test_what_a_member_does_not_ask_for_it_inherits(place: Place) -> None:
    async def scenario(ledger: Ledger) -> None:
        await ledger.create_account(LIMITED)
        most = await ledger.create_key(LIMITED_MEMBER, new(LIMITED.id, limits=KeyLimits(10, 100, 50), budget=MONTHLY))
        assert (most.limits, most.models) == (LIMITED.limits, ())
        other = new(LIMITED.id, budget=Budget("money", 9999, "month"))
        confined = await ledger.create_key(replace(LIMITED_MEMBER, models=("a", "b")), other)
        assert (confined.models, confined.budget) == (("a", "b"), BudgetState(Budget("money", 9999, "month")))
        (unlimited,) = await asyncio.gather(ledger.create_key(MEMBER, new(limits=KeyLimits(5, 5, 5, 10**9))))
        assert unlimited.limits.tokens_per_minute == 10**9

    with_ledger(place, scenario)


def test_keys_are_told_oldest_first_and_only_to_their_account(place: Place) -> None:
    async def scenario(ledger: Ledger) -> None:
        older, younger = new(created_ms=NOW - 1), new(created_ms=NOW + 1)
        for key in (younger, older):
            await ledger.create_key(MEMBER, key)
        await ledger.revoke_key(older.id, OURS)
        assert [key.id for key in await ledger.keys(OURS)] == [older.id, OUR_KEY, younger.id]
        assert [key.id for key in await ledger.keys(None)] == [older.id, OUR_KEY, THEIR_KEY, younger.id]
        assert [key.revoked_ms for key in await ledger.keys(OURS)] == [NOW, None, None]

    with_ledger(place, scenario)


def test_a_revoked_key_stays_revoked_and_may_be_revoked_again(place: Place) -> None:
    clock = Clock()

    async def scenario(ledger: Ledger) -> None:
        assert await ledger.authenticate(secret_hash(OUR_SECRET)) is not None
        await asyncio.gather(ledger.revoke_key(OUR_KEY, OURS), ledger.revoke_key(OUR_KEY, None))
        assert await ledger.authenticate(secret_hash(OUR_SECRET)) is None
        clock.ms += 1
        await ledger.revoke_key(OUR_KEY, OURS)
        (key,) = await ledger.keys(OURS)
        assert key.revoked_ms == NOW

    with_ledger(place, scenario, clock)


def test_another_accounts_key_is_no_key(place: Place) -> None:
    async def scenario(ledger: Ledger) -> None:
        for key_id in (THEIR_KEY, KeyId("key_none")):
            with pytest.raises(KeyNotFound):
                await ledger.revoke_key(key_id, OURS)
        (theirs,) = await ledger.keys(THEIRS)
        assert theirs.revoked_ms is None
        await ledger.revoke_key(THEIR_KEY, None)

    with_ledger(place, scenario)


def test_the_last_valid_admin_key_cannot_be_revoked(place: Place) -> None:
    clock = Clock()

    async def scenario(ledger: Ledger) -> None:
        first, second, brief = new(role="admin"), new(role="admin"), new(role="admin", expires_ms=NOW + 5)
        for key in (first, second, brief):
            await ledger.create_key(ADMIN, key)
        clock.ms = NOW + 5
        results = await asyncio.gather(
            *(ledger.revoke_key(key.id, None) for key in (first, second)), return_exceptions=True
        )
        assert results[0] is None
        assert isinstance(results[1], Conflict)
        assert "last valid admin key" in str(results[1])
        assert await ledger.authenticate(secret_hash(second.secret)) is not None
        await ledger.revoke_key(brief.id, None)  # it has expired: nothing is lost with it
        await ledger.revoke_key(first.id, None)
        await ledger.revoke_key(OUR_KEY, None)  # a member's

    with_ledger(place, scenario, clock)


def test_a_change_leaves_somebody_who_may_make_admin_keys(place: Place) -> None:
    """Until when that is so must not come sooner."""

    async def scenario(ledger: Ledger) -> None:
        first, second, brief = new(role="admin"), new(role="admin"), new(role="admin", expires_ms=NOW + 50)
        for key in (first, second, brief):
            await ledger.create_key(ADMIN, key)

        async def expire(key: NewKey, expires_ms: int | None) -> int | None:
            return (await ledger.change_key(ADMIN, key.id, KeyChange(expires_ms=expires_ms))).expires_ms

        assert await expire(first, NOW + 9) == NOW + 9
        with pytest.raises(Conflict, match=r"^expires_at"):
            await expire(second, NOW + 90)
        assert await expire(brief, None) is None
        assert await expire(second, NOW + 90) == NOW + 90
        await ledger.revoke_key(second.id, None)
        with pytest.raises(Conflict, match=r"^expires_at"):
            await expire(brief, NOW + 90)
        ours = await ledger.change_key(ADMIN, OUR_KEY, KeyChange(expires_ms=NOW + 1))  # a member's
        assert ours.expires_ms == NOW + 1

    with_ledger(place, scenario)


def test_a_change_holds_for_the_next_who_asks(place: Place) -> None:
    clock = Clock()

    async def scenario(ledger: Ledger) -> None:
        key = new(expires_ms=NOW + 5)
        await ledger.create_key(MEMBER, key)

        async def holder() -> Principal | None:
            return await ledger.authenticate(secret_hash(key.secret))

        before = await holder()
        assert before is not None
        limits = KeyLimits(4, 70, 500)
        change = KeyChange(limits=limits, models=("sim",), expires_ms=NOW + 9)
        for _ in range(2):
            changed = await ledger.change_key(MEMBER, key.id, change)
            assert (changed.limits, changed.models, changed.expires_ms) == (limits, ("sim",), NOW + 9)
        assert await holder() == replace(before, limits=limits, models=("sim",), expires_ms=NOW + 9)
        clock.ms = NOW + 9
        assert await holder() is None
        await ledger.change_key(MEMBER, key.id, KeyChange(expires_ms=None))
        assert await holder() == replace(before, limits=limits, models=("sim",), expires_ms=None)

    with_ledger(place, scenario, clock)


def test_a_budget_that_is_changed_goes_on_where_it_is_the_same_kind(place: Place) -> None:
    async def scenario(ledger: Ledger) -> None:
        await ledger.create_account(LIMITED)
        key = new(LIMITED.id, budget=MONTHLY)
        await ledger.create_key(LIMITED_MEMBER, key)
        submitted = Submission(job(account=LIMITED.id, key_id=key.id, prompt_tokens=10))
        assert isinstance((await ledger.create([submitted]))[0], Accepted)

        async def change(budget: Budget | None) -> BudgetState | None:
            return (await ledger.change_key(LIMITED_MEMBER, key.id, KeyChange(budget=budget))).budget

        less = Budget("tokens", 500, "month")
        assert await change(less) == BudgetState(less, 0, 17)
        with pytest.raises(BadRequest, match=r"^budget\.amount: at most 1000"):
            await change(Budget("tokens", 1001, "month"))
        other = Budget("tokens", 5000, "all")
        assert await change(other) == BudgetState(other)
        assert await change(None) is None

    with_ledger(place, scenario)


def test_who_asks_may_have_as_many_jobs_waiting_as_the_account(place: Place) -> None:
    async def scenario(ledger: Ledger) -> None:
        account = Account(AccountId("acct_few"), "few", NOW, max_queued=2)
        await ledger.create_account(account)
        key = new(account.id)
        await ledger.create_key(ADMIN, key)
        holders = await ledger.principals([SignedIn(secret_hash(each)) for each in (key.secret, OUR_SECRET)])
        assert [holder and holder.max_queued for holder in holders] == [2, None]

    with_ledger(place, scenario)


def test_only_valid_keys_have_a_holder(place: Place) -> None:
    async def scenario(ledger: Ledger) -> None:
        valid, expired = new(expires_ms=NOW + 1), new(expires_ms=NOW)
        for key in (valid, expired):
            await ledger.create_key(MEMBER, key)
        holder = await ledger.authenticate(secret_hash(OUR_SECRET))
        assert holder == Principal(OURS, OUR_KEY, "member", DEFAULT)
        assert await ledger.authenticate(secret_hash(valid.secret)) is not None
        for unknown in (secret_hash(expired.secret), secret_hash("inft_unknown"), OUR_SECRET, ""):
            assert await ledger.authenticate(unknown) is None

    with_ledger(place, scenario)


def test_the_last_use_is_told_at_once_and_kept_when_the_ledger_stops(place: Place) -> None:
    clock = Clock(NOW + 7)

    async def before(ledger: Ledger) -> None:
        assert [key.last_used_ms for key in await ledger.keys(None)] == [None, None]
        await ledger.authenticate(secret_hash(OUR_SECRET))
        clock.ms = NOW + 9
        await ledger.authenticate(secret_hash(OUR_SECRET))
        assert [key.last_used_ms for key in await ledger.keys(None)] == [NOW + 9, None]
        assert elsewhere(place, "SELECT max(last_used_ms) FROM api_keys") == [(None,)]

    async def after(ledger: Ledger) -> None:
        assert [key.last_used_ms for key in await ledger.keys(None)] == [NOW + 9, None]
        clock.ms = NOW + 8  # set back: the last use stays the last
        await ledger.authenticate(secret_hash(OUR_SECRET))
        assert [key.last_used_ms for key in await ledger.keys(OURS)] == [NOW + 9]

    with_ledger(place, before, clock)
    with_ledger(place, after, clock)
    assert elsewhere(place, "SELECT max(last_used_ms) FROM api_keys") == [(NOW + 9,)]


def last_use(place: Place) -> object:
    ((at_ms,),) = elsewhere(place, "SELECT max(last_used_ms) FROM api_keys")
    return at_ms


def test_uses_are_written_now_and_then(place: Place) -> None:
    clock = Clock()

    async def scenario(ledger: Ledger) -> None:
        for at_ms in (NOW, NOW + 5):
            clock.ms = at_ms
            await ledger.authenticate(secret_hash(OUR_SECRET))
            await until(lambda at_ms=at_ms: last_use(place) == at_ms, "a written use")

    with_ledger(place, scenario, clock, Timing(key_uses_s=0.001))


def test_a_use_during_the_write_is_written_the_next_time(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, used = Clock(), keys.used
    entered, may_write = threading.Event(), threading.Event()

    def slowly(*args: Any, **asked: Any) -> None:
        used(*args, **asked)
        entered.set()
        assert may_write.wait(PATIENCE_S)

    monkeypatch.setattr(keys, "used", slowly)

    async def scenario(ledger: Ledger) -> None:
        await ledger.authenticate(secret_hash(OUR_SECRET))
        writing = asyncio.create_task(ledger.write_uses())
        await asyncio.to_thread(entered.wait, PATIENCE_S)
        clock.ms = NOW + 5
        await ledger.authenticate(secret_hash(OUR_SECRET))
        may_write.set()
        await writing
        assert last_use(place) == NOW
        await ledger.write_uses()
        assert last_use(place) == NOW + 5

    with_ledger(place, scenario, clock)


@pytest.mark.parametrize("error", [DatabaseFailed("the disk is full"), RuntimeError("broken")])
def test_uses_that_could_not_be_written_are_written_later(
    place: Place, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    used, errors = keys.used, [error]

    def failing(*args: Any, **asked: Any) -> None:
        if errors:
            raise errors.pop()
        used(*args, **asked)

    monkeypatch.setattr(keys, "used", failing)

    async def scenario(ledger: Ledger) -> None:
        await ledger.authenticate(secret_hash(OUR_SECRET))
        await until(lambda: last_use(place) == NOW, "a written use")
        assert errors == []

    with_ledger(place, scenario, timing=Timing(key_uses_s=0.001))
