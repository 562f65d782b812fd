"""What the system under test serves, so that a test of a model that is not there is skipped."""

import time

import pytest

from tests.contract.client import Api, Json, answered

READY_S = 150.0
_LOOK_S = 0.2


class Catalogue:
    def __init__(self, admin: Api) -> None:
        self._admin = admin
        self._seen: set[str] = set()

    def has(self, model: str) -> bool:
        return bool(self._entries(model))

    def entry(self, model: str) -> Json:
        found = self._entries(model)
        if not found:
            pytest.skip(f"the system has no model {model}: see tests/contract/system.yaml")
        return dict(found[0])

    def _entries(self, model: str) -> list[Json]:
        listed = answered(self._admin.get("/models", params={"all": "true"}))["models"]
        return [entry for entry in listed if entry["id"] == model]

    def need(self, model: str, state: str = "ready") -> str:
        """The model, once it is in this state."""
        give_up_s = time.monotonic() + READY_S
        while model not in self._seen:
            if (now := self.entry(model)["state"]) == state:
                self._seen.add(model)
                break
            assert time.monotonic() < give_up_s, f"{model} is {now}, not {state}"
            time.sleep(_LOOK_S)  # over HTTP there is no signal for it
        return model
