"""The systems under test, started."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import psutil

from cluster.catalogue import Model
from tests.benchmarks.dialects import ChatCompletions, Dialect, Jobs
from tests.benchmarks.servers import Infernet, LitellmProxy, RayServeLlm, Server, VllmRouter, VllmServer
from tests.benchmarks.throughput import names


@dataclass(frozen=True)
class Candidate:
    """A system under test, and how to talk to it. Its servers are the one that is asked and those behind it."""

    name: str
    servers: Sequence[Server]
    dialect: Dialect

    def processes(self) -> list[psutil.Process]:
        return [process for server in self.servers for process in server.processes()]


class Starter:
    """Starts servers, each when the first system that needs it is asked for; `stack` ends them.

    Requests to each have these `fields` too.
    """

    def __init__(
        self, folder: Path, model: Model, fields: Mapping[str, Any], ingress_replicas: int, stack: ExitStack
    ) -> None:
        self._folder = folder
        self._model = model
        self._fields = fields
        self._ingress_replicas = ingress_replicas
        self._stack = stack

    def start(self, name: str) -> Candidate:
        """Raises ChildProcessError when it does not start, or is not installed."""
        starts: dict[str, Callable[[], Candidate]] = {
            names.VLLM: lambda: self._candidate(name, [self._vllm], self._vllm.dialect()),
            names.INFERNET: lambda: self._candidate(name, [self._infernet], self._infernet.dialect(self._model.id)),
            names.INFERNET_CHAT: lambda: self._candidate(
                name, [self._infernet], self._infernet.chat_dialect(self._model.id)
            ),
            names.INFERNET_UNCOUNTED: lambda: self._candidate(
                name, [self._uncounted], self._uncounted.dialect(self._model.id)
            ),
            names.RAY_SERVE_LLM: lambda: self._ray_serve_llm(name, tuned=False),
            names.RAY_SERVE_LLM_TUNED: lambda: self._ray_serve_llm(name, tuned=True),
            names.VLLM_ROUTER: lambda: self._proxy(name, VllmRouter),
            names.LITELLM: lambda: self._proxy(name, LitellmProxy),
        }
        return starts[name]()

    def _candidate(self, name: str, servers: Sequence[Server], dialect: Jobs | ChatCompletions) -> Candidate:
        return Candidate(name, servers, replace(dialect, fields=self._fields))

    @cached_property
    def _vllm(self) -> VllmServer:
        return self._stack.enter_context(VllmServer(self._folder / names.VLLM, self._model))

    @cached_property
    def _infernet(self) -> Infernet:
        return self._start_infernet(names.INFERNET, {})

    @cached_property
    def _uncounted(self) -> Infernet:
        return self._start_infernet(names.INFERNET_UNCOUNTED, {"disable_log_stats": True})

    def _start_infernet(self, name: str, engine: Mapping[str, Any]) -> Infernet:
        model = self._model
        entry = {"id": model.id, "source": model.source, "gpus": model.gpus, "engine": {**model.engine, **engine}}
        entry["env"] = dict(model.env)
        return self._stack.enter_context(Infernet(self._folder / name, [entry], self._ingress_replicas))

    def _ray_serve_llm(self, name: str, tuned: bool) -> Candidate:
        server = self._stack.enter_context(RayServeLlm(self._folder / name, self._model, tuned))
        return self._candidate(name, [server], server.dialect())

    def _proxy(self, name: str, kind: type[VllmRouter] | type[LitellmProxy]) -> Candidate:
        server = self._stack.enter_context(kind(self._folder / name, self._vllm))
        return self._candidate(name, [server, self._vllm], server.dialect())
