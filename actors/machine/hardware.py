"""What the machine under us has."""

import ctypes
import logging
import socket
from collections.abc import Mapping

import psutil

from cluster.messages.machines import Gpu, Hardware

logger = logging.getLogger(__name__)


def probe(resources: Mapping[str, float]) -> Hardware:
    """This machine's hardware; `resources` is what Ray may give out on it."""
    return Hardware(
        hostname=socket.gethostname(),
        cpus=resources.get("CPU", 0.0),
        memory_bytes=psutil.virtual_memory().total,
        gpu_count=int(resources.get("GPU", 0)),
        gpus=_gpus(),
    )


def _gpus() -> tuple[Gpu, ...]:
    """The GPUs that NVML sees; none where there is no NVIDIA driver."""
    if not _has_nvml():
        logger.info("no GPUs: there is no NVIDIA driver")
        return ()
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        logger.info("no GPUs: %s", error)
        return ()
    try:
        handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
        return tuple(
            Gpu(pynvml.nvmlDeviceGetName(handle), int(pynvml.nvmlDeviceGetMemoryInfo(handle).total))
            for handle in handles
        )
    finally:
        pynvml.nvmlShutdown()


def _has_nvml() -> bool:
    """Whether the driver's library is here. Without it, importing its bindings would cost 12 MiB for nothing."""
    try:
        ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return False
    return True
