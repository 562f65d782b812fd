"""Processes of the system are killed and stopped while streams run: every stream is told the undisturbed text."""

from collections.abc import Iterator

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.chaos.disturbances import CORE, DATABASE, HAPROXY, REPLICA, Deed, Disturbance, may_lose_texts, name_of
from tests.chaos.streams import MODEL, SETTINGS, Streams, wait_until_whole, wrongs
from tests.chaos.webhooks import TOLD_WITHIN_S, killed_while_jobs_end, question, register, untold
from tests.support.collector import Collector, collecting, tree
from tests.support.serving import Serving
from tests.support.waiting import wait_until
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


TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory, collector: Collector) -> Iterator[Serving]:
    of_clients_choice = {"endpoint": collector.url, "ratio": 0}
    system = Serving(tmp_path_factory.mktemp("chaos"), SETTINGS | {"traces": of_clients_choice})
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
    assert len(jobs) > 20, "so many that some end while each of them is killed"
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


def test_the_spans_of_a_job_whose_engine_is_killed(serving: Serving, collector: Collector) -> None:
    body = {"model": MODEL, "messages": [{"role": "user", "content": "canary"}], "stream": True}
    headers = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01", "X-Request-Id": "of-the-client"}
    with serving.http() as client, client.stream("POST", "/api/v1/jobs", json=body, headers=headers) as answer:
        lines = answer.iter_lines()
        assert any(line.startswith("data: ") for line in lines), "it speaks"
        collector.spans("prefill")
        for process in serving.actors("Engine"):
            process.kill()
        assert "[DONE]" in "".join(lines)
        job_id = answer.headers["X-Job-Id"]
    wait_until(lambda: sum("." not in span.name for span in collector.spans()) >= 13, 20, "all spans of a job")
    all_told = collector.spans()
    told = [span for span in all_told if "." not in span.name]  # but for calls that a replica makes the first time
    assert tree(told) == [
        "POST /api/v1/jobs",
        "  submit",
        "    ledger write",
        "  job",
        "    queue",
        f"    chat {MODEL} failed",
        "      prefill",
        "    move",
        f"    chat {MODEL}",
        "      prefill",
        "      decode",
        "    end",
        "      ledger write",
    ]
    assert {span.trace_id for span in all_told} == {TRACE}, "others are not traced"
    parts = {(span.name, span.part) for span in told}
    assert parts >= {("submit", "ingress"), ("ledger write", "ledger"), ("job", "scheduler"), ("end", "journal")}
    assert ("decode", "engine") in parts
    assert b"canary" not in collector.raw
    (log,) = serving.state.glob("logs/*/infernet.log")
    moved = [line for line in log.read_text().splitlines() if f"job={job_id} request=of-the-client" in line]
    assert ["goes on after token" in line for line in moved] == [True]
    wait_until_whole(serving)


def test_a_call_from_one_process_to_another_is_two_spans(serving: Serving, collector: Collector) -> None:
    trace = "0" + TRACE[1:]
    with serving.http() as client:
        headers = {"traceparent": f"00-{trace}-00f067aa0ba902b7-01"}
        assert client.get("/api/v1/models", headers=headers).status_code == 200
    told = collector.of_trace(trace, 5)
    assert sorted(tree(told)) == [
        *("    Ledger.speeds", "    Scheduler.models"),
        *("  Ledger.speeds", "  Scheduler.models"),
        "GET /api/v1/models",
    ]
    both = [(span.kind, span.part) for span in told if span.name == "Scheduler.models"]
    assert sorted(both) == [(Span.SPAN_KIND_SERVER, "scheduler"), (Span.SPAN_KIND_CLIENT, "ingress")]
