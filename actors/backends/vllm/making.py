"""How an engine of vLLM's is made of a model.

vLLM is imported when one is made, which takes 14 s.
"""

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from actors.backends.base import Place
from actors.backends.phases import Phases
from actors.backends.vllm import media, processes, structured
from actors.backends.vllm.adapter_files import AdapterRefused, AdaptersRead, read_all
from actors.backends.vllm.adapters import Adapters
from actors.backends.vllm.adapters import engine_args as adapter_args
from actors.backends.vllm.engine import VllmEngine
from actors.backends.vllm.environment import between_machines
from actors.backends.vllm.figures import Figures
from actors.machine import scheduling_class
from cluster.catalogue import Model, is_local
from cluster.conversation import SERVER_OPTIONS
from cluster.parallelism import split

# Named and not imported: it imports vLLM.
_CPU_STAGE = "actors.backends.vllm.cpu_stage.CpuStage"


def engine_args(model: Model, source: str, place: Place | None = None) -> dict[str, Any]:
    """vLLM's EngineArgs for `model`: what the catalogue says of the engine, above a few defaults.

    With a `place`, those of its part there: all parts of an engine are told the same, but for their rank.
    """
    args: dict[str, Any] = {"model": source, "disable_log_stats": False}
    if model.gpus == 0:
        args["enforce_eager"] = True  # compiling takes minutes on a CPU
    if place is not None:
        args |= _spread(model, place)
    elif model.gpus > 1:
        args |= {"tensor_parallel_size": split(model).tensors, "distributed_executor_backend": "mp"}
    return args | {name: value for name, value in model.engine.items() if name not in SERVER_OPTIONS}


def _spread(model: Model, place: Place) -> dict[str, Any]:
    whole = split(model)
    args = {
        "tensor_parallel_size": whole.tensors,
        "pipeline_parallel_size": whole.layers,
        "nnodes": model.machines,
        "node_rank": place.rank,
        "master_addr": place.meeting_address,
        "master_port": place.meeting_port,
        "distributed_executor_backend": "mp",
    }
    return args if model.gpus else args | {"worker_cls": _CPU_STAGE}


def make_engine_args(
    model: Model,
    source: str,
    log_failures: Callable[[dict[str, Any]], None],
    place: Place | None = None,
    adapters: AdaptersRead | None = None,
) -> Any:
    """vLLM's EngineArgs, once vLLM is imported and what it starts is set up.

    `log_failures` is called with vLLM's logging configuration before vLLM starts processes. `adapters` are the model's,
    where they have been read. Raises AdapterRefused, and what vLLM raises.
    """
    if is_local(source) and not Path(source).is_dir():
        raise FileNotFoundError(f"there is no folder {source}")  # vLLM would say it of a hub id
    if adapters is None:
        adapters = read_all(model, source)
    if place is not None:
        os.environ.update(between_machines(place.address))

    from vllm.config import StructuredOutputsConfig
    from vllm.engine.arg_utils import EngineArgs
    from vllm.logger import DEFAULT_LOGGING_CONFIG

    log_failures(DEFAULT_LOGGING_CONFIG)
    args = adapter_args(model, adapters.files.values()) | engine_args(model, source, place)
    structured_outputs = {**structured.CONFIG, **args.get("structured_outputs_config", {})}
    args["structured_outputs_config"] = StructuredOutputsConfig(**structured_outputs)
    return EngineArgs(**args)


def _keep_dialogues_out_of_the_log() -> None:
    """vLLM logs what a chat template raises, which may quote the dialogue. Whoever waits for the answer is told."""
    logging.getLogger("vllm.renderers.hf").addFilter(_has_no_error)


def _has_no_error(record: logging.LogRecord) -> bool:
    return record.exc_info is None


def make_engine(
    model: Model,
    source: str,
    sockets: str,
    log_failures: Callable[[dict[str, Any]], None],
    phases: Phases,
    place: Place | None = None,
) -> VllmEngine:
    """Load `model` from `source` into a new engine, whose sockets are in the folder `sockets`.

    Otherwise as `make_engine_args`.
    """
    if model.adapters:
        phases.begin("reading the adapters")
    adapters = read_all(model, source)
    phases.begin("importing vLLM")
    _keep_dialogues_out_of_the_log()
    args = make_engine_args(model, source, log_failures, place, adapters)
    media.install()

    from vllm.usage.usage_lib import UsageContext
    from vllm.v1.engine.llm_engine import LLMEngine

    os.environ["VLLM_RPC_BASE_PATH"] = sockets
    phases.begin("starting vLLM's engine and loading the weights")
    with scheduling_class.ordinary():
        engine = LLMEngine.from_engine_args(
            args,
            # It chooses the batch sizes that suit the hardware: those of a server.
            usage_context=UsageContext.OPENAI_API_SERVER,
            enable_multiprocessing=True,
        )
    loaded = _loaded(engine, model, adapters, phases)
    return VllmEngine(engine, model.conversation, loaded, Figures().install(engine))


def _loaded(engine: Any, model: Model, read: AdaptersRead, phases: Phases) -> Adapters:
    """The model's adapters, each of which vLLM has loaded once.

    Raises AdapterRefused for one of the settings, and vLLM is shut down. What admins have added is left out.
    """
    adapters = Adapters(engine, model)
    if model.adapters:
        phases.begin("loading the adapters")
    for adapter in model.adapters:
        if (reason := read.refused.get(adapter.number)) is not None:
            adapters.refuse(adapter, reason)
            continue
        try:
            adapters.know(adapter, read.files[adapter.number])
        except AdapterRefused:
            if not adapter.added_ms:
                engine.engine_core.shutdown(timeout=processes.EXIT_TIMEOUT_S)
                raise
    return adapters
