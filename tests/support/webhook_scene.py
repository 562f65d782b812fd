"""A system with a Courier and a receiver of webhooks, for tests of what is told to whom."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from cluster.settings.sections.webhooks import Webhooks
from tests.support.plain_system import PlainSystem, prepare_database, run, until
from tests.support.webhook_host import Receiver, receiver

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

    async def accounts(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.client.get("/api/v1/accounts")).json()["accounts"]
        return found

    async def is_disabled(self, hook: dict[str, Any]) -> bool:
        listed = (await self.client.get("/api/v1/webhooks")).json()["webhooks"]
        return any(each["id"] == hook["id"] and each["status"] == "disabled" for each in listed)

    async def until_attempted(self, hook: dict[str, Any], attempts: int) -> None:
        async def attempted() -> bool:
            return any(each["attempts"] >= attempts for each in await self.deliveries(hook))

        await until(attempted, f"attempt {attempts}")

    async def all_delivered(self, hook: dict[str, Any], count: int) -> bool:
        return len(await self.deliveries(hook, status="delivered")) == count


@asynccontextmanager
async def scene(tmp_path: Path, **options: Any) -> AsyncIterator[Scene]:
    path = tmp_path / "infernet.db"
    await prepare_database(path)
    async with receiver() as host, PlainSystem(path, webhooks=HERE, **options) as system, system.client() as client:
        await system.ready()
        await system.start_courier()
        yield Scene(system, host, client)


def play(tmp_path: Path, scenario: Callable[[Scene], Awaitable[None]], **options: Any) -> None:
    async def playing() -> None:
        async with scene(tmp_path, **options) as stage:
            await scenario(stage)

    run(playing())


def path_of(hook: dict[str, Any]) -> str:
    return f"/api/v1/webhooks/{hook['id']}"
