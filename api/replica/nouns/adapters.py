"""Adapters as routes ask for them: added to models that serve, and removed again."""

from typing import TYPE_CHECKING

from msgspec.structs import replace

from actors.backends.judge import Backends
from api.replica.nouns.models import Models
from api.replica.nouns.nodes import Nodes
from api.replica.offered import Offered
from cluster.added import check_new
from cluster.catalogue import Adapter
from cluster.clock import Clock
from cluster.errors import Conflict, ModelNotFound
from cluster.messages.models import ModelDetail

if TYPE_CHECKING:
    from actors.ledger import Ledger
    from actors.scheduler import Scheduler


class Adapters:
    """The adapters that admins add to models. Those of the settings are removed there."""

    def __init__(
        self, offered: Offered, models: Models, nodes: Nodes, ledger: "Ledger", scheduler: "Scheduler", clock: Clock
    ) -> None:
        self._offered = offered
        self._models = models
        self._nodes = nodes
        self._ledger = ledger
        self._scheduler = scheduler
        self._clock = clock

    async def add(self, model_name: str, adapter: Adapter) -> ModelDetail:
        """The model, which has this adapter from now on, as far as its engines can load it.

        Raises ModelNotFound, BadRequest for what cannot be an adapter of this model, and Conflict for a name that is
        taken. Waits a while for what the engines make of it.
        """
        await self._offered.ask()
        model = await self._offered.model(model_name)
        # Folders can be looked at here where there is no other machine.
        check_new(self._offered.settings, model, adapter, Backends(here=len(await self._nodes.all()) == 1))
        await self._ledger.add_adapter(model.id, replace(adapter, added_ms=self._clock.wall_ms()))
        await self._learn()
        await self._scheduler.adapted(model.id, adapter.id)
        return await self._models.get(model.id)

    async def remove(self, model_name: str, adapter_id: str) -> None:
        """The model has this adapter no more; jobs that were accepted for it go on.

        Raises ModelNotFound, for an adapter that the model has not as well, and Conflict for one of the settings.
        """
        await self._offered.ask()
        model = await self._offered.model(model_name)
        added = {each.model: each.adapters for each in await self._ledger.model_settings()}
        if all(each.id != adapter_id for each in added.get(model.id, ())):
            if any(each.id == adapter_id for each in self._offered.settings.model(model.id).adapters):
                raise Conflict(f"{adapter_id} is an adapter of the settings file: it is removed there")
            raise ModelNotFound(f"Model {model.id} has no adapter {adapter_id}")
        await self._ledger.remove_adapter(model.id, adapter_id)
        await self._learn()

    async def _learn(self) -> None:
        await self._scheduler.learn_model_settings()
        await self._offered.ask()
