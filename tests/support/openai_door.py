"""OpenAI's own Python client, unchanged but for its address, at a real server on a plain system."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
from msgspec.structs import replace
from openai import AsyncOpenAI

from actors.backends.prompts.by_length import prompt_tokens
from actors.backends.simulated import simulated_text
from cluster.ids import JobId
from cluster.messages.work import ChatMessage
from tests.support.plain_system import ADMIN_KEY, PATIENCE_S, SIM, PlainSystem, run

QUESTION: Any = {"role": "user", "content": "Größe?"}
ASKED = (ChatMessage("user", "Größe?"),)
BODY: Any = {"model": "sim", "messages": [QUESTION], "max_tokens": 40}
TEXT = simulated_text(ASKED, None, 40)
PROMPT = prompt_tokens(ASKED)

HANGING = replace(SIM, engine={**SIM.engine, "hang_at_token": 5})
"""Says this much, and then nothing."""
PARTIAL = simulated_text(ASKED, None, 5)
FAILING = replace(SIM, engine={**SIM.engine, "fail_at_token": 5})

Scenario = Callable[[PlainSystem, AsyncOpenAI], Awaitable[None]]


def with_openai(database: Path, scenario: Scenario, engines: int | None = None, **options: Any) -> None:
    """Run the scenario with a system whose engines (or so many of them) are ready, and the client of an admin."""

    async def main() -> None:
        async with PlainSystem(database, **options) as system:
            await system.ready(engines)
            async with system.served() as http, openai_client(http) as client:
                await scenario(system, client)

    run(main())


def openai_client(http: httpx.AsyncClient) -> AsyncOpenAI:
    return AsyncOpenAI(base_url=f"{http.base_url}/v1", api_key=ADMIN_KEY, timeout=PATIENCE_S)


def job_ids(system: PlainSystem) -> list[JobId]:
    """Every job there is, the oldest first."""
    return [JobId(job_id) for (job_id,) in system.rows("SELECT id FROM jobs ORDER BY created_ms, id")]
