"""What the whole system writes into its log when every part tells all it can: each job's way, and no secret."""

import asyncio
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from actors.machine import logs
from cluster.settings.sections.logs import Logs
from tests.support.http_door import Scenario, with_api
from tests.support.plain_system import ADMIN_KEY, SIM, PlainSystem, replicated, until

PROMPT, STOP, SCHEMA, USER = "canary-prompt", "canary-stop", "canary-schema", "canary-user"
IDEMPOTENCY, WRONG_KEY, NOTE = "canary-idempotency", "inft_canary", "canary-note"
CANARIES = (PROMPT, STOP, SCHEMA, USER, IDEMPOTENCY, WRONG_KEY, NOTE, ADMIN_KEY)


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    path = tmp_path / "infernet.log"
    monkeypatch.setenv(logs.VARIABLE, str(path))
    logs.begin("test", Logs("json", "debug"))
    try:
        yield path
    finally:
        logs.end()
        logs.set_levels("test", Logs())


def lines_of(log: Path, tmp_path: Path, scenario: Scenario, **options: object) -> list[dict[str, str]]:
    async def to_the_end(system: PlainSystem, client: httpx.AsyncClient) -> None:
        await scenario(system, client)
        await until(lambda: system.scheduler.leases.idle, "the end of all jobs")

    with_api(tmp_path / "infernet.db", to_the_end, **options)
    text = log.read_text()
    assert [canary for canary in CANARIES if canary in text] == []
    return [json.loads(line) for line in text.splitlines()]


def body(**fields: object) -> dict[str, object]:
    return {"model": "sim", "messages": [{"role": "user", "content": PROMPT}], "max_tokens": 40} | fields


def test_each_station_of_a_job_names_it_and_its_request(tmp_path: Path, log: Path) -> None:
    async def scenario(system: PlainSystem, client: httpx.AsyncClient) -> None:
        headers = {"X-Request-Id": "of-the-client"}
        answer = await client.post("/api/v1/jobs", json=body(max_tokens=400), headers=headers)
        engine_ids = [replica.id for replica in system.scheduler.fleet.replicas if replica.tokens_of]
        await until(lambda: any(engine_ids), "an engine")
        system.kill_engine(engine_ids[0])
        await system.ended(answer.json()["id"])

    lines = lines_of(log, tmp_path, scenario, models=(replicated(SIM, 2),), nodes=2)
    (job_id,) = {line["job"] for line in lines if line["job"]}
    said = [line["message"] for line in lines if line["request"] == "of-the-client" and line["job"] == job_id]
    for station in (
        "is submitted: model sim",
        "is written down",
        "goes to sim/",
        "attempt 1 begins here",
        "goes on after",
    ):
        assert any(message.startswith(station) for message in said), (station, said)
    assert "has ended: length, 400 tokens" in said
    assert "its end is written down" in said


def test_nothing_that_is_secret_or_a_clients_is_in_it(tmp_path: Path, log: Path) -> None:
    async def scenario(system: PlainSystem, client: httpx.AsyncClient) -> None:
        asked = [
            body(stream=True, stop=[STOP], metadata={"note": NOTE}),
            body(max_tokens=10**9),
            body(tools=PROMPT),
            body(model=PROMPT),
            body(response_format={"type": "json_schema", "json_schema": {"name": SCHEMA, "schema": {}}}),
            body(nonsense=PROMPT),
        ]
        for each in asked:
            await client.post("/api/v1/jobs", json=each, headers={"Idempotency-Key": f"{IDEMPOTENCY}-{len(str(each))}"})
            await client.post("/v1/chat/completions", json=each | {"user": USER, "metadata": None})
            await client.post("/tokenize", json=each)
        await client.post("/api/v1/jobs", content=f'{{"messages": "{PROMPT}'.encode())
        await client.get("/api/v1/jobs", headers={"Authorization": f"Bearer {WRONG_KEY}"})
        await client.get(f"/api/v1/jobs/{PROMPT}", params={"after": PROMPT})
        answer = await client.post("/api/v1/keys", json={"name": NOTE, "account_id": PROMPT})
        assert answer.status_code == 400
        slow = await client.post("/api/v1/jobs", json=body(max_tokens=900))
        system.kill_engine(next(iter(system.known_engines())))
        await asyncio.gather(system.restart_journal(), system.restart_scheduler())
        await client.post(f"/api/v1/jobs/{slow.json()['id']}/cancel")

    lines = lines_of(log, tmp_path, scenario)
    assert len([line for line in lines if line["level"] == "debug"]) > 10


def test_lines_of_others_are_told_as_they_were(log: Path) -> None:
    logging.getLogger("httpx").debug("of no interest")
    logging.getLogger("actors.scheduler").debug("of interest")
    assert [json.loads(line)["message"] for line in log.read_text().splitlines()] == ["of interest"]
