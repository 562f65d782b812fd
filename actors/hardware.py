"""What the machine under us has."""

import logging
import socket
from collections.abc import Mapping

import psutil
import pynvml

from cluster.messages import Gpu, Hardware

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
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        logger.info("no GPUs: %s", error)
        return ()
    try:
        return tuple(_gpu(pynvml.nvmlDeviceGetHandleByIndex(i)) for i in range(pynvml.nvmlDeviceGetCount()))
    finally:
        pynvml.nvmlShutdown()


def _gpu(handle: object) -> Gpu:
    return Gpu(pynvml.nvmlDeviceGetName(handle), int(pynvml.nvmlDeviceGetMemoryInfo(handle).total))
