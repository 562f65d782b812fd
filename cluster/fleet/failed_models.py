"""Which models have come to be failed, and have not been told of yet. Pure."""

from collections.abc import Iterable, Mapping

from cluster.messages.alarms import FailedModel
from cluster.messages.machines import ModelState


class FailedModels:
    """A model has failed until it serves again, nobody wants it any more, or other engines of it are tried.

    Those `before` were told of by a Scheduler before this one, which has to find out again that they fail: until then
    it takes them for idle.
    """

    def __init__(self, before: Iterable[FailedModel]) -> None:
        self._told = {model.id: model.make for model in before}
        self._unsure = set(self._told)

    @property
    def known(self) -> frozenset[FailedModel]:
        """Those that are failed, and have been told of."""
        return frozenset(FailedModel(model, make) for model, make in self._told.items())

    def look(self, states: Mapping[str, ModelState], makes: Mapping[str, str]) -> list[str]:
        """Take in how all models are now, and what their engines are made of. Returns those that have failed since."""
        for model in self._told.keys() - states.keys():
            self._forget(model)
        return [model for model, state in states.items() if self._has_failed(model, state, makes[model])]

    def _has_failed(self, model: str, state: ModelState, make: str) -> bool:
        is_told = self._told.get(model) == make
        if state == "failed":
            self._told[model] = make
            self._unsure.discard(model)
            return not is_told
        if state == "ready" or not is_told or (state == "idle" and model not in self._unsure):
            self._forget(model)
        return False

    def _forget(self, model: str) -> None:
        self._told.pop(model, None)
        self._unsure.discard(model)
