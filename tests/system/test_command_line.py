"""The commands of those who administer a system, as they type them, against a whole one."""

import asyncio
import csv
import io
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from cluster.ids import JobId
from cluster.settings.sections.webhooks import Webhooks
from tests.support.plain_system import ADMIN_KEY, PATIENCE_S, SIM, PlainSystem, run, until
from tests.support.typed import Ended, typed

# One whose jobs take as long as their commands.
SLOW = replace(SIM, engine={**SIM.engine, "token_s": 0.02})
SUBMISSION: dict[str, Any] = {"model": "sim", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 5}


class Shell:
    """Types commands that talk to this server, with this key."""

    def __init__(self, url: str, key: str) -> None:
        self._url = url
        self._key = key

    async def __call__(self, *arguments: str) -> str:
        """What it prints. It succeeds."""
        code, out, err = await self._typed(*arguments)
        assert code == 0, err
        return out

    async def json(self, *arguments: str) -> Any:
        return json.loads(await self(*arguments, "--json"))

    async def fails(self, *arguments: str) -> object:
        """The code of one that fails, which is told in one line."""
        code, _, err = await self._typed(*arguments)
        assert err.count("\n") == 1, err
        return code

    async def ends_with(self, *arguments: str) -> object:
        """The code of one that may fail."""
        return (await self._typed(*arguments)).code

    def as_(self, key: str) -> "Shell":
        return Shell(self._url, key)

    async def _typed(self, *arguments: str) -> Ended:
        return await asyncio.to_thread(typed, *arguments, "--url", self._url, "--key", self._key)


Scenario = Callable[[PlainSystem, Shell], Awaitable[None]]


def typing(database: Path, scenario: Scenario, **options: Any) -> None:
    async def main() -> None:
        async with PlainSystem(database, **options) as system:
            await system.ready()
            async with system.served() as client:
                await scenario(system, Shell(str(client.base_url), ADMIN_KEY))

    run(main(), 3 * PATIENCE_S)


def test_a_key_from_its_making_to_its_end(database: Path) -> None:
    async def scenario(system: PlainSystem, shell: Shell) -> None:
        account = (await shell("accounts", "create", "search team", "--weight", "3", "--quiet")).strip()
        allowed = ("--model", "sim", "--expires", "90d", "--budget", "2.50", "--tokens-per-minute", "1000")
        made_key = await shell("keys", "create", "nightly", "--account", "search", *allowed, "--quiet")
        secret = made_key.strip()
        (made,) = [key for key in (await shell.json("keys"))["keys"] if key["name"] == "nightly"]
        assert (made["account_id"], made["models"], made["budget"]["amount"]) == (account, ["sim"], 2_500_000)
        member = shell.as_(secret)
        assert [key["id"] for key in (await member.json("keys"))["keys"]] == [made["id"]]
        assert await member.fails("accounts") == 5
        await shell("keys", "edit", "night", "--submissions-per-minute", "7", "--no-budget", "--never-expires")
        (changed,) = (await member.json("keys"))["keys"]
        assert changed["limits"] == {**made["limits"], "submissions_per_minute": 7}
        assert not {"budget", "expires_at"} & set(changed)
        assert await shell.fails("keys", "revoke", "night", "--yes") == 4
        await shell("keys", "revoke", "nightly", "--yes")

        async def is_refused() -> bool:
            return (await member.ends_with("keys")) == 5

        await until(is_refused)

    typing(database, scenario)


def test_an_account_is_changed_in_what_is_named(database: Path) -> None:
    async def scenario(system: PlainSystem, shell: Shell) -> None:
        await shell(
            "accounts", "create", "team", "--max-queued", "5", "--reads-per-minute", "9", "--budget-tokens", "7"
        )
        await shell("accounts", "edit", "team", "--submissions-per-hour", "8", "--weight", "2")
        (_, team) = (await shell.json("accounts"))["accounts"]
        assert (team["weight"], team["max_queued"], team["budget"]["amount"]) == (2, 5, 7)
        assert (team["limits"]["reads_per_minute"], team["limits"]["submissions_per_hour"]) == (9, 8)

    typing(database, scenario)


def test_jobs_are_found_explained_cancelled_and_added_up(database: Path) -> None:
    async def scenario(system: PlainSystem, shell: Shell) -> None:
        async with system.client() as client:

            async def submitted(body: dict[str, Any]) -> str:
                return str((await client.post("/api/v1/jobs", json=body)).json()["id"])

            jobs = [await submitted(SUBMISSION) for _ in range(3)]
            for job in jobs:
                await system.ended(JobId(job))
            open_job = await submitted({**SUBMISSION, "max_tokens": 8_000})
        found = await shell.json("jobs", "--status", "completed", "--model", "sim", "--account", "all", "--since", "1h")
        assert sorted(job["id"] for job in found["jobs"]) == sorted(jobs)
        assert jobs[0] in await shell("explain", jobs[0][:-4])
        await shell("cancel", open_job)
        assert await shell.fails("cancel", open_job) == 7
        assert await shell.fails("explain", "job_" + "0" * 20) == 4
        usage = await shell.json("usage", "--by", "model", "--by", "account")
        assert [(row["model"], row["jobs"]) for row in usage["usage"]] == [("sim", 4)]
        table = list(csv.DictReader(io.StringIO(await shell("usage", "--by", "model", "--csv", "-"))))
        assert [(row["model"], row["jobs"]) for row in table] == [("sim", "4")]

    typing(database, scenario, models=(SLOW,))


