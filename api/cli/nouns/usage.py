"""`infernet usage`: what ended jobs have consumed, added up."""

import csv
import sys
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from api.cli import completing
from api.cli.client import Client, connect
from api.cli.nouns.accounts import account_id
from api.cli.nouns.allowing import money
from api.cli.options import JsonOption, KeyOption, StateOption, UrlOption
from api.cli.render import show_json, show_table
from api.cli.responses import Json
from api.cli.times import ago

_SUMS = ("jobs", "prompt_tokens", "completion_tokens", "cost")
_MILLIONTHS = 1_000_000
# What a spreadsheet would take for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class Grouping(StrEnum):
    KEY = "key"
    MODEL = "model"
    DAY = "day"
    ACCOUNT = "account"


# Where the names are of what is known by its id.
_NAMED = {Grouping.KEY: ("/keys", "keys"), Grouping.ACCOUNT: ("/accounts", "accounts")}


def usage(
    by: Annotated[Grouping | None, typer.Option("--by", help="A row for each of these; else one in all.")] = None,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Jobs that ended then or later: 2026-04-30, or 7d ago.")
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help="Jobs that ended before: 2026-05-01, or 1d.")
    ] = None,
    account: Annotated[
        str | None,
        typer.Option(
            "--account",
            help="Another account's, by id or name, or how either begins. For admins.",
            autocompletion=completing.accounts,
        ),
    ] = None,
    csv_file: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Write CSV there, or to stdout for -.", allow_dash=True)
    ] = None,
    as_json: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
    state: StateOption = None,
) -> None:
    """Add up tokens, jobs and cost of your account's ended jobs, by key, model, day or account."""
    if as_json and csv_file:
        raise typer.BadParameter("the output is JSON or CSV: give one of the two", param_hint="--csv")
    with connect(url, key, state) as client:
        body = client.listed(
            "/usage",
            "usage",
            group_by=by,
            since=ago(since, "--since"),
            until=ago(until, "--until"),
            account=account and account_id(client, account),
        )
        if as_json:
            show_json(body)
        elif csv_file:
            _write(csv_file, by, body["usage"], _names(client, by))
        else:
            _show(by, body["usage"], _names(client, by))


def _names(client: Client, by: Grouping | None) -> dict[str, str]:
    """What people call that which the rows know by its id."""
    if by not in _NAMED:
        return {}
    path, name = _NAMED[by]
    return {str(each.get("id")): str(each.get("name")) for each in client.listed(path, name)[name]}


def _show(by: Grouping | None, rows: Sequence[Json], names: dict[str, str]) -> None:
    head = [*_group_columns(by, names, str.upper), "JOBS", "PROMPT TOKENS", "COMPLETION TOKENS", "COST"]
    lines = [[*_group(by, row, names), *_shown(row)] for row in rows]
    if by and len(rows) > 1:
        total = {name: sum(row[name] for row in rows) for name in _SUMS}
        lines.append(["total", *([""] if names else []), *_shown(total)])
    show_table(head, lines)


def _shown(row: Json) -> list[str]:
    return [*(f"{row[name]:,}" for name in _SUMS[:-1]), money(row["cost"])]


def _write(file: Path, by: Grouping | None, rows: Iterable[Json], names: dict[str, str]) -> None:
    """Numbers without separators; cost in currency units, exact."""
    with ExitStack() as stack:
        out = sys.stdout if str(file) == "-" else stack.enter_context(file.open("w", newline="", encoding="utf-8"))
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow([*_group_columns(by, names, str), *_SUMS])
        for row in rows:
            cost = f"{Decimal(row['cost']) / _MILLIONTHS:.6f}"
            writer.writerow([*map(_no_formula, _group(by, row, names)), *(row[name] for name in _SUMS[:-1]), cost])


def _group_columns(by: Grouping | None, names: dict[str, str], spelling: Any) -> list[str]:
    if by is None:
        return []
    return [spelling(by.value), *([spelling("name")] if names else [])]


def _group(by: Grouping | None, row: Json, names: dict[str, str]) -> list[str]:
    if by is None:
        return []
    group = str(row.get(by, ""))
    return [group, *([names.get(group, "")] if names else [])]


def _no_formula(cell: str) -> str:
    return f"'{cell}" if cell.startswith(_FORMULA) else cell
