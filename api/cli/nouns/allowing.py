"""What a key or an account may ask for, as options of the command line and as the API's fields."""

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any

import typer

from api.cli.responses import Json

_MILLIONTHS = 1_000_000

_PANEL = "Limits and budget"
SubmissionsPerMinute = Annotated[
    int | None,
    typer.Option("--submissions-per-minute", min=1, help="Jobs submitted in a minute.", rich_help_panel=_PANEL),
]
SubmissionsPerHour = Annotated[
    int | None, typer.Option("--submissions-per-hour", min=1, help="Jobs submitted in an hour.", rich_help_panel=_PANEL)
]
ReadsPerMinute = Annotated[
    int | None, typer.Option("--reads-per-minute", min=1, help="Other requests in a minute.", rich_help_panel=_PANEL)
]
TokensPerMinute = Annotated[
    int | None,
    typer.Option("--tokens-per-minute", min=1, help="Tokens of what is submitted in a minute.", rich_help_panel=_PANEL),
]
BudgetOption = Annotated[
    str | None,
    typer.Option("--budget", metavar="AMOUNT", help="The most it may cost, such as 2.50.", rich_help_panel=_PANEL),
]
BudgetTokens = Annotated[
    int | None,
    typer.Option("--budget-tokens", min=0, help="Or the most tokens it may consume.", rich_help_panel=_PANEL),
]
BudgetPeriod = Annotated[
    str,
    typer.Option(
        "--budget-period", metavar="month|all", help="Of a budget: in each month, or in all.", rich_help_panel=_PANEL
    ),
]
NoLimits = Annotated[bool, typer.Option("--no-limits", help="Back to the default limits.", rich_help_panel=_PANEL)]
NoBudget = Annotated[bool, typer.Option("--no-budget", help="Without a budget.", rich_help_panel=_PANEL)]

PERIODS = ("month", "all")


def limits(
    submissions_per_minute: int | None,
    submissions_per_hour: int | None,
    reads_per_minute: int | None,
    tokens_per_minute: int | None,
) -> Json:
    """Those that were given."""
    asked = {
        "submissions_per_minute": submissions_per_minute,
        "submissions_per_hour": submissions_per_hour,
        "reads_per_minute": reads_per_minute,
        "tokens_per_minute": tokens_per_minute,
    }
    return given(asked)


def budget(amount: str | None, tokens: int | None, period: str) -> Json | None:
    """The budget that was asked for, if any. Raises BadParameter."""
    if period not in PERIODS:
        raise typer.BadParameter("must be month or all", param_hint="--budget-period")
    if amount is not None and tokens is not None:
        raise typer.BadParameter("a budget is of money or of tokens: give one of the two", param_hint="--budget-tokens")
    if tokens is not None:
        return {"unit": "tokens", "amount": tokens, "period": period}
    if amount is not None:
        return {"unit": "money", "amount": _millionths(amount), "period": period}
    return None


def given(fields: Mapping[str, Any]) -> Json:
    """Those that are something."""
    return {name: value for name, value in fields.items() if value not in (None, {}, [])}


def excluding(**pairs: tuple[bool, object]) -> None:
    """Raises BadParameter where something is asked for, and its opposite, too."""
    for name, (opposite, asked) in pairs.items():
        if opposite and asked not in (None, {}, []):
            option = f"--{name.replace('_', '-')}"
            raise typer.BadParameter(f"{option} takes away what is given beside it: give one of the two")


def change(fields: Mapping[str, Any], **taken: bool) -> Json:
    """What is to be otherwise: the fields that were given, and null for those that are taken away.

    Raises BadParameter where that is nothing.
    """
    asked = given(fields) | {field: None for field, is_taken in taken.items() if is_taken}
    if not asked:
        raise typer.BadParameter("nothing to change was named")
    return asked


def budget_text(state: Json | None) -> str | None:
    """`1.25 of 2.50 a month`, in currency units or tokens."""
    if not state:
        return None
    used = state["spent"] + state["reserved"]
    if state["unit"] == "money":
        amounts = f"{money(used)} of {money(state['amount'])}"
    else:
        amounts = f"{used:,} of {state['amount']:,} tokens"
    return f"{amounts} a month" if state["period"] == "month" else amounts


def limits_text(limits: Json | None) -> str | None:
    """`60/min 1,000/h`: submissions, and tokens where they are limited."""
    if not limits:
        return None
    parts = [f"{limits['submissions_per_minute']:,}/min", f"{limits['submissions_per_hour']:,}/h"]
    if "tokens_per_minute" in limits:
        parts.append(f"{limits['tokens_per_minute']:,} tokens/min")
    return " ".join(parts)


def money(millionths: int) -> str:
    """Currency units, with at least two decimals, and no more than are needed."""
    text = f"{Decimal(millionths) / _MILLIONTHS:,.6f}".rstrip("0")
    whole, _, decimals = text.partition(".")
    return f"{whole}.{decimals.ljust(2, '0')}"


def _millionths(amount: str) -> int:
    wrong = typer.BadParameter(f"{amount!r} is no amount, such as 2.50", param_hint="--budget")
    try:
        number = Decimal(amount) * _MILLIONTHS
    except InvalidOperation:
        raise wrong from None
    if not number.is_finite() or number < 0:
        raise wrong
    if number != number.to_integral_value():
        raise typer.BadParameter("an amount has six decimals at most", param_hint="--budget")
    return int(number)
