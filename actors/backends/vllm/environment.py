"""The environment variables that a process needs before it imports vLLM."""

import os
from pathlib import Path

from actors.machine.network import interface_of
from cluster.catalogue import Model, is_local

MOST_CPU_THREADS = 8
"""Generating is bound by memory bandwidth: more threads hardly help, and others want the cores."""


_COMPILED = "TORCHINDUCTOR_CACHE_DIR"


def vllm_env(model: Model, machine_cores: int) -> dict[str, str]:
    """What vLLM needs to serve `model` on a machine with `machine_cores` cores."""
    env = {
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "VLLM_LOGGING_LEVEL": "WARNING",
        # The engine process has threads by the time vLLM starts its own processes: forking it is not safe.
        "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
        # What is compiled is kept on the machine, as vLLM's own cache is. PyTorch would keep it among temporary files,
        # which go with every run of this system, and compile it anew for the first engine of the next.
        _COMPILED: os.environ.get(_COMPILED) or str(_caches() / "infernet" / "torchinductor"),
    }
    if model.gpus == 0:
        env |= _cpu_env(model, machine_cores)
    if is_local(model.source):
        env |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
    return env


def between_machines(address: str) -> dict[str, str]:
    """What a part of an engine on several machines needs, on the machine that the others know by `address`.

    vLLM, and Gloo below it, would guess which of the machine's addresses that is.
    """
    env = {"VLLM_HOST_IP": address}
    if interface := interface_of(address):
        env["GLOO_SOCKET_IFNAME"] = interface
    return {name: value for name, value in env.items() if name not in os.environ}


def _caches() -> Path:
    """Where this user's programs keep what can be made again."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def _cpu_env(model: Model, machine_cores: int) -> dict[str, str]:
    return {
        # Ray would set it from the actor's CPUs, 1 by default: what is booked, not what is there.
        "OMP_NUM_THREADS": str(int(model.cpus) if model.cpus > 1 else _threads(machine_cores)),
        # The model in vLLM's engine process. With 1, vLLM for CPU gives it one more process, and the two spin while
        # they wait for each other, on cores that the model and the control plane need. The engine process itself is
        # asked for where the engine is made.
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        # GiB. vLLM would otherwise take nine tenths of the machine's memory for its KV cache.
        "VLLM_CPU_KVCACHE_SPACE": "1",
        # vLLM would otherwise set the thread count itself, to one less than the cores, and pin the threads to
        # the first of them: those of every other replica on the machine too.
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    }


def _threads(machine_cores: int) -> int:
    """All cores but one, as vLLM itself takes them: OpenMP's threads spin, and the control plane must get its turn."""
    return max(1, min(machine_cores - 1, MOST_CPU_THREADS))
