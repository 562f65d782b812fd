"""Usage: what ended jobs have consumed, added up."""

from collections.abc import Sequence
from typing import Annotated, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from cluster.messages.money import UsageGrouping, UsageSum

Sum = Annotated[int, Field(ge=0)]


class UsageRow(TypedDict):
    """The sums of one group, which is named by the keys that `group_by` asked for."""

    account: NotRequired[Annotated[str, Field(description="An account's id")]]
    key: NotRequired[Annotated[str, Field(description="A key's id")]]
    model: NotRequired[Annotated[str, Field(description="A model's id")]]
    day: NotRequired[Annotated[str, Field(description="In UTC", json_schema_extra={"format": "date"})]]
    jobs: Sum
    prompt_tokens: Sum
    completion_tokens: Sum
    cost: Annotated[int, Field(ge=0, description="Millionths of the currency unit")]


class UsageReport(TypedDict):
    """One row per group, in the order of their names; without `group_by`, one row in all."""

    usage: list[UsageRow]


def usage_report_body(sums: Sequence[UsageSum], group_by: Sequence[UsageGrouping]) -> UsageReport:
    return {"usage": [_row(total, group_by) for total in sums]}


def _row(total: UsageSum, group_by: Sequence[UsageGrouping]) -> UsageRow:
    row: UsageRow = {
        "jobs": total.jobs,
        "prompt_tokens": total.prompt_tokens,
        "completion_tokens": total.completion_tokens,
        "cost": total.cost,
    }
    for grouping, group in zip(group_by, total.groups, strict=True):
        row[grouping] = group
    return row
