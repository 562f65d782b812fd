"""Asking several parts of the system at once, for who shows what is known and says what is not."""

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, NamedTuple

from actors.wire.calls import if_within


class Heard(NamedTuple):
    """What was answered, by who was asked; and who did not answer, in the order in which they were asked."""

    answers: Mapping[str, Any]
    away: Sequence[str]


async def ask(parts: Mapping[str, Awaitable[Any]], within_s: float) -> Heard:
    """Ask all of them at once, each for at most so long. Raises what a part raises that is not away."""
    told = await asyncio.gather(*(if_within(within_s, _apart(part)) for part in parts.values()))
    answers = {name: each[0] for name, each in zip(parts, told, strict=True) if each is not None}
    return Heard(answers, [name for name in parts if name not in answers])


async def _apart(part: Awaitable[Any]) -> tuple[Any]:
    """The answer in a tuple, as it may itself be None."""
    return (await part,)
