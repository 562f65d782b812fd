"""vllm-router, the vLLM project's own router, in front of vLLM's own server."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx

from api.cli.run.ports import free_port
from tests.benchmarks.dialects import ChatCompletions
from tests.benchmarks.servers import peers
from tests.benchmarks.servers.base import Server, clean_environment, marks
from tests.benchmarks.servers.vllm_server import VllmServer


class VllmRouter(Server):
    """The router as it comes, but for its policy: there is one server to choose from."""

    def __init__(self, folder: Path, behind: VllmServer) -> None:
        super().__init__(folder)
        self._behind = behind
        self._model = behind.dialect().model

    def dialect(self) -> ChatCompletions:
        return ChatCompletions(self.url, self._model)

    def _command(self) -> Sequence[str]:
        return [
            *(
                str(peers.installed(peers.VLLM_ROUTER, "bin/vllm-router")),
                "--host",
                "127.0.0.1",
                "--port",
                str(self.port),
            ),
            *("--worker-urls", self._behind.url, "--policy", "round_robin", "--log-level", "error"),
            *("--prometheus-host", "127.0.0.1", "--prometheus-port", str(free_port())),
        ]

    def _environment(self) -> Mapping[str, str]:
        return clean_environment() | marks(self.folder)

    def _is_ready(self) -> bool:
        return httpx.get(f"{self.url}/health").status_code == 200
