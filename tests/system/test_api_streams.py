"""Streams at the HTTP door."""

from contextlib import aclosing
from pathlib import Path

import httpx
from msgspec.structs import replace

from actors.backends.simulated import simulated_text
from cluster.catalogue import Model
from cluster.messages.work import ChatMessage
from tests.support.api_jobs import BODY, TEXT, completed
from tests.support.http_door import Stream, is_error, names_field, with_api
from tests.support.plain_system import QUICK, PlainSystem, run


def test_the_stream_of_a_submission(database: Path) -> None:
    async def scenario(system: PlainSystem, client: httpx.AsyncClient) -> None:
        response = await client.post("/api/v1/jobs", json=BODY | {"stream": True})
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["cache-control"] == "no-cache, no-transform"
        assert response.headers["x-accel-buffering"] == "no"
        job_id = response.headers["x-job-id"]
        assert response.headers["location"] == f"/api/v1/jobs/{job_id}"
        assert {"x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"} <= set(response.headers)
        stream = Stream(response.text)
        assert stream.text == TEXT
        assert stream.last == "[DONE]"
        lengths = [len("".join(stream.texts[: n + 1])) for n in range(len(stream.texts))]
        assert stream.ids == lengths  # code points, of which some here lie outside the BMP
        job = (await client.get(f"/api/v1/jobs/{job_id}")).json()
        assert job["result"]["content"] == stream.text

    with_api(database, scenario)


def test_streams_from_every_position(database: Path) -> None:
    async def scenario(system: PlainSystem, client: httpx.AsyncClient) -> None:
        job_id = await completed(system, client)
        path = f"/api/v1/jobs/{job_id}/stream"

        async def streamed(query: str = "", **headers: str) -> Stream:
            response = await client.get(path + query, headers={k.replace("_", "-"): v for k, v in headers.items()})
            stream = Stream(response.text)
            assert stream.last == "[DONE]"
            return stream

        assert (await streamed()).text == TEXT
        assert (await streamed(last_event_id="9")).text == TEXT[9:]
        assert (await streamed("?after=9")).text == TEXT[9:]
        assert (await streamed("?after=0", last_event_id="9")).text == TEXT
        assert (await streamed("?after=9")).ids[-1] == len(TEXT)
        beyond = await streamed("?after=999999")
        assert (beyond.text, beyond.ids) == ("", [])
        for bad in ("-1", "x", "", "1.0", "٣", "9" * 30):
            assert is_error(await client.get(path, params={"after": bad}), 400, "bad_request", "after")
        for bad in ("x", "", "-1", "1.0", "9" * 30):
            assert names_field(await client.get(path, headers={"Last-Event-ID": bad}), "Last-Event-ID")
        assert (await streamed("?after=9", last_event_id="x")).text == TEXT[9:]

    with_api(database, scenario)


def test_a_stream_is_sent_as_it_comes_and_goes_on_elsewhere(database: Path) -> None:
    async def main() -> None:
        async with PlainSystem(database) as system, system.served() as client:
            await system.ready()
            async with client.stream("POST", "/api/v1/jobs", json=BODY | {"max_tokens": 300, "stream": True}) as answer:
                job_id = answer.headers["x-job-id"]
                head = b""
                async with aclosing(answer.aiter_raw()) as parts:
                    async for part in parts:
                        head += part
                        if len(head) > 500:
                            break
            events = head.decode(errors="ignore").rpartition("\n\n")[0] + "\n\n"
            assert "[DONE]" not in events
            first = Stream(events, is_whole=False)
            # The client has gone: the job goes on, and so can its reader.
            headers = {"Last-Event-ID": str(first.ids[-1])}
            rest = Stream((await client.get(f"/api/v1/jobs/{job_id}/stream", headers=headers)).text)
            whole = simulated_text((ChatMessage("user", "Größe?"),), None, 300)
            assert first.text + rest.text == whole
            assert rest.last == "[DONE]"

    run(main())


def test_silence_is_filled_with_comments(database: Path) -> None:
    silent = Model(id="sim", backend="simulated", gpus=0, engine={"first_token_s": 0.1, "token_s": 0.001})

    async def scenario(system: PlainSystem, client: httpx.AsyncClient) -> None:
        response = await client.post("/api/v1/jobs", json=BODY | {"stream": True})
        stream = Stream(response.text)
        assert stream.blocks[0] == ": ping"
        assert stream.text == TEXT

    with_api(database, scenario, models=[silent], timing=replace(QUICK, silence_s=0.02))
