"""`infernet keys`: who may ask, for what, and until when."""

from datetime import datetime
from typing import Annotated

import typer

from api.cli import completing
from api.cli.asking import confirm
from api.cli.client import Client, connect
from api.cli.groups import Listing
from api.cli.naming import listed, one_of
from api.cli.nouns import allowing
from api.cli.nouns.accounts import AccountOption, account_id
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
from api.cli.options import JsonOption, KeyOption, SecretAloneOption, StateOption, UrlOption, YesOption
from api.cli.render import age, show_json, show_table
from api.cli.responses import Json
from api.cli.times import ahead

keys = typer.Typer(cls=Listing, help="API keys: list, create, edit and revoke them. Alone, it lists them.")

ModelsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--model", help="A model that it may use, and no others. May be repeated.", autocompletion=completing.models
    ),
]
ExpiresOption = Annotated[
    str | None, typer.Option("--expires", metavar="TIME", help="When it ends: 2030-01-01, or 90d from now.")
]


@keys.command("list")
def list_keys(
    account: AccountOption = None,
    as_json: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
    state: StateOption = None,
) -> None:
    """List keys, the oldest first: your account's, or for an admin everybody's."""
    with connect(url, key, state) as client:
        body = client.listed("/keys", "keys", account=account and account_id(client, account))
        if as_json:
            show_json(body)
        else:
            _show(body["keys"], client.server_time())


@keys.command()
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What it is for, or whose it is.")],
    account: AccountOption = None,
    role: Annotated[str, typer.Option(metavar="member|admin", help="An admin's key may do everything.")] = "member",
    model: ModelsOption = None,
    expires: ExpiresOption = None,
    submissions_per_minute: SubmissionsPerMinute = None,
    submissions_per_hour: SubmissionsPerHour = None,
    reads_per_minute: ReadsPerMinute = None,
    tokens_per_minute: TokensPerMinute = None,
    budget: BudgetOption = None,
    budget_tokens: BudgetTokens = None,
    budget_period: BudgetPeriod = "month",
    quiet: SecretAloneOption = False,
    as_json: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
    state: StateOption = None,
) -> None:
    """Make a key. Its secret is shown this once: only its hash is kept."""
    limits = allowing.limits(submissions_per_minute, submissions_per_hour, reads_per_minute, tokens_per_minute)
    asked = {
        "name": name,
        "role": role,
        "models": model,
        "expires_at": ahead(expires, "--expires"),
        "limits": limits,
        "budget": allowing.budget(budget, budget_tokens, budget_period),
    }
    with connect(url, key, state) as client:
        owner = account and account_id(client, account)
        made = client.send("POST", "/keys", allowing.given({**asked, "account": owner}))
    secret = str(made.get("key"))
    if as_json:
        show_json(made)
    elif quiet:
        print(secret)
    else:
        print(f"{made.get('id')} {name!r} of account {made.get('account_id')}. Its secret, shown this once:")
        print(secret)


@keys.command()
def edit(
    which: Annotated[
        str,
        typer.Argument(
            metavar="KEY", help="Its id or name, or how either begins.", autocompletion=completing.active_keys
        ),
    ],
    name: Annotated[str | None, typer.Option(help="Another name.")] = None,
    model: ModelsOption = None,
    any_model: Annotated[bool, typer.Option("--any-model", help="It may use all models again.")] = False,
    expires: ExpiresOption = None,
    never_expires: Annotated[bool, typer.Option("--never-expires", help="It does not end by itself.")] = False,
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
    """Change a key. What is not named stays as it is now."""
    limits = allowing.limits(submissions_per_minute, submissions_per_hour, reads_per_minute, tokens_per_minute)
    new_budget = allowing.budget(budget, budget_tokens, budget_period)
    allowing.excluding(
        no_limits=(no_limits, limits),
        no_budget=(no_budget, new_budget),
        any_model=(any_model, model),
        never_expires=(never_expires, expires),
    )
    change = allowing.change(
        {
            "name": name,
            "models": model,
            "expires_at": ahead(expires, "--expires"),
            "limits": limits,
            "budget": new_budget,
        },
        models=any_model,
        expires_at=never_expires,
        limits=no_limits,
        budget=no_budget,
    )
    with connect(url, key, state) as client:
        chosen = _chosen(client, which)
        if limits:
            # To the API, a limit that is left out beside others is to be the account's again.
            change["limits"] = chosen.get("limits", {}) | limits
        changed = client.send("PATCH", f"/keys/{chosen['id']}", change)
        if as_json:
            show_json(changed)
        else:
            print(f"{changed.get('id')} {changed.get('name')!r} is changed: {listed(change)}")


@keys.command()
def revoke(
    which: Annotated[
        list[str],
        typer.Argument(metavar="KEY...", help="Whole ids, or whole names.", autocompletion=completing.active_keys),
    ],
    yes: YesOption = False,
    as_json: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
    state: StateOption = None,
) -> None:
    """Revoke keys, for good: each is refused within 5 s. Jobs that were submitted with them go on."""
    with connect(url, key, state) as client:
        known = client.listed("/keys", "keys")["keys"]
        # All are looked for before the first is revoked.
        chosen = [
            one_of("key", each, _active(known) if _is_name(each, known) else known, prefixes=False) for each in which
        ]
        for each in chosen:
            confirm(f"Revoke {_described(each, client)}? This cannot be undone.", yes)
            client.send("DELETE", f"/keys/{each['id']}")
            if not as_json:
                print(f"{each['id']} {each.get('name')!r} is revoked")
    if as_json:
        show_json({"revoked": [each["id"] for each in chosen]})


def _is_name(given: str, known: list[Json]) -> bool:
    """Revoked keys have names, too, that newer ones may have by now."""
    return all(each.get("id") != given for each in known)


def key_id(client: Client, which: str) -> str:
    """The id of the key that is meant."""
    return str(_chosen(client, which)["id"])


def _chosen(client: Client, which: str) -> Json:
    known = client.listed("/keys", "keys")["keys"]
    return one_of("key", which, _active(known) if _is_name(which, known) else known)


def _active(known: list[Json]) -> list[Json]:
    return [each for each in known if each.get("status") != "revoked"]


def _described(key: Json, client: Client) -> str:
    last = age(key.get("last_used_at"), client.server_time())
    used = f"last used {last} ago" if last else "never used"
    own = " THIS COMMAND USES IT ITSELF." if client.uses(str(key.get("prefix", ""))) else ""
    return f"{key['id']} {key.get('name')!r}, {key.get('role')}, {used}.{own}"


def _show(keys: list[Json], now: datetime) -> None:
    show_table(
        ("KEY", "NAME", "PREFIX", "ROLE", "STATUS", "ACCOUNT", "LAST USED", "EXPIRES", "LIMITS", "BUDGET", "MODELS"),
        (
            (
                each.get("id"),
                each.get("name"),
                each.get("prefix"),
                each.get("role"),
                each.get("status"),
                each.get("account_id"),
                age(each.get("last_used_at"), now),
                each.get("expires_at"),
                allowing.limits_text(each.get("limits")),
                allowing.budget_text(each.get("budget")),
                each.get("models"),
            )
            for each in keys
        ),
    )
