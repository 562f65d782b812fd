"""What admins have set of models, and how fast models are."""

from functools import partial

from actors.bookkeeping.book import Book
from cluster.catalogue import Replicas
from cluster.messages.models import BoundsChange, ModelSettings
from cluster.store import model_settings, speeds


class ModelBook(Book):
    """Models, as far as anything of them outlives the processes."""

    async def model_settings(self) -> list[ModelSettings]:
        """What admins have set of models while the system runs."""
        return await self._read(model_settings.all_of_them)

    async def change_bounds(self, model: str, change: BoundsChange, replicas: Replicas) -> ModelSettings:
        """What is set of this model then. May be repeated. `replicas` is what its settings say.

        Raises BadRequest for bounds that do not go together.
        """
        changed = partial(model_settings.change_bounds, model=model, change=change, replicas=replicas)
        return await self._write(changed)

    async def restart_model(self, model: str, restarts: int) -> ModelSettings:
        """The model's engines have been restarted so many times, or more often already. May be repeated."""
        return await self._write(partial(model_settings.restart, model=model, restarts=restarts))

    async def speeds(self) -> dict[str, int]:
        """Per model: output tokens per second of generation, averaged over its last 32 completed jobs."""
        return await self._read(speeds.averages)
