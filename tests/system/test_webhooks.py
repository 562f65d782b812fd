"""Webhooks in a whole system: what is told to whom, that it is genuine, and that it is told whatever dies."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai import InvalidWebhookSignatureError, OpenAI
from standardwebhooks import Webhook as StandardWebhook
from standardwebhooks.webhooks import WebhookVerificationError

from cluster.settings.schema import Webhooks
from tests.support.plain_system import PlainSystem, prepare_database, run
from tests.support.webhook_host import Receiver, Told, receiver

HERE = Webhooks(private_hosts=("127.0.0.1",), timeout_s=2)
SUBMISSION: dict[str, Any] = {"model": "sim", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 5}


class Scene:
    """A system with a Courier, a receiver, and an admin's client."""

    def __init__(self, system: PlainSystem, host: Receiver, client: httpx.AsyncClient) -> None:
        self.system = system
        self.host = host
        self.client = client

    async def hook(self, path: str = "/hook", client: httpx.AsyncClient | None = None, **fields: Any) -> dict[str, Any]:
        return await self.made("/webhooks", {"url": self.host.url(path), **fields}, client)

    async def made(self, path: str, body: dict[str, Any], client: httpx.AsyncClient | None = None) -> dict[str, Any]:
        answer = await (client or self.client).post(f"/api/v1{path}", json=body)
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made

    async def job(self, client: httpx.AsyncClient | None = None, **fields: Any) -> str:
        answer = await (client or self.client).post("/api/v1/jobs", json={**SUBMISSION, **fields})
        assert answer.status_code == 200, answer.text
        return str(answer.json()["id"])

    async def member(self, **fields: Any) -> httpx.AsyncClient:
        account = await self.made("/accounts", {"name": "team", **fields})
        key = await self.made("/keys", {"name": "member", "account": account["id"]})
        return self.system.client(key["key"])

    async def deliveries(self, hook: dict[str, Any], **query: Any) -> list[dict[str, Any]]:
        answer = await self.client.get(f"/api/v1/webhooks/{hook['id']}/deliveries", params=query)
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["deliveries"]
        return found


@asynccontextmanager
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    path = tmp_path / "infernet.db"
    await prepare_database(path)
    async with receiver() as host, PlainSystem(path, webhooks=HERE) as system, system.client() as client:
        await system.ready()
        await system.start_courier()
        yield Scene(system, host, client)


def play(tmp_path: Path, scenario: Callable[[Scene], Awaitable[None]]) -> None:
    async def playing() -> None:
        async with scene(tmp_path) as stage:
            await scenario(stage)

    run(playing())


def verified(told: Told, secret: str) -> dict[str, Any]:
    """What both libraries make of it. Raises where one of them does not take it for genuine."""
    read: dict[str, Any] = StandardWebhook(secret).verify(told.body, dict(told.headers))
    client = OpenAI(api_key="none", webhook_secret=secret)
    unwrapped = client.webhooks.unwrap(told.body, dict(told.headers))
    assert unwrapped.type == read["type"]
    return read


def test_the_end_of_a_job_is_told_and_is_genuine(tmp_path: Path) -> None:
    async def scenario(stage: Scene) -> None:
        hook = await stage.hook()
        job_id = await stage.job()
        await stage.host.hears(lambda: stage.host.told)
        (told,) = stage.host.told
        event = verified(told, hook["secret"])
        assert event == {"type": "job.completed", "timestamp": event["timestamp"], "data": {"id": job_id}}
        assert told.headers["content-type"] == "application/json"
        with pytest.raises(WebhookVerificationError):
            StandardWebhook(hook["secret"]).verify(told.body.replace(b"completed", b"failed"), dict(told.headers))
        with pytest.raises(InvalidWebhookSignatureError):
            OpenAI(api_key="none").webhooks.unwrap(told.body + b" ", dict(told.headers), secret=hook["secret"])

    play(tmp_path, scenario)
