"""Traces of requests as files: a team's own, or those that Azure and BurstGPT have published.

    arrived_s,account,model,prompt_tokens,output_tokens           of a team
    TIMESTAMP,ContextTokens,GeneratedTokens                       Azure's
    Timestamp,Model,Request tokens,Response tokens,...            BurstGPT's

The header says which it is; further columns are passed over. The lines may come in any order, and the first request
arrives at second 0. Where a file names no account, all requests are one account's; where it names no model, those of
the `model` that the reader was told.
"""

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path

from msgspec import Struct

from cluster.errors import ConfigError
from cluster.simulation.traffic import Request, Traffic

MOST_TOKENS = 10_000_000
_NOBODY = "everybody"


class _Format(Struct, frozen=True):
    """What the columns are called; None where there is no such column."""

    arrived: str
    prompt: str
    output: str
    model: str | None
    account: str | None
    seconds: Callable[[str], float]


def _number_of_seconds(text: str) -> float:
    return float(text)


def _timestamp(text: str) -> float:
    # Azure writes seven digits of a second; Python reads six.
    whole, _, fraction = text.strip().partition(".")
    return datetime.fromisoformat(f"{whole}+00:00").timestamp() + float(f"0.{fraction.partition('+')[0] or 0}")


_FORMATS = (
    _Format("arrived_s", "prompt_tokens", "output_tokens", "model", "account", _number_of_seconds),
    _Format("TIMESTAMP", "ContextTokens", "GeneratedTokens", None, None, _timestamp),
    _Format("Timestamp", "Request tokens", "Response tokens", "Model", None, _number_of_seconds),
)


def read(path: Path, model: str | None = None, names: Mapping[str, str] | None = None) -> Traffic:
    """The traffic in this file. `names` says which of the system's models stands for one that the trace names.

    Requests without an answer, which BurstGPT has where they failed, are left out.

    Raises ConfigError, one line that names the file, the line and the reason, for what cannot be used.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return _traffic(list(_rows(csv.reader(file), str(path), model, names or {})), str(path))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text") from error


_Row = tuple[float, str, str, int, int]


def _rows(lines: Iterable[list[str]], file: str, model: str | None, names: Mapping[str, str]) -> Iterator[_Row]:
    lines = iter(lines)
    header = [name.strip() for name in next(lines, [])]
    form = _format(header, file)
    if form.model is None and model is None:
        raise ConfigError(f"{file}:1: names no models: say which one its requests are for (--model)")
    for number, cells in enumerate(lines, start=2):
        if cells:
            row = _row(cells, header, form, f"{file}:{number}", model, names)
            if row[4]:
                yield row


def _format(header: list[str], file: str) -> _Format:
    for form in _FORMATS:
        columns = [name for name in (form.arrived, form.prompt, form.output, form.model, form.account) if name]
        if set(columns) <= set(header):
            return form
    raise ConfigError(
        f"{file}:1: needs the columns arrived_s, account, model, prompt_tokens and output_tokens, "
        f"or those of Azure's or BurstGPT's traces; has {', '.join(header) or 'none'}"
    )


def _row(
    cells: list[str], header: list[str], form: _Format, place: str, model: str | None, names: Mapping[str, str]
) -> _Row:
    if len(cells) < len(header):
        raise ConfigError(f"{place}: has {len(cells)} values for {len(header)} columns")
    values = dict(zip(header, cells, strict=False))
    named = values[form.model].strip() if form.model else ""
    account = values[form.account].strip() if form.account else _NOBODY
    if not (model or named) or not account:
        raise ConfigError(f"{place}: {'account' if not account else form.model}: is empty")
    return (
        _seconds(values[form.arrived], form, place),
        account,
        model or names.get(named, named),
        _tokens(values[form.prompt], form.prompt, place),
        _tokens(values[form.output], form.output, place),
    )


def _seconds(text: str, form: _Format, place: str) -> float:
    try:
        seconds = form.seconds(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < 1e12:
        raise ConfigError(f"{place}: {form.arrived}: must be a time, not {text!r}")
    return seconds


def _tokens(text: str, column: str, place: str) -> int:
    digits = text.strip().removesuffix(".0")
    if not digits.isascii() or not digits.isdigit() or int(digits) > MOST_TOKENS:
        raise ConfigError(f"{place}: {column}: must be an integer from 0 to {MOST_TOKENS}, not {text!r}")
    return int(digits)


def _traffic(rows: list[_Row], file: str) -> Traffic:
    if not rows:
        raise ConfigError(f"{file}: has no requests")
    rows.sort(key=lambda row: row[0])
    models = {name: number for number, name in enumerate(dict.fromkeys(row[2] for row in rows))}
    accounts = {name: number for number, name in enumerate(dict.fromkeys(row[1] for row in rows))}
    began_s = rows[0][0]
    requests = (Request(at_s - began_s, models[m], accounts[a], prompt, output) for at_s, a, m, prompt, output in rows)
    return Traffic(models, accounts, requests)
