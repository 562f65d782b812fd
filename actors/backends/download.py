"""How far the download of a model's weights is, told from the files that the hub's library writes meanwhile.

vLLM has the library show nothing. What it has not whole yet ends in `.incomplete`, beside what it has, in `blobs`:
https://huggingface.co/docs/huggingface_hub/guides/manage-cache
"""

import logging
import os
from collections.abc import Iterable
from pathlib import Path
from threading import Thread

from actors.backends import sources
from cluster.catalogue import Model, is_local
from cluster.clock import SYSTEM_CLOCK, Clock
from cluster.settings.units import duration

logger = logging.getLogger(__name__)

_INCOMPLETE = ".incomplete"
_KINDS = (".safetensors", ".bin", ".pt", ".gguf")
_MIB = 1 << 20
_GIB = 1 << 30
_ANSWER_S = 5.0


class Download:
    """Of one model, by one engine. `told` is asked again and again while it loads; looking takes some milliseconds."""

    def __init__(self, model: Model, clock: Clock = SYSTEM_CLOCK) -> None:
        self._model = model
        self._clock = clock
        self._blobs = None if is_local(model.source) else _blobs(model)
        self._first: tuple[float, int] | None = None
        self._total: int | None = None

    def told(self) -> str | None:
        """What to tell of it; None while nothing is on its way."""
        sizes = _sizes(self._blobs)
        if not any(name.endswith(_INCOMPLETE) for name in sizes):
            return None
        now_s, done = self._clock.monotonic_s(), sum(sizes.values())
        if self._first is None:
            self._first = now_s, done
            # The hub knows how much it will be, and may take its time to say so.
            Thread(target=self._ask, name="download-size", daemon=True).start()
        began_s, before = self._first
        speed = (done - before) / (now_s - began_s) if now_s > began_s else 0.0
        return _words(done, self._total, speed)

    def _ask(self) -> None:
        try:
            self._total = total_bytes(self._model)
        except Exception as error:  # noqa: BLE001 - the library raises all kinds; without the answer there is less to tell
            logger.info("how large %s is could not be asked: %s", self._model.id, type(error).__name__)


def total_bytes(model: Model) -> int | None:
    """How large the weights of a model on the hub are, or None. Asks the hub, and raises what its library raises."""
    from huggingface_hub import HfApi

    hub = HfApi(endpoint=model.env.get("HF_ENDPOINT"), token=model.env.get("HF_TOKEN"))
    info = hub.model_info(model.source, revision=model.engine.get("revision"), timeout=_ANSWER_S, files_metadata=True)
    sizes = {file.rfilename: file.size or 0 for file in info.siblings or ()}
    return next((size for kind in _KINDS if (size := _of_kind(sizes.items(), kind))), None)


def _of_kind(sizes: Iterable[tuple[str, int]], kind: str) -> int:
    return sum(size for name, size in sizes if name.endswith(kind) and not name.startswith("consolidated"))


def _blobs(model: Model) -> Path:
    return sources.hub_cache(model, os.environ) / f"models--{model.source.replace('/', '--')}" / "blobs"


def _sizes(blobs: Path | None) -> dict[str, int]:
    """Of files that come and go meanwhile."""
    if blobs is None:
        return {}
    try:
        with os.scandir(blobs) as entries:
            return {entry.name: entry.stat().st_size for entry in entries}
    except FileNotFoundError:
        return {}


def _words(done: int, total: int | None, speed: float) -> str:
    if total is None:
        said = f"downloading the weights: {done / _GIB:.1f} GiB so far"
    else:
        said = f"downloading the weights: {min(done, total) / _GIB:.1f} of {total / _GIB:.1f} GiB"
    if speed > 0:
        said += f", {speed / _MIB:.0f} MiB/s"
        if total is not None and done < total:
            said += f", {duration(round((total - done) / speed))} left"
    return said
