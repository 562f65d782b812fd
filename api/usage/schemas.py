"""Usage: what ended jobs have consumed, added up."""

from typing import Annotated, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from cluster.messages.money import UsageGrouping, UsageSum

Sum = Annotated[int, Field(ge=0)]


class UsageRow(TypedDict):
    """The sums of one group, which is named by the key that `group_by` asked for."""

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


def usage_report_body(sums: list[UsageSum], group_by: UsageGrouping | None) -> UsageReport:
    return {"usage": [_row(total, group_by) for total in sums]}


def _row(total: UsageSum, group_by: UsageGrouping | None) -> UsageRow:
    row: UsageRow = {
        "jobs": total.jobs,
        "prompt_tokens": total.prompt_tokens,
        "completion_tokens": total.completion_tokens,
        "cost": total.cost,
    }
    if group_by is not None and total.group is not None:
        row[group_by] = total.group
    return row
