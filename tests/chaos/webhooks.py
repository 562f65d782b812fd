"""Jobs that end one after the other while processes are killed, and the webhooks that tell of them."""

import threading
import uuid
from collections import defaultdict
from collections.abc import Iterable
from functools import partial

import httpx

from tests.chaos.streams import MODEL
from tests.support.serving import Serving, in_parallel
from tests.support.webhook_log import WebhookLog

SUBMITTERS = 6
QUICK_TOKENS = 3
TOLD_BETWEEN_KILLS = 12
TOLD_WITHIN_S = 90.0


def register(serving: Serving, log: WebhookLog, path: str = "/hook") -> None:
    """Have this log told of the end of every job."""
    with serving.http() as http:
        answer = http.post("/api/v1/webhooks", json={"url": log.url(path)})
        assert answer.status_code == httpx.codes.CREATED, answer.text


def untold(log: WebhookLog, job_ids: Iterable[str], path: str = "/hook") -> list[str]:
    """What is not as it must be, once all of these have been told: each job under one id, however often."""
    wanted = set(job_ids)
    log.wait_for(lambda: wanted <= {noted.event["data"]["id"] for noted in log.of(path)}, TOLD_WITHIN_S)
    ids: dict[str, set[str]] = defaultdict(set)
    for noted in log.of(path):
        ids[noted.event["data"]["id"]].add(noted.id)
    return [f"{job_id}: told as {ids[job_id]}" for job_id in wanted if len(ids[job_id]) != 1]


def question(text: str) -> dict[str, object]:
    """A quick job."""
    return {"model": MODEL, "messages": [{"role": "user", "content": text}], "max_tokens": QUICK_TOKENS}


class Ends:
    """Quick jobs, submitted until `over`. Each is sent again under its idempotency key until it has been taken."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving
        self.over = threading.Event()

    def submitted(self) -> list[str]:
        """The ids of all jobs that were taken."""
        return [job_id for ids in in_parallel([self._submit_until_over] * SUBMITTERS) for job_id in ids]

    def _submit_until_over(self) -> list[str]:
        ids: list[str] = []
        with self._serving.http() as http:
            while not self.over.is_set():
                ids.append(self._taken(http))
        return ids

    def _taken(self, http: httpx.Client) -> str:
        name = uuid.uuid4().hex
        body = question(name)
        while True:
            try:
                answer = http.post("/api/v1/jobs", json=body, headers={"Idempotency-Key": name})
            except httpx.TransportError:
                continue  # its ingress is gone: another answers
            if answer.status_code == httpx.codes.OK:
                job_id = str(answer.json()["id"])
                http.get(f"/api/v1/jobs/{job_id}", params={"wait": 5})
                return job_id
            assert answer.status_code == httpx.codes.SERVICE_UNAVAILABLE, answer.text


def killed_while_jobs_end(serving: Serving, log: WebhookLog, kinds: Iterable[str]) -> list[str]:
    """The jobs that were taken while one process of each of these kinds was killed, in the midst of what is told."""
    ends = Ends(serving)
    return in_parallel([ends.submitted, partial(_kill_each, serving, log, kinds, ends.over)])[0]


def _kill_each(serving: Serving, log: WebhookLog, kinds: Iterable[str], over: threading.Event) -> None:
    try:
        for kind in kinds:
            process = serving.actors(kind)[0]
            _hear_some(log)
            process.kill()
        _hear_some(log)
    finally:
        over.set()


def _hear_some(log: WebhookLog) -> None:
    told = len(log.noted) + TOLD_BETWEEN_KILLS
    log.wait_for(lambda: len(log.noted) >= told, TOLD_WITHIN_S, "what comes between two kills")
