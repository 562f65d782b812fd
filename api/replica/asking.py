"""Asking several parts of the system at once, for who shows what is known and says what is not."""

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, NamedTuple

from actors.wire.calls import AWAY, within


class Heard(NamedTuple):
    """What was answered, by who was asked; and who did not answer, in the order in which they were asked."""

    answers: Mapping[str, Any]
    away: Sequence[str]


async def ask(parts: Mapping[str, Awaitable[Any]], within_s: float) -> Heard:
    """Ask all of them at once, each for at most so long. Raises what a part raises that is not away."""
    told = await asyncio.gather(*(_told(part, within_s) for part in parts.values()))
    answers = {name: answer for name, (answer, is_there) in zip(parts, told, strict=True) if is_there}
    return Heard(answers, [name for name in parts if name not in answers])


async def _told(part: Awaitable[Any], within_s: float) -> tuple[Any, bool]:
    try:
        return await within(within_s, part), True
    except AWAY:
        return None, False
