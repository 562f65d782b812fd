"""The models of the settings with the adapters that admins have added, as one ingress replica knows them."""

from typing import TYPE_CHECKING

from actors.wire.every import Every
from cluster.added import with_added
from cluster.catalogue import Catalogue, Choice, Model
from cluster.errors import ModelNotFound
from cluster.timing import Timing

if TYPE_CHECKING:
    from actors.ledger import Ledger


class Offered:
    """Asks the Ledger every few seconds what there is, and once more before it says that there is nothing of a name.

    What has been removed is offered for as long as nothing was heard of that: the Scheduler refuses its jobs.
    """

    def __init__(self, models: tuple[Model, ...], ledger: "Ledger", timing: Timing = Timing()) -> None:
        self.settings = Catalogue(models)
        """What the settings alone say."""
        self.catalogue = self.settings
        self._ledger = ledger
        self._asking = Every(timing.learn_models_s, self.ask, "asking for adapters")

    async def start(self) -> None:
        self._asking.start()

    async def stop(self) -> None:
        self._asking.stop()

    async def ask(self) -> None:
        """Know what there is now. Raises Unreachable, or what says that the database is away."""
        models = with_added(self.settings.models, await self._ledger.model_settings())
        if models != self.catalogue.models:
            self.catalogue = Catalogue(models)

    async def choice(self, name: str | None) -> Choice:
        """What this name stands for, or the only model.

        Raises ModelNotFound, BadRequest where a name is needed, and what `ask` raises.
        """
        try:
            return self.catalogue.choice(name)
        except ModelNotFound:
            await self.ask()
            return self.catalogue.choice(name)

    async def model(self, name: str) -> Model:
        """The model of this name, or of the adapter of this name. Raises as `choice`."""
        return (await self.choice(name)).model
