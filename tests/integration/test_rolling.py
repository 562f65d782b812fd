"""Options of a model change on a running cluster, under streams: a new engine takes the place of the old one."""

import threading
import time
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from actors.backends.simulated import simulated_text
from api.cli.client import Client
from api.cli.responses import RemoteError
from api.cli.run.ports import free_port
from cluster.messages.work import ChatMessage
from tests.support.given_cluster import Cluster, given_cluster
from tests.support.serving import START_S, Serving, in_parallel
from tests.support.waiting import wait_until

STREAMS = 8
TOKENS = 3_000
OLD, NEW = 8_000, 9_000
LOOK_S = 0.25
MOST_SILENT_S = 10.0
"""Ingress replicas are replaced, too, and readers begin to read again."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with given_cluster() as cluster:
        yield cluster


def _model(context_length: int) -> dict[str, Any]:
    engine = {"token_s": 0.02, "output_tokens": TOKENS, "context_length": context_length, "batch_slots": 32}
    replicas = {"min": 1, "max": 1, "drain_s": 3}
    return {"id": "sim:rolls", "backend": "simulated", "gpus": 1, "replicas": replicas, "engine": engine}


def _body(number: int) -> dict[str, Any]:
    messages = [{"role": "user", "content": f"Stream {number}"}]
    return {"model": "sim:rolls", "messages": messages, "max_tokens": TOKENS, "stream": True}


def _answer(number: int) -> str:
    return simulated_text((ChatMessage("user", f"Stream {number}"),), None, TOKENS)


class Reader:
    """One stream, and the longest time for which it told nothing."""

    def __init__(self, system: Serving, number: int) -> None:
        self._system = system
        self._number = number
        self.text = ""
        self.longest_silence_s = 0.0

    def read(self) -> None:
        with Client(self._system.connection, pauses_s=[0.5] * 120) as client:
            heard_s = time.monotonic()
            for piece in client.stream(_body(self._number)):
                now_s = time.monotonic()
                self.longest_silence_s = max(self.longest_silence_s, now_s - heard_s)
                self.text, heard_s = self.text + piece, now_s


@pytest.mark.long
@pytest.mark.timeout(400)
def test_a_changed_model_is_replaced_under_streams_and_never_without_a_ready_replica(
    cluster: Cluster, tmp_path: Path
) -> None:
    port = free_port()
    first = _joined(cluster, tmp_path, port, OLD).wait_until_ready("sim:rolls")
    (old,) = cluster.living("Engine")
    readers = [Reader(first, number) for number in range(STREAMS)]
    reading = threading.Thread(target=in_parallel, args=([reader.read for reader in readers],))
    reading.start()
    wait_until(lambda: all(reader.text for reader in readers), START_S)
    first.process.kill()
    first.process.wait()
    second = _joined(cluster, tmp_path, port, NEW)
    try:
        with Client(second.connection, pauses_s=[0.5] * 120) as client:
            told = _follow(client)
            second.wait_until_ready("sim:rolls")
            reading.join()
            assert [reader.text for reader in readers] == [_answer(number) for number in range(STREAMS)]
            assert max(reader.longest_silence_s for reader in readers) < MOST_SILENT_S
            wait_until(lambda: len(cluster.living("Engine")) == 1, START_S)
            (new,) = cluster.living("Engine")
            assert old["name"] != new["name"]
            assert min(model["replicas"] for model in told) >= 1
            assert told[-1]["context_length"] == NEW
            assert "".join(client.stream({**_body(0), "max_tokens": 5})) == _answer(0)[: len(_first_tokens())]
        assert second.interrupt() == 0
    finally:
        second.end()


def _follow(client: Client) -> list[dict[str, Any]]:
    """All that is told of the model from when the new Scheduler has heard of the old engine until that has gone."""
    told: list[dict[str, Any]] = []
    give_up_s = time.monotonic() + START_S
    while not told or "settings before" in told[-1]["scaling"]:
        assert time.monotonic() < give_up_s, told
        # While the control plane begins anew, it may not answer.
        with nullcontext() if told else suppress(RemoteError, httpx.TransportError):
            (model,) = client.models(all=True)["models"]
            if told or "settings before" in model["scaling"]:
                told.append(model)
        time.sleep(LOOK_S)
    return told


def _first_tokens() -> str:
    return simulated_text((ChatMessage("user", "Stream 0"),), None, 5)


def _joined(cluster: Cluster, folder: Path, port: int, context_length: int) -> Serving:
    flags = ("--ray-address", cluster.address)
    return Serving(folder, {"models": [_model(context_length)]}, *flags, port=port, env=cluster.environment)
