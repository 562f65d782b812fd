"""`infernet accounts`: who owns keys and jobs, and what they may consume together. For admins."""

import re
from typing import Annotated

import typer

from api.cli import completing
from api.cli.client import Client, connect
from api.cli.groups import Listing
from api.cli.naming import listed, one_of
from api.cli.nouns import allowing
from api.cli.nouns.allowing import (
    BudgetOption,
    BudgetPeriod,
    BudgetTokens,
    NoBudget,
    NoLimits,
    ReadsPerMinute,
    SubmissionsPerHour,
    SubmissionsPerMinute,
    TokensPerMinute,
)
from api.cli.options import JsonOption, KeyOption, StateOption, UrlOption
from api.cli.render import show_json, show_table
from api.cli.responses import Json

accounts = typer.Typer(cls=Listing, help="Accounts: list, create and edit them. Alone, it lists them. For admins.")

AccountOption = Annotated[
    str | None,
    typer.Option(
        "--account",
        help="An account's id or name, or how either begins. For admins.",
        autocompletion=completing.accounts,
    ),
]
WeightOption = Annotated[
    int | None, typer.Option("--weight", min=1, max=1000, help="Its share beside others that want a model.")
]
MaxQueuedOption = Annotated[
    int | None, typer.Option("--max-queued", min=1, help="How many of its jobs may wait for an engine.")
]

_ID = re.compile(r"acct_[0-9a-f]{20}")


@accounts.command("list")
def list_accounts(
    as_json: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
    state: StateOption = None,
) -> None:
    """List the accounts, the oldest first."""
    with connect(url, key, state) as client:
        body = client.listed("/accounts", "accounts")
    if as_json:
        show_json(body)
    else:
        _show(body["accounts"])


@accounts.command()
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Whose it is.")],
    weight: WeightOption = None,
    max_queued: MaxQueuedOption = None,
    submissions_per_minute: SubmissionsPerMinute = None,
    submissions_per_hour: SubmissionsPerHour = None,
    reads_per_minute: ReadsPerMinute = None,
    tokens_per_minute: TokensPerMinute = None,
    budget: BudgetOption = None,
    budget_tokens: BudgetTokens = None,
    budget_period: BudgetPeriod = "month",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the id alone.")] = False,
    as_json: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
    state: StateOption = None,
) -> None:
    """Make an account. Of limits, what is not given is the default."""
    asked = {
        "name": name,
        "weight": weight,
        "max_queued": max_queued,
        "limits": allowing.limits(submissions_per_minute, submissions_per_hour, reads_per_minute, tokens_per_minute),
        "budget": allowing.budget(budget, budget_tokens, budget_period),
    }
    with connect(url, key, state) as client:
        made = client.send("POST", "/accounts", allowing.given(asked))
    if as_json:
        show_json(made)
    elif quiet:
        print(made.get("id"))
    else:
        print(f"{made.get('id')} {name!r} is made: `infernet keys create NAME --account {made.get('id')}` makes a key")


@accounts.command()
def edit(
    which: Annotated[
        str,
        typer.Argument(
            metavar="ACCOUNT", help="Its id or name, or how either begins.", autocompletion=completing.accounts
        ),
    ],
    name: Annotated[str | None, typer.Option(help="Another name.")] = None,
    weight: WeightOption = None,
    max_queued: MaxQueuedOption = None,
    no_max_queued: Annotated[bool, typer.Option("--no-max-queued", help="Any number of its jobs may wait.")] = False,
    submissions_per_minute: SubmissionsPerMinute = None,
    submissions_per_hour: SubmissionsPerHour = None,
    reads_per_minute: ReadsPerMinute = None,
    tokens_per_minute: TokensPerMinute = None,
    no_limits: NoLimits = False,
    budget: BudgetOption = None,
    budget_tokens: BudgetTokens = None,
    budget_period: BudgetPeriod = "month",
    no_budget: NoBudget = False,
    as_json: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
    state: StateOption = None,
) -> None:
    """Change an account. What is not named stays as it is."""
    limits = allowing.limits(submissions_per_minute, submissions_per_hour, reads_per_minute, tokens_per_minute)
    new_budget = allowing.budget(budget, budget_tokens, budget_period)
    allowing.excluding(
        no_limits=(no_limits, limits), no_budget=(no_budget, new_budget), no_max_queued=(no_max_queued, max_queued)
    )
    change = allowing.change(
        {"name": name, "weight": weight, "max_queued": max_queued, "limits": limits, "budget": new_budget},
        max_queued=no_max_queued,
        limits=no_limits,
        budget=no_budget,
    )
    with connect(url, key, state) as client:
        chosen = _chosen(client, which)
        if limits:
            # To the API, a limit that is left out beside others is to be the default again.
            change["limits"] = chosen.get("limits", {}) | limits
        changed = client.send("PATCH", f"/accounts/{chosen['id']}", change)
    if as_json:
        show_json(changed)
    else:
        print(f"{changed.get('id')} {changed.get('name')!r} is changed: {listed(change)}")


def account_id(client: Client, which: str) -> str:
    """The id of the account that is meant. A whole id is taken as it is: only admins may list accounts."""
    return which if _ID.fullmatch(which) else str(_chosen(client, which)["id"])


def _chosen(client: Client, which: str) -> Json:
    return one_of("account", which, client.listed("/accounts", "accounts")["accounts"])


def _show(accounts: list[Json]) -> None:
    show_table(
        ("ACCOUNT", "NAME", "WEIGHT", "MAX QUEUED", "LIMITS", "BUDGET", "CREATED"),
        (
            (
                each.get("id"),
                each.get("name"),
                each.get("weight"),
                each.get("max_queued"),
                allowing.limits_text(each.get("limits")),
                allowing.budget_text(each.get("budget")),
                each.get("created_at"),
            )
            for each in accounts
        ),
    )
