"""The adapters of a vLLM engine: what vLLM is told of them, and which it has loaded."""

import logging
import re
from collections import OrderedDict
from collections.abc import Collection, Iterable
from typing import Any

from actors.backends.base import Adapted
from actors.backends.vllm.adapter_files import AdapterFiles, AdapterRefused
from cluster.catalogue import Adapter, Model
from cluster.messages.machines import AdapterRefusal

log = logging.getLogger(__name__)

_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""The largest ranks that vLLM can be told to make room for."""

MOST_AT_ONCE = 8
"""So many can be in one batch, unless the catalogue says otherwise. vLLM's default is one: the others would wait."""

_SPARE = 1
"""There is a place more than there are adapters: one that is added does not have to share."""

MOST_IN_MEMORY = 32
"""So many are kept beside them, and not read again."""

_AROUND = re.compile(
    r"^Call to \w+ method failed: (?:Worker failed with error )?|, please check the stack trace.*$", re.DOTALL
)
"""What vLLM's processes say around the cause."""


def engine_args(model: Model, files: Iterable[AdapterFiles]) -> dict[str, Any]:
    """What vLLM's EngineArgs need for these adapters, where the catalogue does not say it."""
    ranks = [each.rank for each in files]
    if not ranks:
        return {}
    said, places = model.engine, len(ranks) + _SPARE
    at_once = said.get("max_loras") or min(places, MOST_AT_ONCE, said.get("max_cpu_loras") or MOST_AT_ONCE)
    return {
        "enable_lora": True,
        "max_lora_rank": _room_for(max(ranks)),
        "max_loras": at_once,
        "max_cpu_loras": max(at_once, MOST_IN_MEMORY),
    }


def _room_for(rank: int) -> int:
    return next((room for room in _RANKS if room >= rank), _RANKS[-1])


_ANY = Model("")


class Outgrown(AdapterRefused):
    """The engine has no room for an adapter, and one that is made anew may have."""


class Adapters:
    """The adapters that an engine knows, used by its thread. vLLM keeps those used last, and so does this.

    An adapter is loaded before the first request that needs it, and not with it: what fails in a step of vLLM ends
    vLLM.
    """

    def __init__(self, engine: Any, model: Model = _ANY) -> None:
        self._engine = engine
        self._model = model
        self._known: dict[int, tuple[Adapter, AdapterFiles]] = {}
        self._refused: dict[int, AdapterRefusal] = {}
        self._kept: OrderedDict[int, str] = OrderedDict()
        self.adapted = Adapted()
        """Those that it knows, and those that it has refused. Asked from any thread."""
        self.loaded: tuple[str, ...] = ()
        """Those that it has where it computes, the one used last last. Asked from any thread."""

    # What it knows ------------------------------------------------------------------------------------------------

    def know(self, adapter: Adapter, files: AdapterFiles) -> None:
        """Have vLLM load it, once, as a check. Raises AdapterRefused; what it has refused it does not know."""
        number = adapter.number
        try:
            self._check_room(adapter, files)
            self._load(adapter, self._request(adapter, files))
        except AdapterRefused as refusal:
            self.refuse(adapter, refusal.reason, outgrown=isinstance(refusal, Outgrown))
            raise
        self._known[number] = adapter, files
        self._refused.pop(number, None)
        self._use(number, adapter.id)
        self._tell()

    def refuse(self, adapter: Adapter, reason: str, outgrown: bool = False) -> None:
        """It is known that this one cannot be loaded here."""
        self._refused[adapter.number] = AdapterRefusal(adapter.number, reason, outgrown)
        self._tell()

    def keep(self, numbers: Collection[int], in_use: Collection[int]) -> None:
        """Know those of these numbers alone. What is `in_use` gives way by and by, the others at once."""
        gone = self._known.keys() - set(numbers)
        for number in gone:
            del self._known[number]
            if number in self._kept and number not in in_use:
                del self._kept[number]
                self._unload(number)
        self._refused = {number: refusal for number, refusal in self._refused.items() if number in numbers}
        self._tell()

    def _tell(self) -> None:
        self.adapted = Adapted(tuple(self._known), tuple(self._refused.values()))
        self._tell_loaded()

    def _check_room(self, adapter: Adapter, files: AdapterFiles) -> None:
        config = self._engine.vllm_config.lora_config
        if config is None:
            raise Outgrown(adapter.id, "the engine was made without room for adapters")
        could_be = self._model.engine.get("max_lora_rank") or _room_for(files.rank)
        if config.max_lora_rank < files.rank <= could_be:
            room = config.max_lora_rank
            raise Outgrown(adapter.id, f"its rank is {files.rank}, and the engine was made with room for {room}")

    # Requests -----------------------------------------------------------------------------------------------------

    def find(self, adapter: str, number: int) -> int:
        """The number of this adapter: the one that is asked for, or of an engine that knows that no more, its id's."""
        if number in self._known:
            return number
        return next((each for each, (known, _) in self._known.items() if known.id == adapter), 0)

    def request(self, adapter: str, number: int = 0) -> Any:
        """vLLM's LoRARequest for this adapter, which is loaded; None where it is no adapter's id, but nothing.

        Raises AdapterRefused.
        """
        if not adapter:
            return None
        number = self.find(adapter, number)
        if not number:
            raise AdapterRefused(adapter, "the engine does not know it")
        known, files = self._known[number]
        request = self._request(known, files)
        if number not in self._kept:
            self._load(known, request)
        self._use(number, adapter)
        return request

    def use(self, request: Any) -> None:
        """The adapter of this request of vLLM's is the one used last. Nothing is for requests without one."""
        if request is not None and request.lora_int_id in self._kept:
            self._use(request.lora_int_id, self._kept[request.lora_int_id])

    def _use(self, number: int, adapter: str) -> None:
        self._kept[number] = adapter
        self._kept.move_to_end(number)
        while len(self._kept) > self._engine.vllm_config.lora_config.max_cpu_loras:
            self._kept.popitem(last=False)
        self._tell_loaded()

    def _tell_loaded(self) -> None:
        config = self._engine.vllm_config.lora_config
        self.loaded = tuple(self._kept.values())[-config.max_loras :] if config is not None else ()

    # vLLM ---------------------------------------------------------------------------------------------------------

    def _request(self, adapter: Adapter, files: AdapterFiles) -> Any:
        """By its name vLLM knows what it has cached of prompts: one of other weights must not have the same."""
        from vllm.lora.request import LoRARequest

        return LoRARequest(f"{adapter.id}#{adapter.number}", adapter.number, str(files.folder))

    def _load(self, adapter: Adapter, request: Any) -> None:
        from vllm.v1.engine.exceptions import EngineDeadError

        try:
            self._engine.add_lora(request)
        except EngineDeadError:
            raise
        except Exception as error:
            cause = " ".join(_AROUND.sub("", str(error)).strip("'").split()) or type(error).__name__
            raise AdapterRefused(adapter.id, f"vLLM cannot load it: {cause}") from error

    def _unload(self, number: int) -> None:
        from vllm.v1.engine.exceptions import EngineDeadError

        try:
            self._engine.remove_lora(number)
        except EngineDeadError:
            raise
        except Exception as error:  # noqa: BLE001 - it gives way to others
            log.warning("an adapter that nobody needs stays loaded (%s)", type(error).__name__)
