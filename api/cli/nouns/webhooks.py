"""`infernet webhooks`: endpoints that are told of events, and what became of it."""

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated

import typer

from api.cli import completing
from api.cli.asking import confirm
from api.cli.client import Client, connect
from api.cli.groups import Listing
from api.cli.naming import one_of
from api.cli.nouns import allowing
from api.cli.nouns.accounts import AccountOption, account_id
from api.cli.options import JsonOption, KeyOption, SecretAloneOption, StateOption, UrlOption, YesOption
from api.cli.render import age, show_json, show_table
from api.cli.responses import Json

webhooks = typer.Typer(
    cls=Listing, help="Webhooks: list, create, edit, test and delete them; deliveries. Alone, it lists them."
)

WebhookArgument = Annotated[
    str, typer.Argument(metavar="WEBHOOK", help="Its id, or how it begins.", autocompletion=completing.webhooks)
]
EventsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--event",
        metavar="EVENT",
        help="job.completed, job.failed, node.offline, model.failed or budget.reached. May be repeated.",
    ),
]


@webhooks.command("list")
def list_webhooks(
    account: AccountOption = None,
    as_json: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
    state: StateOption = None,
) -> None:
    """List webhooks, the oldest first: your account's, or for an admin everybody's."""
    with connect(url, key, state) as client:
        body = client.listed("/webhooks", "webhooks", account=account and account_id(client, account))
    if as_json:
        show_json(body)
    else:
        _show(body["webhooks"])


@webhooks.command()
def create(
    endpoint: Annotated[
        str, typer.Argument(metavar="ENDPOINT", help="Where it is told: a URL that begins with https.")
    ],
    event: EventsOption = None,
    account: AccountOption = None,
    quiet: SecretAloneOption = False,
    as_json: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
    state: StateOption = None,
) -> None:
    """Have an endpoint told of events: of ends of jobs, unless others are named. Its secret is shown this once."""
    with connect(url, key, state) as client:
        owner = account and account_id(client, account)
        made = client.send("POST", "/webhooks", allowing.given({"url": endpoint, "events": event, "account": owner}))
    _show_secret(made, quiet, as_json)


@webhooks.command()
def edit(
    which: WebhookArgument,
    endpoint: Annotated[str | None, typer.Option("--endpoint", metavar="URL", help="Where it is told.")] = None,
    event: EventsOption = None,
    enabled: Annotated[bool | None, typer.Option("--enable/--disable", help="Whether anything is sent to it.")] = None,
    as_json: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
    state: StateOption = None,
) -> None:
    """Change a webhook. What is not named stays as it is; what waits for a disabled one goes on once it is enabled."""
    change = allowing.change({"url": endpoint, "events": event, "enabled": enabled})
    with connect(url, key, state) as client:
        changed = client.send("PATCH", _path(client, which), change)
    if as_json:
        show_json(changed)
    else:
        print(f"{changed.get('id')} is {changed.get('status')}: {changed.get('url')}")


@webhooks.command()
def rotate(
    which: WebhookArgument,
    quiet: SecretAloneOption = False,
    as_json: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
    state: StateOption = None,
) -> None:
    """Give a webhook another secret, which is shown this once. The one before signs, too, for 24 hours."""
    with connect(url, key, state) as client:
        made = client.send("POST", f"{_path(client, which)}/rotate")
    _show_secret(made, quiet, as_json)


@webhooks.command()
def test(
    which: WebhookArgument,
    as_json: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
    state: StateOption = None,
) -> None:
    """Send a webhook an event of the type webhook.test."""
    with connect(url, key, state) as client:
        delivery = client.send("POST", f"{_path(client, which)}/test")
    _show_sent(delivery, as_json)


@webhooks.command()
def delete(
    which: Annotated[str, typer.Argument(metavar="WEBHOOK", help="Its whole id.", autocompletion=completing.webhooks)],
    yes: YesOption = False,
    as_json: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
    state: StateOption = None,
) -> None:
    """Delete a webhook, for good. What it has not been told by then is dropped."""
    with connect(url, key, state) as client:
        chosen = _chosen(client, which, prefixes=False)
        confirm(f"Delete {chosen['id']}, {chosen.get('url')}? This cannot be undone.", yes)
        client.send("DELETE", f"/webhooks/{chosen['id']}")
    if as_json:
        show_json({"deleted": [chosen["id"]]})
    else:
        print(f"{chosen['id']} is deleted")


@webhooks.command()
def deliveries(
    which: WebhookArgument,
    status: Annotated[str | None, typer.Option("--status", metavar="STATUS", help="Those alone that are so.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=100, help="How many.")] = 20,
    as_json: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
    state: StateOption = None,
) -> None:
    """List what a webhook is, or has been, told, newest first: what waits, and what ended in the last 7 days."""
    with connect(url, key, state) as client:
        body = client.listed(f"{_path(client, which)}/deliveries", "deliveries", limit=limit, status=status)
        if as_json:
            show_json(body)
        else:
            _show_deliveries(body["deliveries"], client.server_time())


@webhooks.command()
def redeliver(
    which: WebhookArgument,
    delivery: Annotated[
        str, typer.Argument(metavar="DELIVERY", help="Its id; `infernet webhooks deliveries` lists them.")
    ],
    as_json: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
    state: StateOption = None,
) -> None:
    """Tell a webhook once more, now, whatever came of it before."""
    with connect(url, key, state) as client:
        sent = client.send("POST", f"{_path(client, which)}/deliveries/{delivery}/redeliver")
    _show_sent(sent, as_json)


def _path(client: Client, which: str) -> str:
    return f"/webhooks/{_chosen(client, which)['id']}"


def _chosen(client: Client, which: str, prefixes: bool = True) -> Json:
    return one_of("webhook", which, client.listed("/webhooks", "webhooks")["webhooks"], prefixes)


def _show_secret(made: Json, quiet: bool, as_json: bool) -> None:
    if as_json:
        show_json(made)
        return
    if not quiet:
        print(f"{made.get('id')} is told of {', '.join(made.get('events', []))}. Its secret, shown this once:")
    print(made.get("secret"))


def _show_sent(delivery: Json, as_json: bool) -> None:
    if as_json:
        show_json(delivery)
    else:
        print(
            f"{delivery.get('id')} is {delivery.get('status')}: `infernet webhooks deliveries` tells what comes of it"
        )


def _show(webhooks: Iterable[Json]) -> None:
    show_table(
        ("WEBHOOK", "STATUS", "ENDPOINT", "EVENTS", "ACCOUNT", "CREATED"),
        (
            (
                each.get("id"),
                _status(each),
                each.get("url"),
                each.get("events"),
                each.get("account_id"),
                each.get("created_at"),
            )
            for each in webhooks
        ),
    )


def _status(webhook: Json) -> str:
    """An endpoint that fails is disabled soon."""
    if "disabled_by" in webhook:
        return f"disabled ({webhook['disabled_by']})"
    return f"failing since {webhook['failing_since']}" if "failing_since" in webhook else str(webhook.get("status"))


def _show_deliveries(deliveries: Iterable[Json], now: datetime) -> None:
    show_table(
        ("DELIVERY", "EVENT", "STATUS", "AGE", "ATTEMPTS", "ANSWER", "PROBLEM", "NEXT ATTEMPT"),
        (
            (
                each.get("id"),
                each.get("event"),
                each.get("status"),
                age(each.get("created_at"), now),
                each.get("attempts"),
                each.get("response_status"),
                each.get("problem"),
                each.get("next_attempt_at"),
            )
            for each in deliveries
        ),
    )
