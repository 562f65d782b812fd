"""LiteLLM's proxy in front of vLLM's own server."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx
import yaml

from tests.benchmarks.dialects import ChatCompletions
from tests.benchmarks.servers.base import Server, clean_environment, marks
from tests.benchmarks.servers.peers import installed
from tests.benchmarks.servers.vllm_server import VllmServer


class LitellmProxy(Server):
    """The proxy as its makers advise for production: one worker, errors logged only; with no database and no keys."""

    def __init__(self, folder: Path, behind: VllmServer) -> None:
        super().__init__(folder)
        self._model = behind.dialect().model
        target = {"model": f"hosted_vllm/{self._model}", "api_base": f"{behind.url}/v1", "api_key": "none"}
        settings = {
            "model_list": [{"model_name": self._model, "litellm_params": target}],
            "litellm_settings": {"telemetry": False, "set_verbose": False, "request_timeout": 600, "num_retries": 0},
        }
        self._config = folder / "litellm.yaml"
        self._config.write_text(yaml.safe_dump(settings))

    def dialect(self) -> ChatCompletions:
        return ChatCompletions(self.url, self._model)

    def _command(self) -> Sequence[str]:
        return [
            *(str(installed("litellm", "bin/litellm")), "--config", str(self._config)),
            *("--host", "127.0.0.1", "--port", str(self.port), "--num_workers", "1"),
        ]

    def _environment(self) -> Mapping[str, str]:
        quiet = {"LITELLM_LOG": "ERROR", "LITELLM_MODE": "PRODUCTION", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
        return clean_environment() | marks(self.folder) | quiet

    def _is_ready(self) -> bool:
        return httpx.get(f"{self.url}/health/readiness").status_code == 200
