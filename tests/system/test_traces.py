"""A job's way as a tree of spans, as a collector hears of it."""

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx
import pytest
from msgspec.structs import replace

from actors.telemetry import spans
from cluster.ids import JobId
from cluster.settings.sections.traces import Traces
from tests.support.collector import Collector, Told, collecting, tree
from tests.support.http_door import Scenario, with_api
from tests.support.plain_system import ADMIN_KEY, QUICK, SIM, PlainSystem, replicated, until

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CLIENT = "00f067aa0ba902b7"
TRACED = {"traceparent": f"00-{TRACE}-{CLIENT}-01"}
UNTRACED = {"traceparent": f"00-{TRACE}-{CLIENT}-00"}
CANARY = "canary-of-a-prompt"

AS_USUAL = [
    "POST /api/v1/jobs",
    "  submit",
    "    ledger write",
    "  job",
    "    queue",
    "    chat sim",
    "      prefill",
    "      decode",
    "    end",
    "      ledger write",
]


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        spans.begin("test", Traces(endpoint=collector.url))
        try:
            yield collector
        finally:
            spans.end()


def body(max_tokens: int = 40, stream: bool = True) -> dict[str, object]:
    return {
        "model": "sim",
        "messages": [{"role": "user", "content": CANARY}],
        "max_tokens": max_tokens,
        "stream": stream,
    }


def told_of(collector: Collector, path: Path, scenario: Scenario, **options: object) -> Sequence[Told]:
    """What is told of the client's trace while this happens, and until no job is left."""

    async def to_the_end(system: PlainSystem, client: httpx.AsyncClient) -> None:
        await scenario(system, client)
        await until(lambda: system.scheduler.leases.idle, "the end of all jobs")

    # The Scheduler hears of ends, and does not find them in the database before: of those it knows no more to tell.
    timing = replace(QUICK, compare_s=30.0, stray_s=10.0)
    with_api(path / "infernet.db", to_the_end, **{"timing": timing, **options})
    spans.end()
    assert CANARY.encode() not in collector.raw
    assert ADMIN_KEY.encode() not in collector.raw
    return [span for span in collector.spans() if span.trace_id == TRACE]


async def submitted(client: httpx.AsyncClient, headers: dict[str, str] = TRACED, **fields: object) -> httpx.Response:
    answer = await client.post("/api/v1/jobs", json=body() | fields, headers=headers)
    assert answer.status_code == 200
    return answer


async def first_text(system: PlainSystem) -> JobId:
    """The one job, once something of it is told."""

    async def is_told() -> bool:
        return any([(await system.journal.output(job_id)).text for job_id in (await system.journal.held())[0]])

    await until(is_told, "the first text")
    (job_id,) = (await system.journal.held())[0]
    return job_id


def test_a_job_is_a_tree_below_its_request(tmp_path: Path, collector: Collector) -> None:
    async def scenario(system: PlainSystem, client: httpx.AsyncClient) -> None:
        await submitted(client, {**TRACED, "X-Request-Id": "of-the-client"})

    told = told_of(collector, tmp_path, scenario)
    assert tree(told) == AS_USUAL
    request, job, generation = (next(s for s in told if s.name == name) for name in (AS_USUAL[0], "job", "chat sim"))
    assert request.parent_id == CLIENT
    assert request.attributes["http.response.status_code"] == 200
    assert request.attributes["infernet.request.id"] == "of-the-client"
    assert request.attributes["infernet.job.id"] == job.attributes["infernet.job.id"]
    assert (
        generation.attributes
        | {
            "gen_ai.operation.name": "chat",
            "gen_ai.request.model": "sim",
            "gen_ai.request.max_tokens": 40,
            "gen_ai.usage.output_tokens": 40,
            "gen_ai.response.finish_reasons": ["length"],
            "infernet.engine.id": "sim/0",
        }
        == generation.attributes
    )


def test_a_job_whose_engine_dies_shows_both_of_them_and_its_move(tmp_path: Path, collector: Collector) -> None:
    async def scenario(system: PlainSystem, client: httpx.AsyncClient) -> None:
        submitting = asyncio.create_task(submitted(client, max_tokens=400))
        await first_text(system)
        (working,) = (replica.id for replica in system.scheduler.fleet.replicas if replica.tokens_of)
        process = system.engines[working].process
        assert process is not None
        system.kill_engine(working)
        await process.content.stop()  # what a process does that has ended
        await submitting

    told = told_of(collector, tmp_path, scenario, models=(replicated(SIM, 2),), nodes=2)
    assert tree(told) == [
        *AS_USUAL[:5],
        "    chat sim failed",
        "      prefill",
        "    move",
        "    chat sim",
        "      prefill",
        "      decode",
        "    end",
        "      ledger write",
    ]
    first, second = sorted((s for s in told if s.name == "chat sim"), key=lambda span: span.began_ns)
    assert first.attributes["error.type"] == "engine died"
    assert first.attributes["infernet.engine.id"] != second.attributes["infernet.engine.id"]
    assert second.attributes["infernet.resumed_tokens"] > 0
    assert second.attributes["gen_ai.usage.output_tokens"] == 400


def test_a_job_that_is_cancelled_says_so(tmp_path: Path, collector: Collector) -> None:
    async def scenario(system: PlainSystem, client: httpx.AsyncClient) -> None:
        answer = await submitted(client, max_tokens=900, stream=False)
        await first_text(system)
        assert (await client.post(f"/api/v1/jobs/{answer.json()['id']}/cancel")).status_code == 200

    told = told_of(collector, tmp_path, scenario)
    assert [s.attributes["error.type"] for s in told if s.failed] == ["cancelled"] * 3
    assert {s.name for s in told if s.failed} == {"job", "chat sim", "end"}


def test_a_job_goes_on_in_its_trace_when_all_that_knew_of_it_begin_anew(tmp_path: Path, collector: Collector) -> None:
    async def scenario(system: PlainSystem, client: httpx.AsyncClient) -> None:
        submitting = asyncio.create_task(submitted(client, max_tokens=600))
        await first_text(system)
        await system.restart_scheduler()
        await system.restart_journal()
        await submitting

    told = told_of(collector, tmp_path, scenario)
    assert {line.strip() for line in AS_USUAL} <= {span.name for span in told}
    assert {span.parent_id for span in told} <= {CLIENT} | {span.span_id for span in told}, "all of it is one tree"
    assert not any(span.failed for span in told if span.name == "job")


def test_the_clients_decision_counts_and_strangers_are_not_heard(tmp_path: Path, collector: Collector) -> None:
    async def scenario(system: PlainSystem, client: httpx.AsyncClient) -> None:
        await submitted(client, UNTRACED)
        for stranger in ("Bearer inft_nobody", "Basic x"):
            answer = await client.get("/api/v1/jobs", headers={**TRACED, "Authorization": stranger})
            assert answer.status_code == 401

    assert told_of(collector, tmp_path, scenario) == []


@pytest.mark.parametrize(
    "given",
    ["", "nonsense", f"00-{'0' * 32}-{CLIENT}-01", f"00-{TRACE}-{'0' * 16}-01", f"ff-{TRACE}-{CLIENT}-01"],
)
def test_what_is_no_traceparent_begins_a_trace_of_its_own(tmp_path: Path, collector: Collector, given: str) -> None:
    async def scenario(system: PlainSystem, client: httpx.AsyncClient) -> None:
        await submitted(client, {"traceparent": given})

    assert told_of(collector, tmp_path, scenario) == []
    all_of_them = collector.spans()
    assert tree(all_of_them) == AS_USUAL
    assert len({span.trace_id for span in all_of_them}) == 1
