"""The main job once, from nothing to nothing: what `infernet demo` does."""

import asyncio
from pathlib import Path

from actors.directory import SCHEDULER
from api.cli.client import Client
from api.cli.connection import Connection
from api.cli.render import Step, console, json_text
from api.cli.run import run_log, system
from api.cli.run.door.limits import Limits, open_files
from api.cli.run.ports import free_port
from api.cli.run.ray_cluster import OwnCluster
from api.cli.settings import flags_layer, read_settings
from cluster.clock import wall_ms
from cluster.errors import StartError
from cluster.release import Release
from cluster.settings.schema import Settings

_MODEL = "capitals"
_QUESTION = {
    "model": _MODEL,
    "messages": [
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "user", "content": "What is the capital of France?"},
    ],
    "max_tokens": 256,
    "temperature": 0.7,
    "stream": True,
}
_LOOK_S = 0.25
_RATE_LIMIT_HEADERS = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")


def run(folder: Path) -> None:
    """Start everything, ask one question, show the answer, and stop everything. `folder` is the demo's own."""
    # Neither the user's settings nor the user's database: the demo is the same everywhere.
    settings = read_settings(None, flags_layer(None, None, free_port(), None), {}, folder)
    with run_log.written(folder) as logs:
        cluster = OwnCluster(folder, logs, Limits.of(settings.server, open_files()))
        system.run(_demo(settings, folder, cluster))


async def _demo(settings: Settings, folder: Path, cluster: OwnCluster) -> None:
    async with system.running(Release(settings, wall_ms()), folder, cluster, first_key=None) as (url, admin_key):
        with Step("Loading the model `capitals` into vLLM"):
            await _model_ready()
        assert admin_key is not None
        await asyncio.to_thread(_ask, Connection(url, admin_key))
    console.print(_HOW_TO_GO_ON)


async def _model_ready() -> None:
    while True:
        (view,) = await SCHEDULER.at().models()
        if view.state == "ready":
            return
        if view.state == "failed":
            raise StartError(f"model {view.id} does not load: {view.message}")
        await asyncio.sleep(_LOOK_S)


def _ask(connection: Connection) -> None:
    with Client(connection) as client:
        console.print(f"\nPOST {connection.url}/api/v1/jobs\n{json_text(_QUESTION)}\n")
        for text in client.stream(_QUESTION):
            console.print(text, end="", markup=False)
        console.print("\n")
        job_id = client.headers["X-Job-Id"]
        limits = {name: client.headers[name] for name in _RATE_LIMIT_HEADERS}
        console.print("\n".join(f"{name}: {value}" for name, value in limits.items()))
        console.print(f"\nGET /api/v1/jobs/{job_id}\n{json_text(client.job(job_id))}")
        console.print(f"\nGET /api/v1/models\n{json_text(client.models())}\n")


_HOW_TO_GO_ON = """
To keep it running:            .venv/bin/infernet up
To serve a model of your own:  .venv/bin/infernet up --model FOLDER_OR_HUB_ID
To ask it:                     .venv/bin/infernet chat "What is the capital of Italy?"
"""
