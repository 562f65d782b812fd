"""What only backends know of a model: whether it can be used as the settings have it."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol

from cluster.catalogue import BackendName
from cluster.settings.checks import Value
from cluster.settings.mistakes import Mistakes


class Fault(NamedTuple):
    """An engine option that cannot be used, and why."""

    option: str
    reason: str


class Judge(Protocol):
    """Tells what is wrong without loading anything, quickly, and all of it."""

    def options(self, backend: BackendName, options: Mapping[str, Any]) -> Iterator[Fault]: ...

    def model(self, source: str, options: Mapping[str, Any]) -> str | None:
        """Why nothing can be loaded from this source of a vLLM model, as far as that can be told here."""
        ...

    def adapter(self, source: str) -> str | None:
        """As `model`, of an adapter's."""
        ...


class _NoJudge:
    def options(self, backend: BackendName, options: Mapping[str, Any]) -> Iterator[Fault]:
        return iter(())

    def model(self, source: str, options: Mapping[str, Any]) -> str | None:
        return None

    def adapter(self, source: str) -> str | None:
        return None


NO_JUDGE: Judge = _NoJudge()
"""Takes everything."""


def refuse_faults(engine: Value, faults: Iterable[Fault]) -> None:
    """Raises ConfigError for all of them, each at its option."""
    mistakes = Mistakes()
    for fault in faults:
        with mistakes.noted():
            raise engine.content.get(fault.option, engine).refused(fault.reason)
    mistakes.tell()
