"""Jobs that tests of the HTTP door submit: what is sent, what comes of it, and one that hangs."""

from typing import Any

import httpx
from msgspec.structs import replace

from actors.backends.prompts.by_length import prompt_tokens
from actors.backends.simulated import simulated_text
from cluster.ids import JobId
from cluster.messages.work import ChatMessage
from tests.support.plain_system import SIM, PlainSystem, until

MESSAGES = [{"role": "user", "content": "Größe?"}]
BODY: dict[str, Any] = {"model": "sim", "messages": MESSAGES, "max_tokens": 40}
TEXT = simulated_text((ChatMessage("user", "Größe?"),), None, 40)
PROMPT = prompt_tokens((ChatMessage("user", "Größe?"),))
HANGING = replace(SIM, engine={**SIM.engine, "batch_slots": 1, "hang_at_token": 5})
"""Runs one job at a time, and each of them only up to this text."""
PARTIAL = simulated_text((ChatMessage("user", "Größe?"),), None, 5)


async def completed(system: PlainSystem, client: httpx.AsyncClient, **fields: Any) -> str:
    """The id of a job that has completed."""
    job_id = str((await client.post("/api/v1/jobs", json=BODY | fields)).json()["id"])
    await system.ended(JobId(job_id))
    return job_id


async def hung(system: PlainSystem, client: httpx.AsyncClient) -> str:
    """The id of a job that a `HANGING` model has taken as far as it goes."""
    job_id = str((await client.post("/api/v1/jobs", json=BODY)).json()["id"])

    async def hangs() -> bool:
        return (await system.journal.output(JobId(job_id))).text == PARTIAL

    await until(hangs, "a job that hangs")
    await until(lambda: system.rows(f"SELECT 1 FROM jobs WHERE id = '{job_id}' AND state = 'processing'"))
    return job_id
