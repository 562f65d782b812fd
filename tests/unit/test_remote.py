"""What a call to an actor can come to: it answers, it is gone, or it cannot be reached now."""

from typing import Any

import pytest
from ray.exceptions import (
    ActorDiedError,
    ActorUnavailableError,
    ActorUnschedulableError,
    GetTimeoutError,
    RayError,
    RaySystemError,
    RuntimeEnvSetupError,
)

from actors.ray import remote as subject
from actors.ray.remote import Remote
from actors.wire.calls import Gone, Unreachable, Unreached
from tests.support.plain_system import run


class Handle:
    """Ray's handle of an actor whose calls raise."""

    def __init__(self, error: Exception) -> None:
        self._error = error
        self.call = self

    def options(self, **_: object) -> "Handle":
        return self

    async def remote(self, *_: object) -> Any:
        raise self._error


async def outcome(error: Exception, monkeypatch: pytest.MonkeyPatch) -> Unreachable:
    async def find(*_: object) -> Handle:
        return Handle(error)

    monkeypatch.setattr(subject, "_find", find)
    with pytest.raises(Unreachable) as raised:
        await Remote("engine/m/0", "Engine", frozenset(), 0, 0.0).generate([])
    return raised.value


@pytest.mark.parametrize(
    "error",
    [ActorDiedError(), ActorUnschedulableError("its machine is dead"), RuntimeEnvSetupError("no such variable")],
    ids=lambda error: type(error).__name__,
)
def test_what_will_not_answer_again_is_gone(error: RayError, monkeypatch: pytest.MonkeyPatch) -> None:
    told = run(outcome(error, monkeypatch))
    assert isinstance(told, Gone)
    assert str(told) == "engine/m/0 died"


@pytest.mark.parametrize(
    "error",
    [ActorUnavailableError("a hiccup", None), RaySystemError(OSError("the head is busy")), GetTimeoutError()],
    ids=lambda error: type(error).__name__,
)
def test_what_may_answer_again_is_unreached(error: RayError, monkeypatch: pytest.MonkeyPatch) -> None:
    told = run(outcome(error, monkeypatch))
    assert isinstance(told, Unreached)
    assert str(told) == f"engine/m/0 cannot be reached ({type(error).__name__})"
