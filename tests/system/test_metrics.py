"""GET /metrics: clean by Prometheus' own rules, the same whole at every replica, and for whom it is meant."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec.structs import replace
from prometheus_client.parser import text_string_to_metric_families

from api.replica.gateway import Gateway
from api.system.metrics.page import Page
from cluster.ids import EngineId, NodeId
from cluster.measures import buckets
from cluster.messages.machines import EngineFigures, EngineReport, Gpu, GpuLoad, Hardware, NodeView
from tests.support.http_door import door, is_error, names_field, with_api
from tests.support.plain_system import ADMIN_KEY, PlainSystem, until

JOB: dict[str, Any] = {"model": "sim", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 7}
KEY = "scrape-me"

Samples = dict[str, dict[tuple[str, ...], float]]


def samples(text: str) -> Samples:
    """The values of every series, by its name and the values of its labels in the order of their names."""
    found: Samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = tuple(value for _, value in sorted(sample.labels.items()))
            of_name = found.setdefault(sample.name, {})
            assert labels not in of_name, f"{sample.name}{labels} twice"
            of_name[labels] = sample.value
    return found


def series(text: str) -> set[tuple[str, tuple[str, ...]]]:
    return {(name, labels) for name, of_name in samples(text).items() for labels in of_name}


async def scrape(gateway: Gateway, query: str = "") -> str:
    async with door(gateway, key=None) as prometheus:
        answer = await prometheus.get(f"/metrics{query}")
        assert answer.status_code == 200, answer.text
        return answer.text


def faults(text: str) -> list[str]:
    """What promtool finds wrong."""
    checked = subprocess.run(["promtool", "check", "metrics"], input=text, text=True, capture_output=True, check=False)
    return [line for line in (checked.stdout + checked.stderr).splitlines() if line]


def on_a_gpu() -> NodeView:
    """A machine with two GPUs, of which the driver tells of one, and an engine of vLLM's."""
    figures = EngineFigures(3, 2, 0.25, 100, 40, generation_tokens=77, request_success={"stop": 5, "length": 1})
    engine = EngineReport(EngineId("m/1"), "m", NodeId("node_gpu"), "ready", figures=figures)
    hardware = Hardware("host", 8.0, 1 << 36, 2, (Gpu("H200", 1 << 37), Gpu("H200", 1 << 37)))
    loads = (GpuLoad(1 << 36, 0.5), GpuLoad(None, None))
    return NodeView(NodeId("node_gpu"), "online", 1, hardware, (engine,), (), loads)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_promtool_finds_nothing_wrong_but_vllms_own_colons(database: Path) -> None:
    async def scenario(system: PlainSystem, client: httpx.AsyncClient) -> None:
        done = (await client.post("/api/v1/jobs", json=JOB)).json()["id"]
        await system.ended(done)
        assert (await client.post("/api/v1/jobs", json=JOB | {"model": "none"})).status_code == 404
        assert (await client.get(f"/api/v1/jobs/{done}/stream?after=1")).status_code == 200
        state = await system.gateway.health.state()
        whole = state._replace(nodes=[*(state.nodes or ()), on_a_gpu()])
        assert faults(Page(whole, "system").text().decode()) == []
        of_engines = Page(whole, "engines").text().decode()
        assert faults(of_engines) != []
        assert all("should not contain ':'" in fault for fault in faults(of_engines))
        assert Page(whole).text().decode() == Page(whole, "system").text().decode() + of_engines

    with_api(database, scenario)


