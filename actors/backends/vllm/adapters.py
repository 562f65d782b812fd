"""The LoRA adapters of a vLLM engine: what vLLM is told of them, and which it has loaded."""

import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any

from actors.backends.vllm.adapter_files import AdapterFiles, AdapterRefused
from cluster.catalogue import Adapter, Model

_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""The largest ranks that vLLM can be told to make room for."""

MOST_AT_ONCE = 8
"""So many can be in one batch, unless the catalogue says otherwise. vLLM's default is one: the others would wait."""

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
    said, count = model.engine, len(ranks)
    at_once = said.get("max_loras") or min(count, MOST_AT_ONCE, said.get("max_cpu_loras") or MOST_AT_ONCE)
    return {
        "enable_lora": True,
        "max_lora_rank": next((room for room in _RANKS if room >= max(ranks)), _RANKS[-1]),
        "max_loras": at_once,
        "max_cpu_loras": max(at_once, min(count, MOST_IN_MEMORY)),
    }


class Adapters:
    """The adapters of an engine, used by its thread. vLLM keeps those used last, and so does this.

    An adapter is loaded before the first request that needs it, and not with it: what fails in a step of vLLM ends
    vLLM.
    """

    def __init__(self, engine: Any, adapters: Iterable[Adapter] = (), files: Mapping[str, AdapterFiles] = {}) -> None:
        self._engine = engine
        self._of_model = {adapter.id: adapter for adapter in adapters}
        self._files = files
        self._kept: OrderedDict[str, None] = OrderedDict()
        self.loaded: tuple[str, ...] = ()
        """Those that it has where it computes, the one used last last."""

    def load_all(self) -> None:
        """Have vLLM load each once. Raises AdapterRefused for the first one that it cannot load."""
        for adapter in self._of_model:
            self.request(adapter)

    def request(self, adapter: str) -> Any:
        """vLLM's LoRARequest for this adapter, which is loaded; None where it is no adapter's id, but nothing.

        Raises AdapterRefused.
        """
        if not adapter:
            return None
        if adapter not in self._of_model:
            raise AdapterRefused(adapter, "the engine does not know it")
        from vllm.lora.request import LoRARequest

        request = LoRARequest(adapter, self._of_model[adapter].number, str(self._files[adapter].folder))
        if adapter not in self._kept:
            self._load(adapter, request)
        self.use(adapter)
        return request

    def use(self, adapter: str) -> None:
        """It is the one used last."""
        if not adapter:
            return
        config = self._engine.vllm_config.lora_config
        self._kept[adapter] = None
        self._kept.move_to_end(adapter)
        while len(self._kept) > config.max_cpu_loras:
            self._kept.popitem(last=False)
        self.loaded = tuple(self._kept)[-config.max_loras :]

    def _load(self, adapter: str, request: Any) -> None:
        from vllm.v1.engine.exceptions import EngineDeadError

        try:
            self._engine.add_lora(request)
        except EngineDeadError:
            raise
        except Exception as error:
            cause = " ".join(_AROUND.sub("", str(error)).strip("'").split()) or type(error).__name__
            raise AdapterRefused(adapter, f"vLLM cannot load it: {cause}") from error
