"""What clients and operators are told while a part of the system, or its database, is away."""

import asyncio
import logging
from collections.abc import Iterator, Sequence
from typing import Any

import httpx
import pytest

from actors.rate_limiter import RateLimiter
from actors.wire.calls import Unreachable
from api.app import create_app
from api.replica.contexts import Contexts
from api.replica.gateway import Gateway
from api.replica.intake import Intake
from cluster.catalogue import Catalogue, Model
from cluster.errors import ConnectionLost, DatabaseFailed, DatabaseTaken, DatabaseUnavailable, StartError
from cluster.measures.measures import Totals
from cluster.messages.people import SignedIn
from cluster.messages.work import Submission
from cluster.settings.schema import Settings
from cluster.timing import Timing
from tests.support.http_door import NoCluster, bare_gateway, door
from tests.support.ledger_stage import job
from tests.support.plain_system import PATIENCE_S, SIM, run

INSIDE = 'connection to server at "10.1.2.3", port 5432 failed: user "ann", database "prod"'
AWAY = [
    Unreachable("scheduler died"),
    DatabaseUnavailable(INSIDE),
    ConnectionLost(INSIDE),
    DatabaseTaken(INSIDE),
]
SUBMISSION: dict[str, Any] = {"model": "sim", "messages": [{"role": "user", "content": "Hi"}]}
BODIES: dict[str, dict[str, Any]] = {
    "/api/v1/jobs": SUBMISSION,
    "/v1/chat/completions": SUBMISSION,
    "/v1/completions": {"model": "real", "prompt": "Hi"},
    "/api/v1/keys": {"name": "laptop"},
    "/api/v1/keys/key_0": {"name": "desktop"},
    "/api/v1/models/sim": {"replicas": {"min": 1}},
    "/api/v1/models/sim/adapters": {"id": "german", "source": "org/german"},
    "/api/v1/accounts": {"name": "team"},
    "/api/v1/accounts/acct_0": {"weight": 2},
    "/api/v1/webhooks": {"url": "https://example.org/hook"},
    "/api/v1/webhooks/hook_0": {"events": []},
}
REAL = Model("real", source="org/real", gpus=0)
"""A model whose engines are asked what a completion means."""

# What can be answered by the ingress replica alone; of models with a tokenizer, but for who asks. That a model is no
# pooling model it knows by itself.
POOLING = {"/v1/embeddings", "/score", "/v1/score", "/rerank", "/v1/rerank", "/v2/rerank"}
ALONE = {"/healthz", "/metrics", "/tokenize", "/detokenize", *POOLING}


def operations() -> Iterator[tuple[str, str]]:
    """Every operation of the application that asks another part of the system for something."""
    for path, methods in create_app(bare_gateway()).openapi()["paths"].items():
        named = path.format(
            job_id="job_0",
            node_id="node_0",
            key_id="key_0",
            account_id="acct_0",
            webhook_id="hook_0",
            delivery_id="msg_0",
            model="sim",
            model_id="sim",
            adapter_id="german",
        )
        yield from ((method.upper(), named) for method in methods if path not in ALONE)


async def ask(client: httpx.AsyncClient, method: str, path: str) -> httpx.Response:
    return await client.request(method, path, json=BODIES.get(path) if method in ("POST", "PATCH") else None)


class Stranger(NoCluster):
    """A cluster that cannot even say who asks."""

    async def principals(self, shown: Sequence[SignedIn]) -> Any:
        assert self.error is not None
        raise self.error


def gateways(error: Exception) -> Iterator[Gateway]:
    """One where everything but the key's holder cannot be asked, and one where that cannot be asked either."""
    for kind in (NoCluster, Stranger):
        cluster: Any = kind(error=error)
        yield Gateway(Settings(models=(SIM, REAL)), cluster, RateLimiter(cluster), cluster, cluster)


@pytest.mark.parametrize("error", AWAY, ids=lambda error: type(error).__name__)
def test_every_route_answers_503_and_when_to_come_again(error: Exception) -> None:
    async def main() -> None:
        for gateway in gateways(error):
            async with door(gateway) as client:
                for method, path in operations():
                    answer = await ask(client, method, path)
                    assert answer.status_code == 503, (method, path, answer.text)
                    assert int(answer.headers["Retry-After"]) >= 1
                    assert "10.1.2.3" not in answer.text and "ann" not in answer.text and "prod" not in answer.text
                    told = answer.json()["error"]
                    assert (told["code"] if path.startswith("/v1/") else told) == "no_capacity"

    run(main())


