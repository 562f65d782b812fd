"""Submissions with pictures, with an engine that says which it was given: sizes, what is fetched, what is kept."""

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec.structs import replace

from actors.backends.base import NO_MEDIA, Backend, Media
from actors.backends.simulated import SimulatedBackend, simulated_text
from api.http.dependencies import MAX_BODY_BYTES
from api.replica.media.fetching import Fetcher
from cluster.catalogue import Model
from cluster.messages.media import medium
from cluster.messages.work import Asking, ChatMessage, Dispatch, Form, Sampling
from cluster.settings.sections.media import Media as MediaSettings
from tests.support.picture_host import HOST, RED, picture_host
from tests.support.pictures import data_url, noise, picture
from tests.support.plain_system import SIM, PlainSystem, replicated, run, until

SEES = Model(id="sees", source="builtin:capitals", gpus=0, cpus=1.0, replicas=SIM.replicas)
TOKENS = 40


class SeeingBackend(SimulatedBackend):
    """Answers what it is given: another picture gives another text."""

    def ask(self, form: Form, sampling: Sampling, media: Media = NO_MEDIA) -> "Future[Asking]":
        asking: Future[Asking] = Future()
        asking.set_result(Asking(tokens=len("".join(seen(media[each]) for each in form.media))))
        return asking

    def start(self, dispatches: Sequence[Dispatch], media: Media = NO_MEDIA) -> None:
        super().start([_described(dispatch, media) for dispatch in dispatches])


def seen(content: bytes) -> str:
    return medium(content).hash


def _described(dispatch: Dispatch, media: Media) -> Dispatch:
    form = dispatch.job.form
    texts = [seen(media[each]) for each in form.media] if form else []
    return replace(dispatch, job=replace(dispatch.job, messages=(ChatMessage("user", "".join(texts)),)))


def said_of(*contents: bytes) -> str:
    """What is answered to these pictures."""
    return simulated_text((ChatMessage("user", "".join(map(seen, contents))),), None, TOKENS)


class SeeingSystem(PlainSystem):
    def new_backend(self, model: Model) -> Backend:
        return SeeingBackend({**SIM.engine, "context_length": 100_000})


def asked(*urls: str, **fields: Any) -> dict[str, Any]:
    content = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    return {"model": "sees", "messages": [{"role": "user", "content": content}], "max_tokens": TOKENS, **fields}


Scenario = Callable[[SeeingSystem, httpx.AsyncClient], Awaitable[None]]


def with_system(database: Path, scenario: Scenario, **more: Any) -> None:
    async def main() -> None:
        async with SeeingSystem(database, models=(SEES,), **more) as system:
            await system.ready()
            async with system.client() as client:
                await scenario(system, client)

    run(main())


async def answer(client: httpx.AsyncClient, body: dict[str, Any], **more: Any) -> str:
    response = await client.post("/v1/chat/completions", json=body, **more)
    assert response.status_code == 200, response.text
    return str(response.json()["choices"][0]["message"]["content"])


async def refused(client: httpx.AsyncClient, body: dict[str, Any], status: int = 400) -> str:
    response = await client.post("/api/v1/jobs", json=body)
    assert response.status_code == status, response.text
    return str(response.json()["error_message"])


def test_an_engine_is_given_what_was_sent_and_it_is_kept_once(database: Path) -> None:
    async def scenario(system: SeeingSystem, client: httpx.AsyncClient) -> None:
        red, blue = picture("red"), picture("blue")
        assert await answer(client, asked(data_url(red))) == said_of(red)
        assert await answer(client, asked(data_url(blue), data_url(red))) == said_of(blue, red)
        assert sorted(system.rows("SELECT content FROM media")) == sorted([(red,), (blue,)])
        assert system.rows("SELECT count(*) FROM job_media") == [(0,)]
        for (request,) in system.rows("SELECT request FROM jobs"):
            assert base64.b64encode(red).decode() not in request

    with_system(database, scenario)