def test_what_happened_is_told(database: Path) -> None:
    async def scenario(system: PlainSystem, client: httpx.AsyncClient) -> None:
        for _ in range(3):
            done = (await client.post("/api/v1/jobs", json=JOB)).json()["id"]
            await system.ended(done)
        assert (await client.get(f"/api/v1/jobs/{done}/stream")).status_code == 200
        assert (await client.get(f"/api/v1/jobs/{done}/stream?after=3")).status_code == 200
        await until(lambda: system.scheduler.leases.idle, "an engine that is idle")
        told = samples(await scrape(system.gateway))
        assert told["infernet_jobs_total"] == {("sim", "completed"): 3, ("sim", "failed"): 0}
        assert told["infernet_tokens_total"]["completion", "sim"] == 21
        attempts = told["infernet_attempts_total"]
        assert attempts.pop(("new_job", "sim")) == 3
        assert len(attempts) > 5
        assert set(attempts.values()) == set(told["infernet_jobs_failed_total"].values()) == {0}
        of_model = ("chat", "infernet", "sim")
        for name, bounds, count in (
            ("gen_ai_server_request_duration_seconds", buckets.DURATION_S, 3),
            ("gen_ai_server_time_to_first_token_seconds", buckets.FIRST_TOKEN_S, 3),
            ("gen_ai_server_time_per_output_token_seconds", buckets.PER_TOKEN_S, 3),
        ):
            by_labels = {labels[-3:]: value for labels, value in told[f"{name}_count"].items()}
            assert by_labels == {of_model: count}
            assert len(told[f"{name}_bucket"]) == len(bounds) + 1
        assert told["gen_ai_client_token_usage_sum"][("chat", "infernet", "sim", "output")] == 21
        assert told["infernet_queue_wait_seconds_count"] == {("sim",): 3}
        assert told["infernet_move_gap_seconds_count"] == {("sim",): 0}
        assert told["infernet_requests_total"]["200", "POST", "/api/v1/jobs"] == 3
        assert told["infernet_requests_total"]["200", "GET", "/api/v1/jobs/{job_id}/stream"] == 2
        assert told["infernet_limiter_decisions_total"] == {("submissions", "allowed"): 3, ("reads", "allowed"): 2}
        assert told["infernet_streams_total"] == {("new",): 1, ("resumed",): 1}
        assert told["infernet_streams_open"] == {(): 0}
        assert told["infernet_replicas_wanted"] == {("sim",): 1}
        assert told["infernet_leases"] == {("sim",): 0}
        assert told["infernet_budget_reserved"] == {("tokens",): 0, ("money",): 0}

    with_api(database, scenario)


def test_every_replica_tells_the_whole_and_one_that_has_gone_is_still_counted(database: Path) -> None:
    async def scenario(system: PlainSystem, client: httpx.AsyncClient) -> None:
        other = system.new_gateway()
        await other.start()
        async with door(other) as at_the_other:
            for asked, times in ((client, 3), (at_the_other, 4)):
                for _ in range(times):
                    assert (await asked.get("/api/v1/models")).status_code == 200

        async def count(gateway: Gateway) -> float:
            return samples(await scrape(gateway))["infernet_requests_total"]["200", "GET", "/api/v1/models"]

        async def is_whole() -> bool:
            return await count(system.gateway) == await count(other) == 7

        await until(is_whole, "both replicas telling the same")
        await other.stop()
        assert await count(system.gateway) == 7
        await system.ledger.stop()
        await system.start_ledger()
        assert await count(system.gateway) == 7
        await system.restart_scheduler()
        await system.restart_journal()
        assert await count(system.gateway) == 7

    with_api(database, scenario)


def test_streams_are_counted_while_they_are_read(database: Path) -> None:
    async def scenario(system: PlainSystem, client: httpx.AsyncClient) -> None:
        with system.gateway.counts.stream(resumes=False), system.gateway.counts.stream(resumes=True):
            assert samples(await scrape(system.gateway))["infernet_streams_open"] == {(): 2}
        assert samples(await scrape(system.gateway))["infernet_streams_open"] == {(): 0}

    with_api(database, scenario)


