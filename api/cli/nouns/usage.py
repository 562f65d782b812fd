"""`infernet usage`: what ended jobs have consumed, added up."""

import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from api.cli import completing
from api.cli.client import Client, connect
from api.cli.nouns.accounts import account_id
from api.cli.nouns.allowing import money
from api.cli.options import JsonOption, KeyOption, StateOption, UrlOption
from api.cli.render import show_json, show_table
from api.cli.responses import Json
from api.cli.times import ago

_COUNTS = ("jobs", "prompt_tokens", "completion_tokens", "cost")
_ALL = "all"
_STDOUT = "-"


class Grouping(StrEnum):
    KEY = "key"
    MODEL = "model"
    DAY = "day"
    ACCOUNT = "account"


# Where the names are of what is known by its id.
_NAMED: Mapping[Grouping, tuple[str, str]] = {
    Grouping.KEY: ("/keys", "keys"),
    Grouping.ACCOUNT: ("/accounts", "accounts"),
}
Names = Mapping[Grouping, Mapping[str, str]]


def usage(
    by: Annotated[
        list[Grouping] | None, typer.Option("--by", help="A row for each of these; else one in all. May be repeated.")
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Of jobs that ended then or later: 2026-04-30, or 7d ago.")
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help="Of jobs that ended before: 2026-05-01, or 1d ago.")
    ] = None,
    account: Annotated[
        str | None,
        typer.Option(
            "--account",
            help="Another account's, by id or name, or how either begins; or all. For admins.",
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
    """Add up tokens, jobs and cost of ended jobs, by key, model, day or account: your account's, or with --account."""
    if as_json and csv_file:
        raise typer.BadParameter("the output is JSON or CSV: give one of the two", param_hint="--csv")
    groups = list(dict.fromkeys(by or ()))
    with connect(url, key, state) as client:
        asked: dict[str, str | int | None] = {
            "group_by": ",".join(groups) or None,
            "since": ago(since, "--since"),
            "until": ago(until, "--until"),
            "account": _account(client, account, groups),
        }
        if csv_file:
            _write(client, csv_file, asked)
            return
        body = client.listed("/usage", "usage", **asked)
        if as_json:
            show_json(body)
        else:
            _show(groups, body["usage"], _names(client, groups))


def _account(client: Client, account: str | None, groups: Sequence[Grouping]) -> str | None:
    """Who asks for a row for each account means all of them."""
    if account is None:
        return _ALL if Grouping.ACCOUNT in groups else None
    return account if account == _ALL else account_id(client, account)


def _write(client: Client, file: Path, asked: Mapping[str, str | int | None]) -> None:
    """The API's own table, as long as it may be. A file has its name once all of it is there."""
    parts = client.parts("/usage", **asked, format="csv")
    if str(file) == _STDOUT:
        for part in parts:
            sys.stdout.buffer.write(part)
        return
    with tempfile.NamedTemporaryFile(dir=file.absolute().parent, prefix=file.name, delete=False) as draft:
        try:
            draft.writelines(parts)
        except BaseException:
            Path(draft.name).unlink()
            raise
    Path(draft.name).replace(file)


def _names(client: Client, groups: Sequence[Grouping]) -> Names:
    """What people call that which the rows know by its id."""
    return {group: _names_of(client, *_NAMED[group]) for group in groups if group in _NAMED}


def _names_of(client: Client, path: str, name: str) -> Mapping[str, str]:
    return {str(each.get("id")): str(each.get("name")) for each in client.listed(path, name)[name]}


def _show(groups: Sequence[Grouping], rows: Sequence[Json], names: Names) -> None:
    head = [column for group in groups for column in _columns(group, names)]
    lines = [[cell for group in groups for cell in _cells(group, row, names)] + _sums(row) for row in rows]
    if groups and len(rows) > 1:
        total = {name: sum(row[name] for row in rows) for name in _COUNTS}
        lines.append([*(["total"] + [""] * len(head))[: len(head)], *_sums(total)])
    show_table([*head, "JOBS", "PROMPT TOKENS", "COMPLETION TOKENS", "COST"], lines)


def _columns(group: Grouping, names: Names) -> Iterable[str]:
    yield group.upper()
    if group in names:
        yield "NAME"


def _cells(group: Grouping, row: Json, names: Names) -> Iterable[str]:
    value = str(row.get(group, ""))
    yield value
    if group in names:
        yield names[group].get(value, "")


def _sums(row: Json) -> list[str]:
    return [*(f"{row[name]:,}" for name in _COUNTS[:-1]), money(row["cost"])]