def test_a_job_that_moves_sees_the_same_and_it_is_fetched_once(database: Path) -> None:
    async def main() -> None:
        async with picture_host() as host:
            settings = MediaSettings(hosts=(f"{HOST}:{host.port}",))
            fetcher = Fetcher(settings, host.lookup)
            two = replicated(SEES, 2)
            system = SeeingSystem(database, models=(two,), nodes=2, media=settings, fetcher=fetcher)
            async with system, system.client() as client:
                await system.ready()
                body = asked(host.url("/red.png"), max_tokens=1000)
                first = await client.post("/api/v1/jobs", json=body, headers={"Idempotency-Key": "once"})
                job_id = first.json()["id"]
                await until(lambda: system.rows("SELECT engine_id FROM jobs")[0][0])
                system.kill_engine(system.rows("SELECT engine_id FROM jobs")[0][0])
                again = await client.post("/api/v1/jobs", json=body, headers={"Idempotency-Key": "once"})
                assert again.json() == first.json()
                await system.ended(job_id)
                job = (await client.get(f"/api/v1/jobs/{job_id}")).json()
                assert job["result"]["content"] == simulated_text((ChatMessage("user", seen(RED)),), None, 1000)
                assert [path for _, path in host.asked] == ["/red.png"]
                assert len(system.rows("SELECT attempt FROM placements")) == 2

    run(main())


def test_a_large_picture_has_room_and_a_large_text_has_not(database: Path) -> None:
    async def scenario(system: SeeingSystem, client: httpx.AsyncClient) -> None:
        large = noise(1200)
        assert len(large) > 4 * MAX_BODY_BYTES
        assert await answer(client, asked(data_url(large))) == said_of(large)
        for filling in (" ", "x"):  # what cannot be a picture, and what might have been one
            text = filling * (MAX_BODY_BYTES + 1)
            await refused(client, asked(data_url(large)) | {"messages": [{"role": "user", "content": text}]}, 413)
        await refused(client, asked(*[data_url(large)] * 4), 413)

        async def parts() -> Any:
            sent = json.dumps(asked(data_url(large))).encode()
            for begin in range(0, len(sent), 1 << 16):
                yield sent[begin : begin + (1 << 16)]

        response = await client.post("/v1/chat/completions", content=parts())
        assert response.json()["choices"][0]["message"]["content"] == said_of(large)
        # What has had room has given it back.
        answers = await asyncio.gather(*(answer(client, asked(data_url(large))) for _ in range(8)))
        assert set(answers) == {said_of(large)}

    with_system(database, scenario)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        (data_url(b"no picture"), "is no picture in one of the formats PNG, JPEG, WEBP, GIF, BMP, TIFF"),
        (data_url(picture("red", 60, 60)), "has more than 3000 pixels"),
        (data_url(picture("red") + bytes(2000)), "is larger than 1000 bytes"),
        ("http://elsewhere.test/a.png", "nothing is fetched from this host; send a data: URL"),
        ("https://127.0.0.1/a.png", "nothing is fetched from this host; send a data: URL"),
        ("file:///etc/passwd", "must be a data:, http: or https: URL"),
    ],
)
def test_what_is_no_picture_is_refused_by_its_part_and_nothing_is_kept(url: str, reason: str, database: Path) -> None:
    async def scenario(system: SeeingSystem, client: httpx.AsyncClient) -> None:
        told = await refused(client, asked(data_url(picture("blue")), url))
        assert told == f"messages[0].content[1].image_url.url: {reason}"
        for table in ("media", "jobs"):
            assert system.rows(f"SELECT count(*) FROM {table}") == [(0,)]

    with_system(database, scenario, media=MediaSettings(max_pixels=3000, max_bytes=1000))


def test_no_more_parts_than_the_settings_allow(database: Path) -> None:
    async def scenario(system: SeeingSystem, client: httpx.AsyncClient) -> None:
        url = data_url(picture())
        assert await refused(client, asked(*[url] * 3)) == "messages: have more than 2 pictures and sounds"

    with_system(database, scenario, media=MediaSettings(max_parts=2))


def test_nothing_is_fetched_for_whoever_asks_for_no_model(database: Path) -> None:
    async def main() -> None:
        async with picture_host() as host:
            settings = MediaSettings(hosts=(f"{HOST}:{host.port}",))
            fetcher = Fetcher(settings, host.lookup)
            system = SeeingSystem(database, models=(SIM,), media=settings, fetcher=fetcher)
            async with system, system.client() as client:
                body = asked(host.url("/red.png"))
                await refused(client, body, 404)
                told = await refused(client, body | {"model": "sim"})
                assert told.startswith("messages[0].content: sim is a simulated model")
                assert host.asked == []

    run(main())
