"""What admins have set of models, what they have added to them, and how fast models are."""

from functools import partial

from actors.bookkeeping.book import Book
from cluster.catalogue import Adapter, Replicas
from cluster.messages.models import BoundsChange, ModelSettings
from cluster.store import adapters, model_settings, speeds


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

    async def add_adapter(self, model: str, adapter: Adapter) -> Adapter:
        """The model has this adapter then; one that it has already, as it is, stays. May be repeated.

        Raises Conflict where there is another one of this id.
        """
        return await self._write(partial(adapters.add, model=model, adapter=adapter))

    async def remove_adapter(self, model: str, adapter_id: str) -> None:
        """The model has no adapter of this id any more, but for jobs that are open. May be repeated."""
        now_ms = self._now_ms()
        await self._write(partial(adapters.remove, model=model, adapter_id=adapter_id, now_ms=now_ms))

    async def forget_adapters(self) -> None:
        """Forgets those that were removed some time ago, and of which no job is open any more."""
        await self._write(partial(adapters.forget, now_ms=self._now_ms()))

    async def speeds(self) -> dict[str, int]:
        """Per model: output tokens per second of generation, averaged over its last 32 completed jobs."""
        return await self._read(speeds.averages)
