"""What an engine's process gets around it, what vLLM is asked for, and how its failures are told."""

import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from actors.backends import process_env
from actors.backends.base import Place
from actors.backends.failures import one_line
from actors.backends.vllm.environment import between_machines
from actors.backends.vllm.failures import FailureHandler, FailureLog
from actors.backends.vllm.making import engine_args
from cluster.catalogue import Model


def test_cpu_model_gets_threads_memory_and_no_pinning() -> None:
    env = process_env(Model(id="m", source="builtin:capitals", gpus=0), machine_cores=4)
    assert env["OMP_NUM_THREADS"] == "3"
    assert env["VLLM_CPU_KVCACHE_SPACE"] == "1"
    assert env["VLLM_CPU_OMP_THREADS_BIND"] == "nobind"
    assert env["HF_HUB_OFFLINE"] == "1"


@pytest.mark.parametrize(("cpus", "cores", "threads"), [(1.0, 1, "1"), (1.0, 2, "1"), (1.0, 64, "8"), (12.0, 64, "12")])
def test_cpu_threads(cpus: float, cores: int, threads: str) -> None:
    assert process_env(Model(id="m", gpus=0, cpus=cpus), cores)["OMP_NUM_THREADS"] == threads


def test_gpu_model_keeps_vllms_own_threads() -> None:
    env = process_env(Model(id="m", source="Qwen/Qwen2.5-14B-Instruct", gpus=1), machine_cores=64)
    assert "OMP_NUM_THREADS" not in env
    assert "HF_HUB_OFFLINE" not in env
    assert env["VLLM_NO_USAGE_STATS"] == env["DO_NOT_TRACK"] == "1"


def test_what_is_compiled_outlives_the_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    kept = tmp_path / "cache" / "infernet" / "torchinductor"
    assert process_env(Model(id="m", gpus=1), 8)["TORCHINDUCTOR_CACHE_DIR"] == str(kept)
    monkeypatch.delenv("XDG_CACHE_HOME")
    kept = Path.home() / ".cache" / "infernet" / "torchinductor"
    assert process_env(Model(id="m", gpus=1), 8)["TORCHINDUCTOR_CACHE_DIR"] == str(kept)
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "/chosen")
    assert process_env(Model(id="m", gpus=1), 8)["TORCHINDUCTOR_CACHE_DIR"] == "/chosen"


def test_the_catalogue_wins() -> None:
    model = Model(id="m", gpus=0, env={"OMP_NUM_THREADS": "3", "MINE": "yes"})
    env = process_env(model, machine_cores=8)
    assert (env["OMP_NUM_THREADS"], env["MINE"]) == ("3", "yes")


def test_simulated_model_needs_nothing() -> None:
    assert process_env(Model(id="m", backend="simulated", env={"A": "b"}), 8) == {"A": "b"}


@pytest.mark.parametrize(
    ("gpus", "engine", "expected"),
    [
        (0, {}, {"enforce_eager": True}),
        (0, {"enforce_eager": False}, {"enforce_eager": False}),
        (1, {"max_model_len": 8192}, {"max_model_len": 8192}),
        (2, {}, {"tensor_parallel_size": 2, "distributed_executor_backend": "mp"}),
    ],
)
def test_engine_args(gpus: int, engine: dict[str, Any], expected: dict[str, Any]) -> None:
    common = {"model": "/folder", "disable_log_stats": False}
    assert engine_args(Model(id="m", gpus=gpus, engine=engine), "/folder") == common | expected


def test_engine_args_of_a_part_differ_by_its_rank_alone() -> None:
    model = Model(id="m", gpus=8, machines=2, engine={"max_model_len": 8192})
    first, second = (engine_args(model, "/folder", Place(rank, f"10.0.0.{rank}", "10.0.0.0", 1234)) for rank in (0, 1))
    assert first == {
        "model": "/folder",
        "disable_log_stats": False,
        "tensor_parallel_size": 8,
        "pipeline_parallel_size": 2,
        "nnodes": 2,
        "node_rank": 0,
        "master_addr": "10.0.0.0",
        "master_port": 1234,
        "distributed_executor_backend": "mp",
        "max_model_len": 8192,
    }
    assert second == first | {"node_rank": 1}
    on_cpu = engine_args(replace(model, gpus=0), "/folder", Place(0, "10.0.0.0", "10.0.0.0", 1234))
    assert (on_cpu["pipeline_parallel_size"], on_cpu["enforce_eager"]) == (2, True)
    assert on_cpu["worker_cls"].startswith("actors.backends.vllm.")


def test_a_part_says_which_of_its_machines_addresses_and_interfaces_the_others_reach(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("VLLM_HOST_IP", "GLOO_SOCKET_IFNAME"):
        monkeypatch.delenv(name, raising=False)
    assert between_machines("127.0.0.1") == {"VLLM_HOST_IP": "127.0.0.1", "GLOO_SOCKET_IFNAME": "lo"}
    assert between_machines("192.0.2.7") == {"VLLM_HOST_IP": "192.0.2.7"}  # an address that is translated
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "eth7")
    assert between_machines("127.0.0.1") == {"VLLM_HOST_IP": "127.0.0.1"}


@pytest.fixture
def failures(monkeypatch: pytest.MonkeyPatch) -> Iterator[FailureLog]:
    monkeypatch.delenv("VLLM_LOGGING_CONFIG_PATH", raising=False)
    failures = FailureLog()
    failures.open({"version": 1, "handlers": {}, "loggers": {"vllm": {"handlers": []}}})
    yield failures
    failures.close()
    assert "VLLM_LOGGING_CONFIG_PATH" not in os.environ


def test_the_first_logged_failure_is_the_reason(failures: FailureLog) -> None:
    config = json.loads(Path(os.environ["VLLM_LOGGING_CONFIG_PATH"]).read_text())
    assert config["loggers"]["vllm"]["handlers"] == ["failures"]
    logger = logging.getLogger("test-failures")
    handler = FailureHandler(config["handlers"]["failures"]["path"])
    logger.addHandler(handler)
    for reason in ("not enough\nmemory", "the worker failed"):
        try:
            raise ValueError(reason)
        except ValueError:
            logger.exception("WorkerProc failed to start.")
    logger.removeHandler(handler)
    assert failures.reason(RuntimeError("See root cause above.")) == "ValueError: not enough memory"


def test_without_a_log_the_error_is_the_reason(failures: FailureLog) -> None:
    assert failures.reason(RuntimeError("no such\n model")) == "RuntimeError: no such model"


def test_one_line_is_short() -> None:
    assert len(one_line(ValueError("x" * 10_000))) == 500
    assert one_line(KeyboardInterrupt()) == "KeyboardInterrupt"
