"""What this machine's GPUs are used for, asked of NVIDIA's driver again and again."""

import contextlib
import logging
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from cluster.messages.machines import GpuLoad

T = TypeVar("T")

logger = logging.getLogger(__name__)


class GpuLoads:
    """Asks NVML, which it opens once. When that fails nothing is told of any GPU, and it is opened anew the next time.

    Used by one thread at a time.
    """

    def __init__(self) -> None:
        self._handles: list[Any] | None = None
        self._failed = False

    def read(self) -> Sequence[GpuLoad]:
        """One for each GPU, in the order of `hardware.probe`."""
        import pynvml

        try:
            if self._handles is None:
                pynvml.nvmlInit()
                self._handles = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
            loads = [_load(pynvml, handle) for handle in self._handles]
        except pynvml.NVMLError as error:
            if not self._failed:
                logger.warning("what the GPUs are used for is not known: %s", error)
            self._failed = True
            self.close()
            return ()
        self._failed = False
        return loads

    def close(self) -> None:
        """Let go of NVML."""
        import pynvml

        if self._handles is not None:
            self._handles = None
            with contextlib.suppress(pynvml.NVMLError):  # it is being let go of because it fails
                pynvml.nvmlShutdown()


def _load(pynvml: Any, handle: Any) -> GpuLoad:
    memory = _told(pynvml, lambda: int(pynvml.nvmlDeviceGetMemoryInfo(handle).used))
    busy = _told(pynvml, lambda: pynvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100)
    return GpuLoad(memory, busy)


def _told(pynvml: Any, ask: Callable[[], T]) -> T | None:
    """What the driver answers; None where it does not tell this of this kind of GPU, such as a part of one."""
    try:
        return ask()
    except pynvml.NVMLError_NotSupported:
        return None
