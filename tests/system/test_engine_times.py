"""vLLM's histograms: of all engines of a model together, and of those that have gone."""

from pathlib import Path

import httpx

from actors.backends.base import Backend
from actors.backends.simulated import SimulatedBackend
from cluster.catalogue import Model
from cluster.measures import engine_times
from cluster.measures.engine_times import Times
from cluster.measures.histogram import Histogram
from tests.support.http_door import door
from tests.support.plain_system import SIM, PlainSystem, replicated, run, until
from tests.system.test_metrics import Samples, samples, scrape

FIRST = f"vllm:{engine_times.FIRST_TOKEN}"


class Counting(SimulatedBackend):
    """Counts a first token that took 0.2 s for each job that it is given, as vLLM's engines do."""

    def __init__(self, model: Model) -> None:
        super().__init__(model.engine)
        self._first = Histogram()

    @property
    def times(self) -> Times:
        return {engine_times.FIRST_TOKEN: self._first}

    def start(self, dispatches, *given) -> None:  # type: ignore[no-untyped-def]
        for _ in dispatches:
            self._first.add(0.2, engine_times.BOUNDS[engine_times.FIRST_TOKEN])
        super().start(dispatches, *given)


class System(PlainSystem):
    def new_backend(self, model: Model) -> Backend:
        return Counting(model)


async def told(system: PlainSystem) -> Samples:
    return samples(await scrape(system.gateway))


def test_they_are_of_a_model_and_do_not_go_backwards_when_an_engine_goes(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with System(tmp_path / "a.db", models=[replicated(SIM, 2)], nodes=2) as system:
            await system.ready()
            async with door(system.gateway) as api:
                await asked(api, 6)

                async def all_are_told() -> bool:
                    return (await told(system)).get(f"{FIRST}_count") == {("sim",): 6}

                await until(all_are_told, "both engines have handed in")
                before = await told(system)
                assert before[f"{FIRST}_bucket"]["0.1", "sim"] == 0
                assert before[f"{FIRST}_bucket"]["0.25", "sim"] == before[f"{FIRST}_bucket"]["+Inf", "sim"] == 6
                assert abs(before[f"{FIRST}_sum"]["sim",] - 1.2) < 1e-6
                assert len(before[f"{FIRST}_bucket"]) == len(engine_times.BOUNDS[engine_times.FIRST_TOKEN]) + 1
                for engine_id in system.known_engines():
                    system.kill_engine(engine_id)
                assert (await told(system))[f"{FIRST}_count"] == {("sim",): 6}
                await asked(api, 1)

                async def goes_on() -> bool:
                    return (await told(system))[f"{FIRST}_count"] == {("sim",): 7}

                await until(goes_on, "the next engine adds to them")

    run(scenario(), limit_s=40)


async def asked(api: httpx.AsyncClient, times: int) -> None:
    for _ in range(times):
        body = {"model": "sim", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 3}
        job = (await api.post("/api/v1/jobs", json=body)).json()["id"]
        assert (await api.get(f"/api/v1/jobs/{job}?wait=20")).json()["status"] == "completed"
