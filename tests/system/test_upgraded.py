"""The whole control plane on a database of every released version: what was open there is answered and billed once."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pytest

from actors.backends.simulated import simulated_text
from actors.couriering.posting import Answer
from cluster.clock import wall_ms
from cluster.ids import JobId, WebhookId, delivery_id
from cluster.messages.records import CompletedRecord
from cluster.messages.work import ChatMessage
from cluster.store.inspection import inspect
from tests.support import older_databases as older
from tests.support import older_rows as rows
from tests.support.plain_system import PlainSystem, run, until

TEXT = simulated_text((ChatMessage("user", older.QUESTION),), None, 5)


class Host:
    """Takes every webhook, and notes its id."""

    def __init__(self) -> None:
        self.told: list[str] = []

    async def post(self, url: str, headers: Mapping[str, str], body: str) -> Answer:
        self.told.append(headers["webhook-id"])
        return Answer(204)

    async def close(self) -> None:
        pass


async def _all_is_told(system: PlainSystem) -> bool:
    return (await system.ledger.totals()).untold == 0


@pytest.mark.parametrize("version", older.VERSIONS)
def test_open_jobs_of_before_are_answered_once(tmp_path: Path, version: str) -> None:
    path = tmp_path / "infernet.db"
    path.touch(0o600)
    older.write(path, version, wall_ms() + 60_000)
    written = older.VERSIONS[: older.VERSIONS.index(version) + 1]

    host = Host()

    async def scenario() -> None:
        async with PlainSystem(path) as system:
            await system.ready()
            await system.start_courier(host)
            for each in written:
                for job_id in (older.waiting(each), older.running(each)):
                    record = await system.ended(JobId(job_id))
                    assert isinstance(record, CompletedRecord)
                    assert record.content == TEXT
            assert system.rows("SELECT count(*), count(DISTINCT job_id) FROM usage") == [(4 * len(written),) * 2]
            # The ends of all jobs, and of some to an endpoint more; what was due before; and nothing twice.
            webhooks = 2 * len(written) + 2 * sum(each >= "0012" for each in written) if version >= "0012" else 0
            await until(lambda: len(host.told) >= webhooks, "webhooks")
            await until(partial(_all_is_told, system), "all told")
            assert len(host.told) == len(set(host.told)) == webhooks
            assert {delivery_id(rows.due(each), WebhookId(rows.HOOK)) for each in written if each >= "0012"} <= {
                *host.told
            }

    run(scenario())
    found = inspect(f"sqlite:///{path}")
    assert (found.open_jobs, found.faults) == (0, ())
