"""The models that are served, as jobs ask for them. Pure."""

from collections.abc import Iterable, Mapping
from functools import partial

from cluster.added import Overruled, overruled, with_added
from cluster.catalogue import Catalogue, Model
from cluster.fleet.served_model import ServedModel
from cluster.messages.machines import ModelState, ModelView
from cluster.messages.models import ModelDetail, ModelSettings
from cluster.placement import NOTHING, NOWHERE, Cached, Loaded, Ranking
from cluster.prefixes.predictions import Predictions
from cluster.queue import LaneId, Prefer


class ServedModels:
    """All models of the catalogue, by their names. A job's model may be none of them: the catalogue has changed."""

    def __init__(self, models: Mapping[str, ServedModel]) -> None:
        self._models = models
        self._settings = Catalogue(tuple(served.model for served in models.values()))
        self.offered = self._settings
        """The models of the settings, with what admins have added to them."""
        self.overruled: tuple[Overruled, ...] = ()
        """What admins have added, and models do not have as the settings are now."""

    def set(self, admins: Iterable[ModelSettings]) -> bool:
        """Go by what admins have set of models; of the others they have set nothing. True where that changes anything.

        What they set of a model that the catalogue does not list is kept for when it does again.
        """
        of_model = {each.model: each for each in admins}
        self.offered = Catalogue(with_added(self._settings.models, of_model.values()))
        self.overruled = tuple(overruled(self._settings.models, of_model.values()))
        changes = [
            self._models[model.id].set(
                model,
                of_model.get(model.id, ModelSettings(model.id)),
                [each for each in self.overruled if each.model == model.id],
            )
            for model in self.offered.models
        ]
        return any(changes)

    def lists(self, model: str) -> bool:
        """Whether the catalogue has this model."""
        return model in self._models

    # Where a job may go -------------------------------------------------------------------------------------------

    def ranking(self, model: str) -> Ranking:
        """The engines of this model, the best first. None of a model that the catalogue does not list."""
        served = self._models.get(model)
        return Ranking() if served is None else served.ranking

    def cached(self, model: str, prefix: bytes, prompt_tokens: int) -> Cached:
        """How many tokens of such a prompt engines of this model are expected to have in their caches."""
        served = self._models.get(model) if prefix else None
        return NOTHING if served is None else served.cached(prefix, prompt_tokens)

    def predictions(self, model: str) -> Predictions | None:
        """What this model's engines are expected to have cached. None of a model that the catalogue does not list."""
        served = self._models.get(model)
        return None if served is None else served.predictions

    def preference(self, lane: LaneId) -> Prefer | None:
        """Which of several jobs of this lane finds most of its prompt where there is room. None where none can."""
        served = self._models.get(lane.model)
        return None if served is None or not served.predictions else partial(served.preferred, lane)

    def having(self, model: str, adapter: str) -> Loaded:
        """The engines of this model that have this adapter loaded, as far as that is worth knowing."""
        served = self._models.get(model) if adapter else None
        return NOWHERE if served is None else served.having(adapter)

    def lacks(self, model: str, adapter: str) -> bool:
        """Whether an engine of this model serves that does not know this adapter yet."""
        return bool(adapter) and self._models[model].adapting.lacks(adapter)

    # Adapters -----------------------------------------------------------------------------------------------------

    def adapter_number(self, model: str, adapter: str) -> int:
        """What engines know this adapter of the model by now; 0 where there is none."""
        served = self._models.get(model)
        return 0 if served is None else served.adapting.number(adapter)

    def cannot_load(self, model: str, adapter: str) -> bool:
        """Whether an engine of this model has said that it cannot load this adapter."""
        return bool(self._models[model].adapting.refusal(adapter))

    def awaits(self, model: str, adapter: str) -> bool:
        """Whether an engine of this model that serves has yet to say what it makes of this adapter."""
        served = self._models.get(model)
        return served is not None and served.adapting.awaits(adapter)

    @property
    def keeps_removed_adapters(self) -> bool:
        """Whether engines are to know adapters that have been removed, as jobs for them may be open."""
        return any(served.admins.removed for served in self._models.values())

    # How they are served ------------------------------------------------------------------------------------------

    def serves(self, model: str) -> bool:
        """Whether an engine of this model is ready."""
        return self._models[model].serves

    def starting(self) -> list[Model]:
        """The models without an engine that is ready, of which one starts, or waits for a machine to come."""
        return [served.model for served in self._models.values() if served.is_starting]

    def free_slots(self, model: str) -> int:
        """How many more jobs can be given to engines of this model now."""
        return self._models[model].free_slots()

    def context_length(self, model: str) -> int | None:
        """The model's context in tokens, as its engines told or the catalogue says; None before either has."""
        return self._models[model].context_length

    # What clients are told ----------------------------------------------------------------------------------------

    def views(self, queued: Mapping[str, int], now_s: float) -> list[ModelView]:
        return [served.view(queued.get(model, 0), now_s) for model, served in self._models.items()]

    def detail(self, model: str, queued: int, now_s: float, now_ms: int) -> ModelDetail | None:
        """All that is known of this model. None of one that the catalogue does not list."""
        served = self._models.get(model)
        return None if served is None else served.detail(queued, now_s, now_ms)

    def states(self) -> dict[str, ModelState]:
        return {model: served.state for model, served in self._models.items()}

    def makes(self) -> dict[str, str]:
        """The fingerprint of what engines of each model are made of now."""
        return {model: served.make.fingerprint for model, served in self._models.items()}
