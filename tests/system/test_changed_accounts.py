"""What an account is changed to holds for what runs and waits."""

from collections.abc import Awaitable, Callable
from pathlib import Path

from cluster.ids import AccountId
from cluster.messages.money import Budget, BudgetState
from cluster.messages.people import Account, AccountChange
from cluster.messages.work import Submission
from tests.support.plain_system import PlainSystem, run, until
from tests.support.watch import Watch

OTHER = AccountId("acct_other")


def test_the_scheduler_hears_of_another_weight_at_once(database: Path) -> None:
    async def scenario() -> None:
        async with PlainSystem(database, nodes=0) as system, system.client() as admin:
            await system.gateway.accounts.create(Account(OTHER, "other", 0))
            waiting = system.job("Waits", account_id=OTHER)
            await system.gateway.intake.submit(Submission(waiting))

            async def known() -> int:
                standing = await system.scheduler.explain(waiting.id)
                assert standing is not None and standing.turn is not None
                return standing.turn.weight

            for weight, body in ((5, {"weight": 5}), (1, {"weight": None})):
                assert (await admin.patch(f"/api/v1/accounts/{OTHER}", json=body)).json()["weight"] == weight
                await until(lambda weight=weight: is_known(known, weight), "the Scheduler knows")

    run(scenario())


async def is_known(known: Callable[[], Awaitable[int]], weight: int) -> bool:
    return await known() == weight


def test_a_budget_that_is_changed_or_taken_away_is_right_about_jobs_that_run(database: Path) -> None:
    async def scenario() -> None:
        async with PlainSystem(database) as system:
            await system.ready()
            budget = Budget("tokens", 10_000, "all")
            await system.gateway.accounts.create(Account(OTHER, "other", 0, budget=BudgetState(budget)))

            async def change(to: Budget | None) -> BudgetState | None:
                return (await system.gateway.accounts.change(OTHER, AccountChange(budget=to))).budget

            for then in (Budget("tokens", 20_000, "all"), Budget("tokens", 5_000, "month"), None):
                job = system.job("Hello", max_tokens=300, account_id=OTHER)
                watch = Watch(system, [job])
                await watch.some(50)
                changed = await change(then)
                assert (changed and changed.budget) == then
                if changed is not None and changed.budget.period == "all":
                    assert changed.reserved > 300
                elif changed is not None:
                    assert (changed.spent, changed.reserved) == (0, 0)
                await watch.exact()
            assert await change(budget) == BudgetState(budget)
            await Watch(system, [system.job("Hello", max_tokens=300, account_id=OTHER)]).exact()
            (account,) = [each for each in await system.gateway.accounts.all() if each.id == OTHER]
            assert account.budget is not None
            assert account.budget.spent > 300 and account.budget.reserved == 0

    run(scenario())
