"""Forms as the bodies that the API takes: the same rules refuse the same things, in the same words."""

from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, TypeVar

import msgspec
from fastapi import Depends
from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request

from api.http.bodies import Change, ExactRequest, parse
from cluster.errors import BadRequest

R = TypeVar("R", bound=ExactRequest)
C = TypeVar("C", bound=Change)

_MILLION = 1_000_000
_DIGITS = 18


async def _form(request: Request) -> FormData:
    return await request.form()


Form = Annotated[FormData, Depends(_form)]


def request_of(model: type[R], form: FormData, lists: Iterable[str] = ()) -> R:
    """The request that this form asks for. Fields named `limits.reads_per_minute` are in an object; empty ones are not.

    `lists` are those that may be there several times. Raises BadRequest, which names the field.
    """
    return parse(model, msgspec.json.encode(body_of(form, lists)))


def change_of(model: type[C], form: FormData, shown: FormData, lists: Iterable[str] = ()) -> C:
    """The change that is asked for by a form which was `shown` filled in: what is the same in both stays as it is.

    A field that was emptied is null. Raises BadRequest, which names the field.
    """
    before, after = body_of(shown, lists), body_of(form, lists)
    changes = {name: after.get(name) for name in model.fields() if before.get(name) != after.get(name)}
    return parse(model, msgspec.json.encode(changes))


def filled_in(body: Mapping[str, Any]) -> FormData:
    """The form that stands for a body that was answered: what `body_of` makes of it is that body again."""
    fields: list[tuple[str, str | UploadFile]] = []
    for name, value in body.items():
        match value:
            case {"unit": "money", "amount": int(amount)}:
                fields += _fields(name, value | {"amount": _in_units(amount)})
            case dict():
                fields += _fields(name, value)
            case list():
                fields += [(name, str(each)) for each in value]
            case _:
                fields.append((name, str(value)))
    return FormData(fields)


def _fields(name: str, values: Mapping[str, Any]) -> list[tuple[str, str | UploadFile]]:
    return [(f"{name}.{field}", str(value)) for field, value in values.items()]


def _in_units(millionths: int) -> str:
    return f"{Decimal(millionths) / _MILLION:f}"


def body_of(form: FormData, lists: Iterable[str] = ()) -> dict[str, Any]:
    """The JSON that this form stands for. Raises BadRequest for an amount of money that is none."""
    body: dict[str, Any] = {}
    for name in form:
        values = [str(value).strip() for value in form.getlist(name)]
        if name == "csrf_token" or not any(values):
            continue
        *parents, field = name.split(".")
        place = body
        for parent in parents:
            place = place.setdefault(parent, {})
        place[field] = [value for value in values if value] if name in lists else _value(values[0])
    if "budget" in body:
        body["budget"] = _budget(body["budget"])
    return {field: value for field, value in body.items() if value is not None}


def _value(text: str) -> str | int:
    return int(text) if text.isdecimal() and text.isascii() and len(text) <= _DIGITS else text


def _budget(asked: dict[str, Any]) -> dict[str, Any] | None:
    """Money is written in the currency, and told in its millionths. A budget without an amount is none."""
    if "amount" not in asked:
        return None
    if asked.get("unit") != "money":
        return asked
    try:
        millionths = Decimal(str(asked["amount"])) * _MILLION
    except InvalidOperation:
        raise BadRequest("budget.amount: must be a number") from None
    if not millionths.is_finite() or millionths != millionths.to_integral_value():
        raise BadRequest("budget.amount: has six decimals at most")
    return asked | {"amount": int(millionths)}
