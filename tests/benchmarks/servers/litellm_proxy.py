"""LiteLLM's proxy in front of vLLM's own server."""

import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx
import yaml

from tests.benchmarks.dialects import ChatCompletions
from tests.benchmarks.servers import peers
from tests.benchmarks.servers.base import Server, clean_environment, marks
from tests.benchmarks.servers.vllm_server import VllmServer


class LitellmProxy(Server):
    """The proxy as its makers advise for production: one worker, errors logged only, a key.

    It has no database: keys of users' own would need one.
    """

    def __init__(self, folder: Path, behind: VllmServer) -> None:
        super().__init__(folder)
        self._model = behind.dialect().model
        self._key = f"sk-{secrets.token_hex(16)}"
        target = {"model": f"hosted_vllm/{self._model}", "api_base": f"{behind.url}/v1", "api_key": "none"}
        settings = {
            "model_list": [{"model_name": self._model, "litellm_params": target}],
            "general_settings": {"master_key": self._key},
            "litellm_settings": {"telemetry": False, "set_verbose": False, "request_timeout": 600, "num_retries": 0},
        }
        self._config = folder / "litellm.yaml"
        self._config.write_text(yaml.safe_dump(settings))

    def dialect(self) -> ChatCompletions:
        return ChatCompletions(self.url, self._model, self._key)

    def _command(self) -> Sequence[str]:
        return [
            *(str(peers.installed(peers.LITELLM, "bin/litellm")), "--config", str(self._config)),
            *("--host", "127.0.0.1", "--port", str(self.port), "--num_workers", "1"),
        ]

    def _environment(self) -> Mapping[str, str]:
        quiet = {"LITELLM_LOG": "ERROR", "LITELLM_MODE": "PRODUCTION", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
        return clean_environment() | marks(self.folder) | quiet

    def _is_ready(self) -> bool:
        return httpx.get(f"{self.url}/health/readiness").status_code == 200
