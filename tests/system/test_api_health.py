"""Models, nodes, and whether jobs are taken, at the HTTP door."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
from msgspec.structs import replace

from actors.wire.calls import Unreachable
from api.replica.gateway import Gateway
from cluster.catalogue import Model, Price
from cluster.settings.schema import Settings
from cluster.timing import Timing
from tests.support.api_jobs import BODY, HANGING, completed, hung
from tests.support.http_door import bare_gateway, door, is_error, with_api
from tests.support.plain_system import PATIENCE_S, SIM, PlainSystem, run, until


def test_models_nodes_and_health(database: Path) -> None:
    idle = Model(id="big", backend="simulated", gpus=8, price=Price(0.25, 1.5))

    async def scenario(system: PlainSystem, client: httpx.AsyncClient) -> None:
        await completed(system, client)
        (model,) = (await client.get("/api/v1/models")).json()["models"]
        assert set(model) == {"id", "nodes", "avg_tokens_per_second"}
        assert (model["id"], model["nodes"]) == ("sim", 1)
        assert type(model["avg_tokens_per_second"]) is int
        assert model["avg_tokens_per_second"] > 0
        catalogue = (await client.get("/api/v1/models?all=true")).json()["models"]
        assert [(entry["id"], entry["state"], entry["replicas"]) for entry in catalogue] == [
            ("sim", "ready", 1),
            ("big", "failed", 0),
        ]
        assert [entry["price"] for entry in catalogue] == [
            {"prompt": 0.0, "completion": 0.0},
            {"prompt": 0.25, "completion": 1.5},
        ]
        assert (await client.get("/api/v1/models?all=false")).json()["models"] == [model]

        node_id = system.node_ids[0]
        (node,) = (await client.get("/api/v1/nodes")).json()["nodes"]
        assert (node["id"], node["status"], node["models"]) == (node_id, "online", ["sim"])
        assert (await client.get(f"/api/v1/nodes/{node_id}")).json()["id"] == node_id
        assert is_error(await client.get("/api/v1/nodes/node_0"), 404, "node_not_found")
        async with door(system.gateway, key=None) as stranger:
            assert (await stranger.get(f"/api/v1/nodes/{node_id}/status")).json() == {"status": "online"}
            assert is_error(await stranger.get("/api/v1/nodes/node_0/status"), 404, "node_not_found")
            assert (await stranger.get("/healthz")).status_code == 200
            assert (await stranger.get("/readyz")).status_code == 200
            assert (await stranger.get("/openapi.json")).status_code == 200
            assert is_error(await stranger.get("/nowhere"), 404, "not_found")

    with_api(database, scenario, models=[SIM, idle])


def test_not_ready_when_no_model_can_be(database: Path) -> None:
    async def main() -> None:
        models = [Model(id="big", backend="simulated", gpus=8)]
        async with PlainSystem(database, models=models) as system, door(system.gateway) as client:
            await until(lambda: not system.scheduler.fleet.models.views({}, 0.0)[0].fits)
            for path in ("/readyz", "/health", "/ping"):
                assert is_error(await client.get(path), 503, "no_capacity")
            response = await client.post("/api/v1/jobs", json=BODY | {"model": "big"})
            assert is_error(response, 503, "no_capacity")
            assert system.rows("SELECT count(*) FROM jobs") == [(0,)]

    run(main())


class Silent:
    """A control plane that does not answer."""

    def __getattr__(self, method: str) -> Any:
        async def wait_forever(*_: Any) -> Any:
            await asyncio.Event().wait()

        return wait_forever


def test_not_ready_when_the_control_plane_does_not_answer_and_metrics_say_so() -> None:
    silent: Any = Silent()
    impatient = Timing(health_s=0.01)
    gone = bare_gateway(error=Unreachable("scheduler"))

    async def main() -> None:
        nobody = Gateway(Settings(models=(SIM,)), silent, silent, silent, silent, timing=impatient)
        for gateway, counts in ((nobody, 0), (gone, 1)):
            async with door(gateway, key=None) as client:
                assert is_error(await client.get("/readyz"), 503, "no_capacity", "control plane")
                assert (await client.get("/healthz")).json() == {"status": "ok"}
                metrics = await client.get("/metrics")
                assert metrics.status_code == 200
                samples = [line for line in metrics.text.splitlines() if not line.startswith("#")]
                assert samples.pop().startswith("infernet_build_info{")
                up = {"scheduler": 0, "ledger": 0, "database": 0, "rate_limiter": counts, "journal": 0}
                assert samples == [f'infernet_up{{part="{part}"}} {value}.0' for part, value in up.items()]

    run(main())


def test_not_ready_when_all_queues_are_full(database: Path) -> None:
    async def scenario(system: PlainSystem, client: httpx.AsyncClient) -> None:
        await hung(system, client)
        assert (await client.get("/readyz")).status_code == 200
        assert (await client.post("/api/v1/jobs", json=BODY)).status_code == 200
        assert is_error(await client.get("/readyz"), 503, "no_capacity", "full")
        assert is_error(await client.post("/api/v1/jobs", json=BODY), 503, "no_capacity")

    with_api(database, scenario, models=[replace(HANGING, max_queue=1)])


def test_not_ready_while_it_stops_and_what_is_submitted_is_to_come_back(database: Path) -> None:
    async def scenario(system: PlainSystem, client: httpx.AsyncClient) -> None:
        await hung(system, client)
        stopping = asyncio.create_task(system.scheduler.quiesce(PATIENCE_S))
        await until(lambda: system.scheduler.leases.quiescent)
        for path in ("/readyz", "/health", "/ping"):
            assert is_error(await client.get(path), 503, "no_capacity", "shutting down")
        for path in ("/api/v1/jobs", "/v1/chat/completions"):
            response = await client.post(path, json=BODY)
            assert response.status_code == 503
            assert response.headers["Retry-After"] == "1"
        assert not stopping.done()
        stopping.cancel()

    with_api(database, scenario, models=[HANGING])
