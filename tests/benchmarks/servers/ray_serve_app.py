"""Serves one model with `ray.serve.llm` until SIGINT: python -m tests.benchmarks.servers.ray_serve_app APP.json"""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import ray
from ray import serve

_SPARE_CPUS = 4


def main() -> None:
    app: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text())
    ending = {signal.SIGINT, signal.SIGTERM}
    ray.init(
        address="local",
        # What Ray books, not what there is: with as few as two, the model's replica leaves none to the ingress.
        num_cpus=(os.cpu_count() or 1) + _SPARE_CPUS,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
        _temp_dir=app["temp"],
    )
    try:
        _deploy(app)
        signal.pthread_sigmask(signal.SIG_BLOCK, ending)
        signal.sigwait(ending)
    except KeyboardInterrupt:
        pass  # ended while it was starting
    finally:
        # HAProxy outlives a Ray that ends before Serve does.
        serve.shutdown()
        ray.shutdown()


def _deploy(app: dict[str, Any]) -> None:
    from ray.serve.llm import LLMConfig, build_openai_app

    config = LLMConfig(
        model_loading_config={"model_id": app["model"], "model_source": app["source"]},
        engine_kwargs=app["engine"],
        accelerator_config={"kind": "gpu" if app["gpus"] else "cpu"},
        runtime_env={"env_vars": app["env"]},
        deployment_config={"autoscaling_config": {"min_replicas": 1, "max_replicas": 1}},
        # Like --disable-log-stats of vLLM's own server.
        log_engine_metrics=False,
    )
    serve.start(http_options={"host": "127.0.0.1", "port": app["port"]}, logging_config={"enable_access_log": False})
    serve.run(build_openai_app({"llm_configs": [config]}), name="llm")


if __name__ == "__main__":
    main()
