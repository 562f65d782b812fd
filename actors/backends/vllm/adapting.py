"""How an engine of vLLM's is told of other adapters while it generates.

Their files are read in threads of their own, as they may have to be fetched first. vLLM loads them in the engine's.
"""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

from actors.backends.base import Adapted
from actors.backends.vllm.adapter_files import AdapterFiles, AdapterRefused, read
from actors.backends.vllm.engine import VllmEngine
from cluster.catalogue import Adapter, Model

log = logging.getLogger(__name__)

Put = Callable[[Callable[[VllmEngine], None]], None]

_AT_ONCE = 2


class Adapting:
    """Reads the files of adapters that an engine is to know. `put` has something done in the engine's thread."""

    def __init__(self, model: Model, source: str, put: Put) -> None:
        self._model = model
        self._source = source
        self._put = put
        self._readers = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="vllm-adapters")
        # What follows is the engine's thread's.
        self._wanted: dict[int, Adapter] = {}
        self._reading: set[int] = set()
        self._waiting: list[Future[None]] = []

    def adapt(self, adapters: Sequence[Adapter]) -> "Future[None]":
        """Have the engine know these and no others. Done once it has told of all of them."""
        done: Future[None] = Future()
        self._put(partial(self._want, {adapter.number: adapter for adapter in adapters}, done))
        return done

    def close(self) -> None:
        """Read nothing more."""
        self._readers.shutdown(wait=False, cancel_futures=True)

    # In the engine's thread ----------------------------------------------------------------------------------------

    def _want(self, adapters: dict[int, Adapter], done: "Future[None]", engine: VllmEngine) -> None:
        self._wanted = adapters
        self._waiting.append(done)
        engine.keep_adapters(adapters)
        for number in adapters.keys() - told(engine.adapted) - self._reading:
            self._reading.add(number)
            self._readers.submit(self._read, adapters[number])
        self._end_if_told()

    def _know(self, adapter: Adapter, files: AdapterFiles | str, engine: VllmEngine) -> None:
        """Its files have been read, or it is known why they cannot be."""
        self._reading.discard(adapter.number)
        if adapter.number in self._wanted:
            self._load(adapter, files, engine)
        self._end_if_told()

    def _load(self, adapter: Adapter, files: AdapterFiles | str, engine: VllmEngine) -> None:
        if isinstance(files, str):
            engine.refuse(adapter, files)
            return
        try:
            engine.know(adapter, files)
            log.info("model %s has the adapter %s from now on", self._model.id, adapter.id)
        except AdapterRefused as refusal:
            log.warning("model %s: %s", self._model.id, refusal)

    def _end_if_told(self) -> None:
        if not self._reading:
            for done in self._waiting:
                done.set_result(None)
            self._waiting.clear()

    # In a thread that reads ---------------------------------------------------------------------------------------

    def _read(self, adapter: Adapter) -> None:
        try:
            files: AdapterFiles | str = read(self._model, adapter, self._source)
        except AdapterRefused as refusal:
            files = refusal.reason
        except Exception as error:
            log.exception("reading the files of the adapter %s", adapter.id)
            files = f"its files cannot be read ({type(error).__name__})"
        self._put(partial(self._know, adapter, files))


def without_added(adapters: Sequence[Adapter]) -> list[tuple[Adapter, ...]]:
    """What is left out when an engine is made, attempt by attempt: nothing, what was added last, all that was added."""
    added = sorted((adapter for adapter in adapters if adapter.added_ms), key=lambda adapter: adapter.added_ms)
    return list(dict.fromkeys([(), tuple(added[-1:]), tuple(added)]))


def told(adapted: Adapted) -> set[int]:
    """The numbers of the adapters of which this tells."""
    return {*adapted.known, *(refusal.number for refusal in adapted.refused)}
