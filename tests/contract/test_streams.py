"""GET /jobs/{id}/stream and the stream of POST: `streams.read` checks the framing, the ids and the end of each."""

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from tests.contract.catalogue import Catalogue
from tests.contract.client import Api, answered, refused
from tests.contract.given import question
from tests.contract.streams import events, read

if TYPE_CHECKING:
    from tests.support.serving import Serving

WORKERS = 16


def test_the_texts_joined_are_the_result(api: Api, model: str) -> None:
    job_id, told = api.submit_streamed(question(model, max_tokens=64))
    assert told.events[-1].done
    assert told.text == api.ended(job_id)["result"]["content"]
    assert api.read(job_id).text == told.text


def test_text_arrives_while_it_is_generated(api: Api, slow: str) -> None:
    with api.stream("POST", "/jobs", json=question(slow, stream=True, max_tokens=40)) as response:
        told = events(response)
        texts = [next(told) for _ in range(3)]
        assert api.job(response.headers["X-Job-Id"])["status"] == "processing"
    assert all(event.text for event in texts)


def test_ids_count_code_points_also_outside_the_bmp(api: Api, fast: str) -> None:
    job_id, told = api.submit_streamed(question(fast, max_tokens=64))
    assert max(told.text) > "\uffff"
    assert "\n" in told.text  # as an escape: each event has one line of data
    assert [event.id for event in told.events if event.text][-1] == len(told.text)
    assert told.events[-1].id is None
    assert api.ended(job_id)["result"]["content"] == told.text


def test_a_stream_goes_on_from_every_position_on_any_replica(api: Api, model: str) -> None:
    job_id, told = api.submit_streamed(question(model, "What is the capital of Brazil?", max_tokens=64))

    def rest(position: int) -> str:
        with api.another() as another:
            if position % 2:
                return another.read(job_id, after=position).text
            return another.read(job_id, headers={"Last-Event-ID": str(position)}).text

    positions = range(len(told.text) + 1)
    with ThreadPoolExecutor(WORKERS) as pool:
        assert list(pool.map(rest, positions)) == [told.text[position:] for position in positions]


def test_a_live_stream_goes_on_wherever_it_was_left(api: Api, fast: str) -> None:
    job_id = api.submit(question(fast, max_tokens=64))["id"]
    text, ended = "", False
    while not ended:
        headers = {"Last-Event-ID": str(len(text))} if text else {}
        with api.another() as another, another.stream("GET", f"/jobs/{job_id}/stream", headers=headers) as response:
            for count, event in enumerate(events(response)):
                text += event.text
                if event.id is not None:
                    assert event.id == len(text)
                ended = event.done
                if count == 2:
                    break
    assert text == api.ended(job_id)["result"]["content"]


def test_after_wins_over_last_event_id(api: Api, fast: str) -> None:
    job_id, told = api.submit_streamed(question(fast))
    assert api.read(job_id, after=5, headers={"Last-Event-ID": "9"}).text == told.text[5:]
    assert api.read(job_id, after=0, headers={"Last-Event-ID": "9"}).text == told.text
    assert api.read(job_id, after=5, headers={"Last-Event-ID": "nonsense"}).text == told.text[5:]


def test_a_position_beyond_the_end_gives_the_end_alone(api: Api, model: str) -> None:
    job_id, told = api.submit_streamed(question(model))
    for beyond in (0, 1, 1000, 2**62):
        (event,) = api.read(job_id, after=len(told.text) + beyond).events
        assert event.done


def test_a_position_is_one_in_the_text_that_its_id_names(api: Api, fast: str) -> None:
    job_id, told = api.submit_streamed(question(fast))
    [epoch] = {event.epoch for event in told.events if event.text}
    for position in ({"params": {"after": f"{epoch}-3"}}, {"headers": {"Last-Event-ID": f"{epoch}-3"}}):
        with api.stream("GET", f"/jobs/{job_id}/stream", **position) as response:
            assert read(response, 3).text == told.text[3:]
    with api.stream("GET", f"/jobs/{job_id}/stream", params={"after": f"{epoch + 1}-3"}) as response:
        (event,) = read(response).events
        assert event.error is not None
        assert event.error["error"] == "stream_lost"


