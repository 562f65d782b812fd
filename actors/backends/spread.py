"""A backend of which parts run on further machines. It lives as long as all of them do."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Protocol

from actors.backends.base import NO_MEDIA, Adapted, Backend, BackendDied, Loaded, Media, Sink
from actors.backends.failures import one_line
from cluster.catalogue import Adapter
from cluster.measures.engine_times import Times
from cluster.messages.machines import EngineFigures
from cluster.messages.work import Asking, Dispatch, Form, JobAttempt, Sampling


class Parts(Protocol):
    """The parts on the further machines."""

    def begin(self, lost: Callable[[str], None]) -> None:
        """Have them begin, without waiting for it. `lost` is told, from any thread, why the first of them ended."""
        ...

    def end(self) -> None:
        """End them, and whatever they started. Nothing is lost by that."""
        ...


class SpreadBackend:
    """The part on the first machine, and with it the others: the death of any of them is the death of all.

    Whoever loses its engine, process and all, loses the parts with it: they are its process's own.
    """

    def __init__(self, first: Backend, parts: Parts) -> None:
        self._first = first
        self._parts = parts
        self._outcome: SimpleQueue[Loaded | BackendDied] = SimpleQueue()
        self._lock = Lock()
        self._tell: Callable[[BackendDied], None] | None = None
        self._death: BackendDied | None = None

    @property
    def steps(self) -> int:
        return self._first.steps

    @property
    def adapters(self) -> Sequence[str]:
        return self._first.adapters

    @property
    def adapted(self) -> Adapted:
        return self._first.adapted

    def adapt(self, adapters: Sequence[Adapter]) -> "Future[None]":
        return self._first.adapt(adapters)

    @property
    def figures(self) -> EngineFigures | None:
        return self._first.figures

    @property
    def times(self) -> Times:
        return self._first.times

    @property
    def phase(self) -> str:
        return self._first.phase

    def load(self, sink: Sink, died: Callable[[BackendDied], None]) -> Loaded:
        self._parts.begin(lambda reason: self._die(BackendDied(reason)))
        Thread(target=self._load_first, args=(sink,), name="first-part", daemon=True).start()
        outcome = self._outcome.get()
        with self._lock:
            if self._death is not None:
                raise self._death
            self._tell = died
        assert isinstance(outcome, Loaded)
        return outcome

    def start(self, dispatches: Sequence[Dispatch], media: Media = NO_MEDIA) -> None:
        self._first.start(dispatches, media)

    def ask(self, form: Form, sampling: Sampling, media: Media = NO_MEDIA) -> "Future[Asking]":
        return self._first.ask(form, sampling, media)

    def abort(self, jobs: Sequence[JobAttempt]) -> None:
        self._first.abort(jobs)

    def close(self) -> None:
        with self._lock:
            self._tell = None
        self._first.close()
        self._parts.end()

    def _load_first(self, sink: Sink) -> None:
        """The first part waits for the others, and would for ever where one does not come."""
        try:
            self._outcome.put(self._first.load(sink, self._die))
        except Exception as error:  # noqa: BLE001 - whoever loads raises it
            self._die(error if isinstance(error, BackendDied) else BackendDied(one_line(error)))

    def _die(self, error: BackendDied) -> None:
        with self._lock:
            if self._death is not None:
                return
            self._death = error
            tell = self._tell
        self._outcome.put(error)
        if tell is not None:
            tell(error)
