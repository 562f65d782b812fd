"""The processes that vLLM starts below this one: which they are, that one was killed, and how they end."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing import connection
from threading import Thread
from typing import Any

import psutil

EXIT_TIMEOUT_S = 15.0
"""How long vLLM's processes get to end by themselves; on a busy machine they need five seconds."""


class EngineProcesses:
    """The processes that are started below this one after this object was made, until `complete`."""

    def __init__(self) -> None:
        self._others = set(_children())
        self._complete: list[psutil.Process] = []

    def complete(self) -> None:
        """All processes of the engine run now: those that start later are not the engine's."""
        self._complete = self._started()

    def end(self) -> None:
        """Terminate the engine's processes that still run, and kill those that do not obey. Blocks until done."""
        _end(self._complete or self._started())

    def _started(self) -> list[psutil.Process]:
        return [process for process in _children() if process not in self._others]


def watch(engine: Any, killed: Callable[[Exception], None]) -> Thread | None:
    """Call `killed`, from a thread that is returned, when a process of vLLM's LLMEngine `engine` ends.

    vLLM tells neither a step that waits nor an idle engine: the step is made to raise the error that `killed` is given.
    Returns None when `engine` did not start the processes itself.
    """
    client = engine.engine_core
    processes = getattr(getattr(client, "resources", None), "engine_manager", None)
    if processes is None:
        return None

    def wait() -> None:
        connection.wait(processes.sentinels())
        error = ChildProcessError("vLLM's engine process was killed, perhaps for lack of memory")
        killed(error)
        client.outputs_queue.put(error)

    thread = Thread(target=wait, name="vllm-watch", daemon=True)
    thread.start()
    return thread


def _children() -> list[psutil.Process]:
    """The processes below this one, but for multiprocessing's resource tracker, which serves them all."""
    return [
        process
        for process in psutil.Process().children(recursive=True)
        if not any("resource_tracker" in argument for argument in _command_line(process))
    ]


def _command_line(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:  # it has just ended
        return []


def _end(processes: Sequence[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    _, stubborn = psutil.wait_procs(processes, timeout=EXIT_TIMEOUT_S)
    for process in stubborn:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(stubborn, timeout=EXIT_TIMEOUT_S)