@pytest.mark.parametrize(
    "position", ["-1", "1.5", "1-", "0-1", "1-2-3", "01-1", "1.0", "x", " ", "+1", "0x1", "１", "9" * 30, "1 ", "null"]
)
def test_a_malformed_position(api: Api, fast: str, position: str) -> None:
    job_id = api.submit(question(fast))["id"]
    refused(api.get(f"/jobs/{job_id}/stream", params={"after": position}), 400, "bad_request", "after")
    if position.isascii() and position == position.strip():
        headers = {"Last-Event-ID": position}
        refused(api.get(f"/jobs/{job_id}/stream", headers=headers), 400, "bad_request", "Last-Event-ID")


def test_an_empty_after_is_malformed(api: Api, fast: str) -> None:
    job_id = api.submit(question(fast))["id"]
    refused(api.get(f"/jobs/{job_id}/stream?after="), 400, "bad_request", "after")


def test_headers(api: Api, fast: str) -> None:
    job_id = api.run(question(fast))["id"]
    with api.stream("GET", f"/jobs/{job_id}/stream") as response:
        assert response.headers["Cache-Control"] == "no-cache, no-transform"
        assert response.headers["X-Accel-Buffering"] == "no"
        assert "Content-Length" not in response.headers
        assert read(response).events[-1].done


def test_a_late_reader_gets_all_then_follows(api: Api, fast: str) -> None:
    job_id = api.submit(question(fast, max_tokens=64))["id"]
    early = api.read_some(job_id, pieces=5)
    assert api.job(job_id)["status"] == "processing"
    told = api.read(job_id)
    assert told.text.startswith(early)
    assert told.text == api.ended(job_id)["result"]["content"]


def test_a_completed_job_replays_as_often_as_asked(api: Api, model: str) -> None:
    job_id, told = api.submit_streamed(question(model))
    api.ended(job_id)
    for _ in range(3):
        again = api.read(job_id)
        assert again.text == told.text
        assert again.events[-1].done


def test_readers_that_come_and_go_at_once_all_get_the_end(api: Api, fast: str) -> None:
    """One leaves the replica just as the next one comes to it."""
    job_id, told = api.submit_streamed(question(fast, max_tokens=3))

    def texts(_: int) -> set[str]:
        with api.another() as another:
            return {another.read(job_id).text for _ in range(60)}

    with ThreadPoolExecutor(12) as pool:
        assert set().union(*pool.map(texts, range(12))) == {told.text}


def test_a_reader_of_a_pending_job_waits_for_it(api: Api, hanging: str) -> None:
    holder, waiting = api.submit(question(hanging))["id"], api.submit(question(hanging))["id"]
    opened = threading.Event()

    def first() -> str:
        with api.another() as another, another.stream("GET", f"/jobs/{waiting}/stream") as response:
            opened.set()
            return next(event.text for event in events(response) if event.text)

    with ThreadPoolExecutor(1) as pool:
        text = pool.submit(first)
        assert opened.wait(10)
        api.read_some(holder)
        answered(api.post(f"/jobs/{holder}/cancel"))
        assert text.result(10)


def test_a_failed_job_gives_its_partial_text_and_one_error(api: Api, failing: str) -> None:
    """To the reader of its submission, to a live one and to late ones."""
    job_id, posted = api.submit_streamed(question(failing))
    job = api.ended(job_id)
    live = api.read(api.submit(question(failing))["id"])
    for told in (posted, api.read(job_id), api.read(job_id), live):
        assert told.text
        assert told.text == posted.text
        assert told.error == {"error": job["error"], "message": job["error_message"]}
        assert told.events[-1].id is None
    beyond = api.read(job_id, after=len(posted.text) + 9)
    assert [event.error for event in beyond.events] == [posted.error]


