"""Idempotency keys at the HTTP door."""

from pathlib import Path
from typing import Any

import httpx

from tests.support.api_jobs import BODY, TEXT
from tests.support.http_door import Stream, bare_client, is_error, names_field, with_api
from tests.support.plain_system import PlainSystem, run


def test_the_same_key_and_body_give_the_same_job(database: Path) -> None:
    async def scenario(system: PlainSystem, client: httpx.AsyncClient) -> None:
        async def posted(key: str = "order-1", **fields: Any) -> httpx.Response:
            return await client.post("/api/v1/jobs", json=BODY | fields, headers={"Idempotency-Key": key})

        first = await posted(stop="é", metadata={"a": "1", "b": "2"})
        assert first.status_code == 200
        await system.ended(first.json()["id"])
        # Neither nulls, defaults, spellings of the same nor the order of keys make another body.
        for same in (
            {"stop": ["é"], "metadata": {"b": "2", "a": "1"}},
            {"stop": "é", "metadata": {"a": "1", "b": "2"}, "seed": None, "top_p": 1, "temperature": 0.7, "new": 1},
        ):
            again = await posted(**same)
            assert (again.status_code, again.json()) == (200, first.json())
        assert system.rows("SELECT count(*) FROM jobs") == [(1,)]

        for other in ({}, {"stop": "e"}, {"stop": "é", "metadata": {"a": "1"}}, {"stop": "é", "temperature": 0.8}):
            assert is_error(await posted(**other), 409, "conflict")
        assert (await posted("order-2")).json()["id"] != first.json()["id"]

    with_api(database, scenario)


def test_the_same_key_gives_the_same_stream_from_the_start(database: Path) -> None:
    async def scenario(system: PlainSystem, client: httpx.AsyncClient) -> None:
        async def posted() -> httpx.Response:
            headers = {"Idempotency-Key": "s"}
            return await client.post("/api/v1/jobs", json=BODY | {"stream": True}, headers=headers)

        answers = [await posted() for _ in range(3)]
        assert len({answer.headers["x-job-id"] for answer in answers}) == 1
        for answer in answers:
            stream = Stream(answer.text)
            assert (stream.text, stream.last) == (TEXT, "[DONE]")

    with_api(database, scenario)


def test_a_refused_submission_does_not_use_its_key_up(database: Path) -> None:
    async def scenario(system: PlainSystem, client: httpx.AsyncClient) -> None:
        headers = {"Idempotency-Key": "k"}
        refused = await client.post("/api/v1/jobs", json=BODY | {"model": "nothing"}, headers=headers)
        assert is_error(refused, 404, "model_not_found")
        assert (await client.post("/api/v1/jobs", json=BODY, headers=headers)).status_code == 200

    with_api(database, scenario)


def test_bad_idempotency_keys_are_refused() -> None:
    async def main() -> None:
        async with bare_client() as client:
            bad: list[list[tuple[str, str]]] = [
                [("Idempotency-Key", "")],
                [("Idempotency-Key", "x" * 256)],
                [("Idempotency-Key", "a"), ("Idempotency-Key", "a")],
            ]
            for headers in bad:
                response = await client.post("/api/v1/jobs", json=BODY, headers=headers)
                assert names_field(response, "Idempotency-Key")

    run(main())
