"""Whether jobs can be accepted, and what can be told of the whole system now."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from actors.wire.calls import AWAY, if_within, within
from actors.wire.handing_in import HandingIn
from api.replica.asking import ask
from api.replica.nouns.models import Models
from api.replica.nouns.nodes import Nodes
from api.replica.streams import StreamHub
from cluster.measures.measures import Totals
from cluster.messages.machines import ModelView, NodeView

if TYPE_CHECKING:
    from actors.ledger import Ledger
    from actors.rate_limiter import RateLimiter
    from actors.scheduler import Scheduler

T = TypeVar("T")

_FIRST_SHARE = 0.25
"""Of the time in which metrics are told, this part is for what the replica hands in first."""


class State(NamedTuple):
    """What is known of the whole system; None stands for what could not be asked."""

    models: Sequence[ModelView] | None
    nodes: Sequence[NodeView] | None
    totals: Totals | None
    gauges: Mapping[str, float] | None
    speeds: Mapping[str, int] | None
    can_write: bool | None
    counts: bool | None
    streams: bool | None
    restarts: Mapping[str, int] | None


async def _nothing() -> None:
    """What is not asked for."""


class Health:
    """For who watches the system, and does not wait for as long as others do: `health_s` at most."""

    def __init__(
        self,
        models: Models,
        nodes: Nodes,
        ledger: "Ledger",
        scheduler: "Scheduler",
        rate_limiter: "RateLimiter",
        streams: StreamHub,
        restarts: Callable[[], Awaitable[Mapping[str, int]]],
        handing_in: HandingIn,
        health_s: float,
    ) -> None:
        self._models = models
        self._nodes = nodes
        self._ledger = ledger
        self._scheduler = scheduler
        self._rate_limiter = rate_limiter
        self._streams = streams
        self._restarts = restarts
        self._handing_in = handing_in
        self._health_s = health_s

    async def ready(self) -> Sequence[ModelView]:
        """The models, when a job for them could be accepted durably. Raises what is away, or NoCapacity, otherwise."""
        asked = asyncio.gather(self._models.views(), self._scheduler.ready(), self._ledger.ready(), self._counts())
        views, *_ = await within(self._health_s, asked)
        return views

    async def state(self, with_totals: bool = True) -> State:
        """All that can be told now, each part of it whatever the others do; what was ever counted, if asked for."""
        if with_totals:
            await self._hand_in()
        (models, nodes), (totals, gauges, speeds, can_write), (counts, streams, restarts) = await asyncio.gather(
            asyncio.gather(self._told(self._models.views()), self._told(self._nodes.all())),
            asyncio.gather(
                self._told(self._ledger.totals() if with_totals else _nothing()),
                self._told(self._ledger.gauges()),
                self._told(self._ledger.speeds()),
                self._told(self._can_write()),
            ),
            asyncio.gather(self._told(self._counts()), self._told(self._streams.awake()), self._told(self._restarts())),
        )
        return State(models, nodes, totals, gauges, speeds, can_write, counts, streams, restarts)

    async def away(self) -> Sequence[str]:
        """The parts of the system that do not answer now."""
        parts = {
            "ledger": self._ledger.gauges(),
            "database": self._can_write(),
            "scheduler": self._scheduler.has_looked_for_room(),
            "rate limiter": self._counts(),
            "journal": self._streams.awake(),
        }
        return (await ask(parts, self._health_s)).away

    async def _hand_in(self) -> None:
        """What this replica has counted is told with the rest, where that takes no time."""
        with suppress(*AWAY):
            await within(self._health_s * _FIRST_SHARE, self._handing_in.hand_in())

    async def _can_write(self) -> bool:
        await self._ledger.ready()
        return True

    async def _counts(self) -> bool:
        """Whether the RateLimiter answers, which every request waits for."""
        await self._rate_limiter.take([])
        return True

    async def _told(self, call: Awaitable[T]) -> T | None:
        return await if_within(self._health_s, call)
