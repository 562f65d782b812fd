"""Processes of the system are killed and stopped while streams run: every stream is told the undisturbed text."""

from collections.abc import Iterator

import pytest

from tests.chaos.disturbances import CORE, DATABASE, HAPROXY, REPLICA, Deed, Disturbance, may_lose_texts, name_of
from tests.chaos.streams import MODEL, SETTINGS, Streams, wait_until_whole, wrongs
from tests.chaos.webhooks import TOLD_WITHIN_S, killed_while_jobs_end, question, register, untold
from tests.support.serving import Serving
from tests.support.webhook_log import WebhookLog

GO_ON_S = 10.0
STOPPED_S = 20.0


def kill(*processes: str) -> Disturbance:
    return tuple(Deed("kill", process) for process in processes)


# A bounded part: every kind of process once, and the pairs in which one should have helped the other.
# `make chaos` draws from all there is.
DISTURBANCES: list[Disturbance] = [
    kill("Engine"),
    kill("Journal"),
    kill("Scheduler", "Ledger"),
    kill("RateLimiter", "NodeAgent"),
    kill("Supervisor", "Scheduler"),
    kill(REPLICA, "Engine"),
    kill("Journal", "Engine"),
    kill("Courier", "Ledger", "Journal"),
    kill(HAPROXY),
    (Deed("stop", "Journal", 2.0), Deed("kill", "Scheduler")),
    (Deed("lock", DATABASE, 7.0), *kill("Journal")),
    (Deed("take away", DATABASE, 4.0), *kill(*CORE)),
]


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    system = Serving(tmp_path_factory.mktemp("chaos"), SETTINGS)
    try:
        yield system.wait_until_ready(MODEL)
        assert system.stop() == 0
    finally:
        system.end()


@pytest.fixture(scope="module")
def log(serving: Serving) -> Iterator[WebhookLog]:
    """It is told of the end of every job."""
    with WebhookLog() as log:
        register(serving, log)
        yield log


@pytest.mark.parametrize("disturbance", DISTURBANCES, ids=name_of)
def test_streams_survive_the_loss_of(disturbance: Disturbance, serving: Serving, log: WebhookLog) -> None:
    told = Streams(serving, name_of(disturbance)).read_under(disturbance)
    assert wrongs(serving, told, may_lose_texts(disturbance)) == []
    assert untold(log, [each.job_id for each in told]) == []
    wait_until_whole(serving)


def test_the_end_of_every_job_is_told_whatever_is_killed_while_jobs_end(serving: Serving, log: WebhookLog) -> None:
    jobs = killed_while_jobs_end(serving, log, ["Courier", "Ledger", "Journal", "Courier", "Journal", "Ledger"])
    assert len(jobs) > 100
    assert untold(log, jobs) == []
    wait_until_whole(serving)


def test_what_is_to_be_tried_again_is_though_who_would_have_is_killed(serving: Serving) -> None:
    refusals = iter([500] * 5)
    with WebhookLog(lambda _: next(refusals, 204)) as log:
        register(serving, log)
        with serving.client() as client:
            jobs = [client.submit(question(f"again {number}"))["id"] for number in range(5)]
        log.wait_for(lambda: len({noted.id for noted in log.noted}) == 5)
        for process in (*serving.actors("Courier"), *serving.actors("Ledger")):
            process.kill()
        log.wait_for(lambda: len(log.noted) >= 10, TOLD_WITHIN_S)
        assert untold(log, jobs) == []
    wait_until_whole(serving)


def test_streams_of_an_engine_that_is_stopped_go_on_within_10_s(serving: Serving) -> None:
    told = Streams(serving, "a stopped engine").read_under((Deed("stop", "Engine", STOPPED_S),))
    assert wrongs(serving, told) == []
    assert 0.5 < max(each.longest_pause_s for each in told) < GO_ON_S
    wait_until_whole(serving)