def test_a_node_is_drained_to_its_last_job_and_given_jobs_again(database: Path) -> None:
    async def scenario(system: PlainSystem, shell: Shell) -> None:
        async with system.client() as client:
            long = {**SUBMISSION, "max_tokens": 200}
            job = (await client.post("/api/v1/jobs", json=long)).json()["id"]
        node = system.node_ids[0]
        out = await shell("nodes", "drain", node, "--wait", "--timeout", "30")
        assert out == f"{node} is draining: none of its jobs runs there any more\n"
        assert (await shell.json("nodes"))["nodes"][0]["status"] == "draining"
        await shell("nodes", "undrain", node)
        await system.ended(JobId(job))
        assert (await shell.json("nodes"))["nodes"][0]["status"] == "online"

    typing(database, scenario, models=(SLOW,))


def test_a_model_is_scaled_shown_and_restarted(database: Path) -> None:
    async def scenario(system: PlainSystem, shell: Shell) -> None:
        assert "1 to 1 replicas, as the settings say" in await shell("models", "show", "sim")
        assert "set by an admin" in await shell("models", "scale", "si", "--min", "1", "--max", "2")
        before = [engine["engine_id"] for engine in (await shell.json("models", "show", "sim"))["engines"]]
        assert "1 ready" in await shell("models", "restart", "sim", "--wait", "--timeout", "30")
        after = [engine["engine_id"] for engine in (await shell.json("models", "show", "sim"))["engines"]]
        assert not set(before) & set(after)
        assert "as the settings say" in await shell("models", "scale", "sim", "--as-settings")
        assert await shell.fails("models", "show", "none") == 4

    typing(database, scenario)


def test_an_adapter_is_added_shown_and_removed(database: Path) -> None:
    async def scenario(system: PlainSystem, shell: Shell) -> None:
        out = await shell("models", "adapters", "add", "sim", "org/pirate:1", "org/pirate", "--completion-price", "2.5")
        assert out == "sim has org/pirate:1\n"
        (listed,) = (await shell.json("models", "adapters"))["adapters"]
        assert (listed["model"], listed["id"], listed["set_by"]) == ("sim", "org/pirate:1", "admin")
        assert listed["price"] == {"prompt": 0.0, "completion": 2.5}
        assert (await shell.json("models", "adapters", "list", "si"))["adapters"] == [listed]
        assert "org/pirate:1" in await shell("models", "show", "sim")
        assert await shell.fails("models", "adapters", "add", "sim", "sim", "org/pirate") == 7
        assert await shell.fails("models", "adapters", "add", "sim", "other", "/nowhere") == 7
        assert await shell.fails("models", "adapters", "add", "none", "other", "org/other") == 4
        out = await shell("models", "adapters", "remove", "sim", "org/pirate:1")
        assert out == "sim has org/pirate:1 no more; jobs that were taken for it go on\n"
        assert await shell.fails("models", "adapters", "remove", "sim", "org/pirate:1") == 4
        assert (await shell.json("models", "adapters"))["adapters"] == []

    typing(database, scenario)


def test_a_webhook_from_its_making_to_its_end(database: Path) -> None:
    async def scenario(system: PlainSystem, shell: Shell) -> None:
        secret = await shell("webhooks", "create", "http://127.0.0.1:1/hook", "--event", "job.failed", "--quiet")
        assert secret.startswith("whsec_")
        (hook,) = (await shell.json("webhooks"))["webhooks"]
        assert hook["events"] == ["job.failed"]
        await shell("webhooks", "test", hook["id"][:12])
        (delivery,) = (await shell.json("webhooks", "deliveries", hook["id"]))["deliveries"]
        assert delivery["event"] == "webhook.test"
        assert await shell("webhooks", "rotate", hook["id"], "--quiet") != secret
        await shell("webhooks", "edit", hook["id"], "--disable")
        assert "disabled" in await shell("webhooks")
        await shell("webhooks", "delete", hook["id"], "--yes")
        assert (await shell.json("webhooks"))["webhooks"] == []

    typing(database, scenario, webhooks=Webhooks(private_hosts=("127.0.0.1",), timeout_s=2))


def test_top_tells_what_runs_and_a_doctor_finds_nothing(database: Path) -> None:
    async def scenario(system: PlainSystem, shell: Shell) -> None:
        told = await shell.json("top")
        assert (told["ready"], [model["id"] for model in told["models"]]) == (True, ["sim"])
        assert "sim" in await shell("top")
        assert "was completed in" in await shell("doctor", "--only", "job")

    typing(database, scenario)
