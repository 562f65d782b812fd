"""Why vLLM failed, in one line.

vLLM runs in processes of its own, and to the one that started them it says only "see root cause above". The
cause is in what those processes log. They are told, in vLLM's own way (`VLLM_LOGGING_CONFIG_PATH`), to write
the errors they log to a file as well; the first one there is the root cause.
"""

import json
import logging
import os
import tempfile
from copy import deepcopy
from pathlib import Path
from typing import Any

from actors.backends.failures import one_line
from actors.backends.vllm.adapter_files import AdapterRefused

_CONFIG_PATH = "VLLM_LOGGING_CONFIG_PATH"
_PREFIX = "infernet-vllm-"


class FailureHandler(logging.Handler):
    """Appends the exception of each error record to a file, as one line. Several processes write to it."""

    def __init__(self, path: str) -> None:
        super().__init__(logging.ERROR)
        self._path = path

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            with Path(self._path).open("a", encoding="utf-8") as file:
                file.write(one_line(error) + "\n")


class FailureLog:
    """Where the processes started while it is open say why they failed."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix=_PREFIX)
        self._path = Path(self._folder.name) / "failures"

    def open(self, logging_config: dict[str, Any]) -> None:
        """Have processes log by `logging_config`, vLLM's own, and here. A user's own configuration stays."""
        if _PREFIX not in os.environ.get(_CONFIG_PATH, _PREFIX):
            return
        config = deepcopy(logging_config)
        handler = {"class": f"{__name__}.{FailureHandler.__name__}", "path": str(self._path)}
        config["handlers"]["failures"] = handler
        config["loggers"]["vllm"]["handlers"].append("failures")
        path = Path(self._folder.name) / "logging.json"
        path.write_text(json.dumps(config))
        os.environ[_CONFIG_PATH] = str(path)

    def reason(self, error: BaseException) -> str:
        """The root cause when one was logged, else what `error` says. What is said of an adapter is all there is."""
        if isinstance(error, AdapterRefused):
            return str(error)
        logged = self._path.read_text(encoding="utf-8").splitlines() if self._path.exists() else []
        return logged[0] if logged else one_line(error)

    def forget(self) -> None:
        """What was logged until now was of an engine that there is no more."""
        self._path.unlink(missing_ok=True)

    def close(self) -> None:
        if os.environ.get(_CONFIG_PATH, "").startswith(self._folder.name):
            del os.environ[_CONFIG_PATH]
        self._folder.cleanup()