def test_engines_and_gpus_are_told_by_their_own_names(database: Path) -> None:
    async def scenario(system: PlainSystem, client: httpx.AsyncClient) -> None:
        state = await system.gateway.health.state()
        told = samples(Page(state._replace(nodes=[*(state.nodes or ()), on_a_gpu()])).text().decode())
        engine = ("m/1", "m")
        assert told["vllm:num_requests_running"] == {engine: 3}
        assert told["vllm:kv_cache_usage_perc"] == {engine: 0.25}
        assert told["vllm:prefix_cache_hits_total"] == {engine: 40}
        assert told["vllm:generation_tokens_total"] == {engine: 77}
        assert told["vllm:request_success_total"] == {("m/1", "length", "m"): 1, ("m/1", "stop", "m"): 5}
        gpu = ("0", "node_gpu")
        assert told["infernet_gpu_memory_bytes"] == {gpu: 1 << 37, ("1", "node_gpu"): 1 << 37}
        assert told["infernet_gpu_memory_used_bytes"] == {gpu: 1 << 36}
        assert told["infernet_gpu_utilization_ratio"] == {gpu: 0.5}

    with_api(database, scenario)


def test_parts_of_it_can_be_asked_for(database: Path) -> None:
    async def scenario(system: PlainSystem, client: httpx.AsyncClient) -> None:
        await scrape(system.gateway)  # which is counted, and told by the next ones
        whole = set(samples(await scrape(system.gateway)))
        assert set(samples(await scrape(system.gateway, "?part=system"))) == whole
        assert samples(await scrape(system.gateway, "?part=engines")) == {}
        assert names_field(await client.get("/metrics?part=other"), "part")
        assert names_field(await client.get("/metrics?only=engines"), "only")

    with_api(database, scenario)


def test_with_a_key_they_are_for_who_has_it_and_for_admins(database: Path) -> None:
    async def scenario(system: PlainSystem, client: httpx.AsyncClient) -> None:
        member = (await client.post("/api/v1/keys", json={"name": "member"})).json()["key"]
        settings = replace(system.settings, metrics=replace(system.settings.metrics, key=KEY))
        system.settings = settings
        kept = system.new_gateway()
        for key, status in ((KEY, 200), (ADMIN_KEY, 200), (member, 401), (KEY + "x", 401), (None, 401)):
            async with door(kept, key) as prometheus:
                answer = await prometheus.get("/metrics")
                assert answer.status_code == status, key
                if status == 401:
                    assert is_error(answer, 401, "unauthorized")
                    assert answer.headers["www-authenticate"] == "Bearer"
                    assert KEY not in answer.text
                assert (await prometheus.get("/healthz")).status_code == 200
        async with door(kept, KEY) as prometheus:
            assert is_error(await prometheus.get("/api/v1/jobs"), 401, "unauthorized")  # it opens nothing else

    with_api(database, scenario)


def test_no_label_has_more_values_than_the_system_has_parts(database: Path) -> None:
    """Accounts, keys, jobs, and what clients send: nothing of it makes a series."""

    async def scenario(system: PlainSystem, client: httpx.AsyncClient) -> None:
        before = series(await scrape(system.gateway))
        for number in range(5):
            account = (await client.post("/api/v1/accounts", json={"name": f"team {number}"})).json()["id"]
            made = await client.post("/api/v1/keys", json={"name": f"key {number}", "account": account})
            async with door(system.gateway, made.json()["key"]) as member:
                job_id = (await member.post("/api/v1/jobs", json=JOB)).json()["id"]
                await system.ended(job_id, account)
                await member.get(f"/api/v1/jobs/{job_id}")
                await member.get(f"/nowhere/{number}")
                await member.post("/api/v1/jobs", json=JOB | {"model": f"model-{number}"})
        new = series(await scrape(system.gateway)) - before
        values = {re.sub(r"\{[a-z_]+\}", "", value) for _, labels in new for value in labels}
        assert not [value for value in values if re.search("job_|key_|acct_|team|model-|nowhere|inft_", value)]
        assert len({labels for name, labels in new if name == "infernet_requests_total"}) <= 8

    with_api(database, scenario)
