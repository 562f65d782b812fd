"""The HTTP door of a plain system, for tests: clients whose every answer is held against the OpenAPI document."""

import json
from collections.abc import Awaitable, Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import httpx

from actors.rate_limiter import RateLimiter
from api.app import create_app
from api.replica.gateway import Gateway
from cluster.ids import AccountId, KeyId
from cluster.keys import secret_hash
from cluster.messages.models import ModelSettings
from cluster.messages.people import KeyLimits, Principal, SignedIn
from cluster.settings.schema import Settings
from tests.support.openapi_check import OpenApiCheck
from tests.support.plain_system import ADMIN_KEY, SIM, PlainSystem, run

Scenario = Callable[[PlainSystem, httpx.AsyncClient], Awaitable[None]]


def with_api(database: Path, scenario: Scenario, **options: Any) -> None:
    """Run the scenario with a system that is ready, and the client of an admin."""

    async def main() -> None:
        async with PlainSystem(database, **options) as system:
            await system.ready()
            async with door(system.gateway) as client:
                await scenario(system, client)

    run(main())


def door(gateway: Gateway, key: str | None = ADMIN_KEY) -> httpx.AsyncClient:
    """An HTTP client of the application itself. Streams arrive when they have ended."""
    app = create_app(gateway)
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app, raise_app_exceptions=False),
        base_url="http://infernet",
        headers={"Authorization": f"Bearer {key}"} if key else {},
        event_hooks={"response": [_openapi_check().check]},
    )


@cache
def _openapi_check() -> OpenApiCheck:
    """The document does not depend on what is behind the door."""
    return OpenApiCheck(create_app(Mock()))


class NoCluster:
    """Answers what the first steps of a request need, and fails at everything else with `error`."""

    def __init__(self, limits: KeyLimits | None = None, error: Exception | None = None) -> None:
        self.limits = limits or KeyLimits()
        self.error = error

    async def principals(self, shown: Sequence[SignedIn]) -> list[Principal | None]:
        admin = Principal(AccountId("acct"), KeyId("key"), "admin", self.limits)
        return [admin if each.key_hash == secret_hash(ADMIN_KEY) else None for each in shown]

    async def session_secret(self) -> str:
        return "s" * 43

    async def mark_windows(self, marks: Any) -> None:
        pass

    async def model_settings(self) -> list[ModelSettings]:
        """Asked before a name is said to be unknown."""
        if self.error is not None:
            raise self.error
        return []

    def __getattr__(self, method: str) -> Any:
        if method.startswith("__"):
            raise AttributeError(method)

        async def fail(*_: Any) -> Any:
            raise self.error or RuntimeError(f"secret insides of {method}")

        return fail


def bare_gateway(limits: KeyLimits | None = None, error: Exception | None = None) -> Gateway:
    """A gateway with nothing behind it but the keys: requests that are refused need no more."""
    cluster: Any = NoCluster(limits, error)
    return Gateway(Settings(models=(SIM,)), cluster, RateLimiter(cluster), cluster, cluster)


def bare_client(limits: KeyLimits | None = None, key: str | None = ADMIN_KEY) -> httpx.AsyncClient:
    """An application with nothing behind it but the keys."""
    return door(bare_gateway(limits), key)


def is_error(response: httpx.Response, status: int, code: str, names: str = "") -> bool:
    body = response.json()
    assert (response.status_code, body["error"]) == (status, code), body
    assert set(body) == {"error", "error_message"}
    assert names in body["error_message"]
    return True


def names_field(response: httpx.Response, field: str) -> bool:
    """It is a bad request, and its message begins with the field's name."""
    assert is_error(response, 400, "bad_request")
    assert response.json()["error_message"].startswith(f"{field}: "), response.json()
    return True


class Stream:
    """Server-sent events, taken apart. A whole stream ends with an end."""

    def __init__(self, body: str, is_whole: bool = True) -> None:
        self.blocks = body.split("\n\n")
        assert self.blocks.pop() == ""
        events = [dict(line.split(": ", 1) for line in block.split("\n")) for block in self.blocks if block[0] != ":"]
        self.last: str = events[-1]["data"]
        told = events
        if is_whole:
            *told, last = events
            assert last["id"] == "end"
        self.ids = [int(event["id"]) for event in told]
        self.texts: list[str] = [json.loads(event["data"])["text"] for event in told]
        self.text = "".join(self.texts)
