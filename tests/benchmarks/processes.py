"""The processes of a system under test: what they are, what they have used and what they hold."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil

_MODEL_TITLE = re.compile(r"VLLM::(EngineCore|Worker)|RayWorkerWrapper")


@dataclass(frozen=True)
class Memory:
    """What a process holds: `rss` counts shared pages in every process, `uss` is what ending it would free. Bytes."""

    pid: int
    role: str
    rss: int
    uss: int


def memory(processes: Iterable[psutil.Process]) -> list[Memory]:
    """Of the processes that still run, in the order they began."""
    samples = []
    for process in sorted(processes, key=lambda process: process.pid):
        try:
            info = process.memory_full_info()
            samples.append(Memory(process.pid, role(process), info.rss, info.uss))
        except psutil.NoSuchProcess:
            continue
    return samples


def cpu_s(pids: Iterable[int]) -> float:
    """Processor seconds that these processes have used since they began."""
    total_s = 0.0
    for pid in pids:
        try:
            times = psutil.Process(pid).cpu_times()
        except psutil.NoSuchProcess:
            continue
        total_s += times.user + times.system
    return total_s


def private_bytes(pids: Iterable[int]) -> int:
    """What these processes hold and share with nobody, as far as the kernel tells without looking at every page."""
    total = 0
    for pid in pids:
        try:
            info = psutil.Process(pid).memory_info()
        except psutil.NoSuchProcess:
            continue
        total += info.rss - info.shared
    return total


def holds_model(process: psutil.Process) -> bool:
    """Whether it is vLLM's engine core or one of its workers, rather than part of what is around them."""
    return _MODEL_TITLE.match(role(process)) is not None


def machine_cpu_s() -> float:
    """Processor seconds that this machine has spent on anything since it began."""
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system + times.irq + times.softirq)


def role(process: psutil.Process) -> str:
    """What a process is there for, by its title: an actor's class, a script's name, a program's name."""
    arguments = [argument for argument in process.cmdline() if argument] or [process.name()]
    if actor := re.match(r"ray::([^.\s(]+)", arguments[0]):
        return actor[1]
    if scripts := [argument for argument in arguments[1:3] if argument.endswith(".py")]:
        return "/".join(Path(scripts[0]).parts[-2:])
    if Path(arguments[0]).name.startswith("python"):
        return " ".join([Path(argument).name for argument in arguments[1:3]])
    return Path(arguments[0].split()[0]).name