def test_twenty_readers_at_once(api: Api, fast: str) -> None:
    job_id = api.submit(question(fast, max_tokens=64))["id"]

    def text(_: int) -> str:
        with api.another() as another:
            return another.read(job_id).text

    with ThreadPoolExecutor(20) as pool:
        texts = set(pool.map(text, range(20)))
    assert texts == {api.ended(job_id)["result"]["content"]}


def test_a_reader_that_leaves_does_not_stop_the_job(api: Api, model: str) -> None:
    with api.another() as another, another.stream("POST", "/jobs", json=question(model, stream=True)) as response:
        job_id = response.headers["X-Job-Id"]
    follower = api.submit(question(model))["id"]
    api.read_some(follower)
    for job in (job_id, follower):
        assert api.ended(job)["status"] == "completed"


def test_a_ping_within_15_s_of_silence(api: Api, hanging: str) -> None:
    with api.stream("POST", "/jobs", json=question(hanging, stream=True)) as response:
        told, last_s = events(response), 0.0
        for event in told:
            if not event.text:
                break
            last_s = time.monotonic()
        assert time.monotonic() - last_s <= 15
        assert not event.ends


def test_no_character_is_split(api: Api, catalogue: Catalogue) -> None:
    """Each event is decoded by itself; the answer has a character of two bytes, from vLLM."""
    body = question(catalogue.need("capitals"), "What is the capital of Brazil?", temperature=0)
    job_id, told = api.submit_streamed(body)
    assert told.text == "Brasília is the capital of Brazil."
    assert api.ended(job_id)["result"]["content"] == told.text


LONG_TOKENS = 24_000
RATE = 64 * 1024


@contextmanager
def reader_with_a_small_window(api: Api, job_id: str) -> Iterator[socket.socket]:
    """A connection that has asked for the stream, and holds little that it has not read."""
    address = urlsplit(api.url)
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect((address.hostname, address.port))
        lines = f"GET /api/v1/jobs/{job_id}/stream HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {api.key}\r\n\r\n"
        connection.sendall(lines.encode())
        yield connection


def test_a_reader_of_64_kib_per_second_gets_everything(api: Api, long: str) -> None:
    job_id = api.submit(question(long, max_tokens=8_000))["id"]
    text, began_s, taken = "", time.monotonic(), 0
    with api.stream("GET", f"/jobs/{job_id}/stream") as response:
        for event in events(response):
            text += event.text
            taken += 40 + len(event.text.encode())
            time.sleep(max(0.0, began_s + taken / RATE - time.monotonic()))
    assert text == api.ended(job_id)["result"]["content"]


def test_stuck_readers_hold_up_nobody_and_cost_no_memory(api: Api, long: str, serving_here: "Serving") -> None:
    ingress = serving_here.actors("ServeReplica:infernet")
    assert len(ingress) == 2
    job_id = api.submit(question(long, max_tokens=LONG_TOKENS))["id"]
    with ExitStack() as stuck:
        for _ in range(20):
            stuck.enter_context(reader_with_a_small_window(api, job_id))
        before = [process.memory_info().rss for process in ingress]
        told = api.read(job_id)
        assert told.text == api.ended(job_id)["result"]["content"]
        size = len(told.text.encode())
        assert size > 150_000
        grown = sum(process.memory_info().rss for process in ingress) - sum(before)
        # The text itself, as pieces and as events, for each replica; not once for each reader.
        assert grown < 20 * 1024 * 1024
        assert api.run(question(long, max_tokens=10))["status"] == "completed"


def test_a_reader_that_was_stuck_gets_everything_in_the_end(api: Api, long: str) -> None:
    job_id = api.submit(question(long, max_tokens=4_000))["id"]
    with reader_with_a_small_window(api, job_id) as connection:
        content = api.ended(job_id)["result"]["content"]
        received = b""
        while not received.endswith(b"0\r\n\r\n"):  # the last chunk of the body
            received += connection.recv(65536)
    assert b"data: [DONE]\n\n" in received
    assert api.read(job_id).text == content
    assert f"id: {len(content)}\n".encode() in received