def test_what_is_for_operators_is_told_to_no_client() -> None:
    """However it comes to the door: an error of the command line is an error of the inside there."""

    async def main() -> None:
        async with door(bare_gateway(error=StartError(f"Cannot open the database: {INSIDE}"))) as client:
            answer = await client.post("/api/v1/jobs", json=SUBMISSION)
            assert (answer.status_code, answer.json()["error"]) == (500, "internal_error")
            assert "10.1.2.3" not in answer.text

    run(main())


def test_the_reason_is_logged_and_not_once_per_request(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with door(bare_gateway(error=DatabaseUnavailable(INSIDE))) as client:
            await asyncio.gather(*(client.get("/api/v1/models") for _ in range(50)))

    with caplog.at_level(logging.WARNING):
        run(main())
    (line,) = [record.message for record in caplog.records]
    assert INSIDE in line


class Silent(NoCluster):
    """A cluster that knows who asks, and answers nothing else."""

    async def model_settings(self) -> Any:
        await asyncio.Event().wait()

    def __getattr__(self, method: str) -> Any:
        async def wait_forever(*_: Any) -> Any:
            await asyncio.Event().wait()

        return wait_forever


class Mute(Silent):
    """A cluster that answers nothing at all."""

    async def principals(self, shown: Sequence[SignedIn]) -> Any:
        await asyncio.Event().wait()


@pytest.mark.parametrize("kind", [Silent, Mute])
def test_no_route_waits_for_ever_for_what_does_not_answer(kind: type[NoCluster]) -> None:
    cluster: Any = kind()
    quick = Timing(answer_s=0.02, health_s=0.02)
    gateway = Gateway(Settings(models=(SIM, REAL)), cluster, RateLimiter(cluster), cluster, cluster, timing=quick)

    async def main() -> None:
        async with door(gateway) as client:
            for method, path in operations():
                async with asyncio.timeout(PATIENCE_S):
                    answer = await ask(client, method, path)
                assert answer.status_code == 503, (method, path, answer.text)
                assert "Retry-After" in answer.headers

    run(main())


def test_who_comes_while_others_wait_does_not_wait_for_them_too() -> None:
    """Submissions travel together, one call at a time; the limit is on each, from when it came."""
    silent: Any = Silent()
    models = Catalogue((SIM,))
    contexts = Contexts(silent, answer_s=0.02)
    others = (silent, silent, silent, silent)
    intake = Intake(models, *others, contexts, silent, silent, job_timeout_s=300, answer_s=0.02)
    submission = Submission(job(model="sim"))

    async def main() -> None:
        for _ in range(3):
            with pytest.raises(Unreachable, match="scheduler"):
                async with asyncio.timeout(PATIENCE_S):
                    await intake.submit(submission)

    run(main())


class Unwritable(NoCluster):
    """A database that can be read, and is full."""

    def __init__(self) -> None:
        super().__init__()
        self.full: DatabaseFailed | None = DatabaseUnavailable("database or disk is full")

    async def models(self) -> Any:
        return []

    nodes = models

    async def watching(self, reader_id: str) -> Any:
        return []

    async def totals(self) -> Any:
        return Totals()

    async def gauges(self) -> Any:
        return {}

    speeds = gauges

    async def tally(self, *told: Any) -> None:
        pass

    async def ready(self) -> None:
        if self.full is not None:
            raise self.full


def test_not_ready_when_nothing_can_be_written_and_metrics_go_on() -> None:
    cluster: Any = Unwritable()
    gateway = Gateway(Settings(models=(SIM,)), cluster, RateLimiter(cluster), cluster, cluster)

    async def main() -> None:
        async with door(gateway, key=None) as client:
            not_ready = await client.get("/readyz")
            assert (not_ready.status_code, not_ready.json()["error"]) == (503, "no_capacity")
            assert "control plane does not answer" in not_ready.json()["error_message"]
            up = [line for line in (await client.get("/metrics")).text.splitlines() if line.startswith("infernet_up")]
            assert up == [
                'infernet_up{part="scheduler"} 1.0',
                'infernet_up{part="ledger"} 1.0',
                'infernet_up{part="database"} 0.0',
                'infernet_up{part="rate_limiter"} 1.0',
                'infernet_up{part="journal"} 1.0',
            ]
            cluster.full = None
            assert 'infernet_up{part="database"} 1.0' in (await client.get("/metrics")).text

    run(main())
