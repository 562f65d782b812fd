"""`ray.serve.llm`, Ray's own way to serve a model with vLLM."""

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx

from actors.backends import process_env
from actors.backends.vllm.making import engine_args
from api.cli.run import runs
from api.cli.run.ray_cluster import haproxy_apart
from cluster.catalogue import Model
from tests.benchmarks.dialects import ChatCompletions
from tests.benchmarks.servers import peers
from tests.benchmarks.servers.base import Server, clean_environment


class RayServeLlm(Server):
    """`ray.serve.llm` on a Ray of its own, with the engine arguments and environment of an engine of this project.

    `tuned` is what its guide to high throughput advises: HAProxy in front, Serve optimised for throughput, and the
    stream sent straight from the model's replica. Ray's processes run at nice 0 either way, as this project's do.
    """

    def __init__(self, folder: Path, model: Model, tuned: bool) -> None:
        super().__init__(folder)
        self._model = model
        self._tuned = tuned
        # Ray's sockets lie under it, and their paths may have 107 characters.
        self._temp = Path(tempfile.mkdtemp(prefix="rsl-", dir="/tmp"))

    def dialect(self) -> ChatCompletions:
        return ChatCompletions(self.url, self._model.id)

    def _command(self) -> Sequence[str]:
        engine = engine_args(self._model, self._model.source)
        app = {
            "temp": str(self._temp / "ray"),
            "port": self.port,
            "model": self._model.id,
            "source": engine.pop("model"),
            "gpus": self._model.gpus,
            "engine": engine,
            "env": process_env(self._model, os.cpu_count() or 1),
        }
        file = self.folder / "app.json"
        file.write_text(json.dumps(app))
        return [sys.executable, "-m", "tests.benchmarks.servers.ray_serve_app", str(file)]

    def _environment(self) -> Mapping[str, str]:
        # What ray.serve.llm imports and this project does not.
        overlay = peers.installed(peers.RAY_SERVE_LLM, "pyarrow").parent
        return (
            clean_environment()
            | {"PYTHONPATH": os.pathsep.join([str(overlay), str(Path.cwd())]), "RAY_worker_niceness": "0"}
            | {"RAY_USAGE_STATS_ENABLED": "0", "TMPDIR": str(self._temp), "SPT_NOENV": "1"}
            | {runs.MARK: str(self.folder)}
            | (self._tuning() if self._tuned else {})
        )

    def _tuning(self) -> dict[str, str]:
        """The three switches; the rest keeps HAProxy's files and ports apart from those of other systems."""
        return {
            "RAY_SERVE_ENABLE_HA_PROXY": "1",
            "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
            "RAY_SERVE_LLM_ENABLE_DIRECT_STREAMING": "1",
            **haproxy_apart(self._temp),
            "RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S": "5",
        }

    def _is_ready(self) -> bool:
        answer = httpx.get(f"{self.url}/v1/models")
        return answer.status_code == 200 and self._model.id in answer.text

    def _end(self) -> None:
        super()._end()
        shutil.rmtree(self._temp, ignore_errors=True)
