"""Models as routes ask for them: what each one does, and what admins set of it."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from actors.wire.calls import if_within
from api.replica.offered import Offered
from cluster.errors import ModelNotFound
from cluster.messages.machines import ModelView
from cluster.messages.models import BoundsChange, ModelDetail

if TYPE_CHECKING:
    from actors.ledger import Ledger
    from actors.scheduler import Scheduler


class ModelsNow(NamedTuple):
    """The models, and the average output tokens per second of those that have completed jobs."""

    views: Sequence[ModelView]
    speeds: Mapping[str, int]

    def tokens_per_second(self, model: str) -> int:
        """0 before the model's first job has completed."""
        return self.speeds.get(model, 0)


class Models:
    """The models of the catalogue. They may be named by an alias, or by one of their adapters."""

    def __init__(self, offered: Offered, ledger: "Ledger", scheduler: "Scheduler", health_s: float) -> None:
        """Speeds and states are waited for no longer than `health_s`."""
        self._offered = offered
        self._ledger = ledger
        self._scheduler = scheduler
        self._health_s = health_s
        self._speeds: Mapping[str, int] = {}

    async def now(self) -> ModelsNow:
        """Their speeds as they were known last, where the database cannot tell them now."""
        return ModelsNow(*await asyncio.gather(self.views(), self.speeds()))

    async def views(self) -> Sequence[ModelView]:
        return await self._scheduler.models()

    async def states(self) -> Mapping[str, str]:
        """The state of each model; nothing while the Scheduler cannot tell them."""
        views = await if_within(self._health_s, self.views())
        return {view.id: view.state for view in views or ()}

    async def speeds(self) -> Mapping[str, int]:
        """Output tokens per second by model and adapter, as they were known last."""
        speeds = await if_within(self._health_s, self._ledger.speeds())
        self._speeds = self._speeds if speeds is None else speeds
        return self._speeds

    async def get(self, name: str) -> ModelDetail:
        """All that is known of the model of this name, or of this adapter's. Raises ModelNotFound."""
        model = await self._offered.model(name)
        detail = await self._scheduler.model(model.id)
        if detail is None:
            raise ModelNotFound(f"Model {name} is not registered on the network")
        return detail

    async def change(self, name: str, change: BoundsChange) -> ModelDetail:
        """The model, with other bounds of its replicas. Raises ModelNotFound, and BadRequest for what is no bounds."""
        model = await self._offered.model(name)
        await self._ledger.change_bounds(model.id, change, model.replicas)
        await self._scheduler.learn_model_settings()
        return await self.get(model.id)

    async def restart(self, name: str) -> ModelDetail:
        """The model, whose replicas are replaced one after the other from now on. Raises ModelNotFound."""
        model = await self._offered.model(name)
        before = {each.model: each.restarts for each in await self._ledger.model_settings()}
        await self._ledger.restart_model(model.id, before.get(model.id, 0) + 1)
        await self._scheduler.learn_model_settings()
        return await self.get(model.id)
