"""The client against a real server: its answers, its refusals and its streams, whole and broken."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from api.cli.client import Client
from api.cli.connection import Connection, read, resolve, state_folder, write
from api.cli.responses import RemoteError
from cluster.errors import ConfigError
from tests.support.contract_server import JOB, KEY, TEXT, Act, ContractServer, End, Stage

BODY = {"model": "sim:fast", "messages": [{"role": "user", "content": "Hello"}]}
NO_PAUSES = (0.0, 0.0, 0.0)


@pytest.fixture(scope="module")
def running() -> Iterator[ContractServer]:
    with ContractServer() as server:
        yield server


@pytest.fixture
def stage(running: ContractServer) -> Stage:
    running.stage = Stage()
    return running.stage


@pytest.fixture
def client(running: ContractServer, stage: Stage) -> Iterator[Client]:
    with Client(running.connection, NO_PAUSES) as client:
        yield client


def test_submit_answers_the_pending_job_and_its_headers(client: Client, stage: Stage) -> None:
    assert client.submit(BODY)["id"] == JOB
    assert stage.submitted == [{**BODY, "stream": False}]
    assert client.headers["X-RateLimit-Remaining"] == "59"


def test_job_waits_on_the_server(client: Client, stage: Stage) -> None:
    stage.job = {"id": JOB, "status": "completed"}
    assert client.job(JOB, wait=7) == stage.job
    assert stage.queries == [{"wait": "7"}]


def test_jobs_sends_only_what_was_given(client: Client, stage: Stage) -> None:
    assert client.jobs(limit=3, since="2026-04-30") == {"jobs": []}
    assert stage.queries == [{"limit": "3", "since": "2026-04-30"}]


def test_models_are_the_ready_ones_or_all(client: Client, stage: Stage) -> None:
    stage.models, stage.catalogue = [{"id": "a"}], [{"id": "a"}, {"id": "b"}]
    assert len(client.models()["models"]) == 1
    assert len(client.models(all=True)["models"]) == 2


@pytest.mark.parametrize("ready", [True, False])
def test_ready_tells_whether_a_job_can_be_accepted(client: Client, stage: Stage, ready: bool) -> None:
    stage.ready = ready
    assert client.ready() is ready


def test_server_time_is_that_of_the_last_answer(client: Client) -> None:
    client.headers = httpx.Headers({"Date": "Thu, 30 Apr 2026 14:23:41 GMT"})
    assert client.server_time() == datetime(2026, 4, 30, 14, 23, 41, tzinfo=UTC)
    client.headers = httpx.Headers()
    assert client.server_time().tzinfo is UTC


def test_an_unknown_job_is_refused_with_its_code(client: Client) -> None:
    with pytest.raises(RemoteError, match=r"^No such job \(job_not_found\)$") as refused:
        client.job("job_none")
    assert refused.value.status == 404


def test_a_foreign_refusal_is_named_by_its_status(client: Client) -> None:
    with pytest.raises(RemoteError, match="answered 404 Not Found") as refused:
        client.job("no/such/path")
    assert refused.value.code == "http_404"


@pytest.mark.parametrize("page", ["<html>", "[]", "{}", '{"models": 3}', '{"models": ["a"]}'])
def test_a_foreign_answer_is_a_bad_answer(client: Client, stage: Stage, page: str) -> None:
    stage.page = page
    with pytest.raises(RemoteError, match="is the URL right"):
        client.models()


def test_a_stream_gives_the_text_and_the_job(client: Client, stage: Stage) -> None:
    assert "".join(client.stream(BODY)) == TEXT
    assert stage.submitted == [{**BODY, "stream": True}]
    assert client.headers["X-Job-Id"] == JOB
    assert stage.asked == []


def test_text_arrives_while_the_job_still_runs(client: Client, stage: Stage) -> None:
    stage.acts = [Act(events=1, then="hang")]
    pieces = client.stream(BODY)
    assert next(pieces) == TEXT[:2]
    stage.gate.set()
    assert list(pieces) == []


@pytest.mark.parametrize("end", ["cut", "half", "silence"])
def test_a_broken_stream_goes_on_where_it_stopped(client: Client, stage: Stage, end: End) -> None:
    # Each stream cuts the text differently, as another replica may.
    stage.acts = [
        Act(events=4, then=end),
        Act(events=1, then=end, size=3),
        Act(events=0, then=end),
        Act(size=1),
    ]
    assert "".join(client.stream(BODY)) == TEXT
    assert stage.asked == ["8", "11", "11"]
    assert len(stage.submitted) == 1


def test_a_position_is_given_back_with_the_number_of_its_text(client: Client, stage: Stage) -> None:
    """A job that began anew before anybody was told of it has ids of a text that is not its first one."""
    stage.acts = [Act(events=4, then="cut", text="4210-"), Act(events=0, then="cut"), Act(text="4210-")]
    assert "".join(client.stream(BODY)) == TEXT
    assert stage.asked == ["4210-8", "4210-8"]


def test_follow_begins_where_it_is_told(client: Client, stage: Stage) -> None:
    stage.acts = [Act(events=1, then="cut")]
    assert "".join(client.follow(JOB, after=7)) == TEXT[7:]
    assert stage.asked == ["7", "9"]


def test_what_a_model_thinks_is_told_apart_and_has_positions_too(client: Client, stage: Stage) -> None:
    stage.kinds = {"reasoning": 6, "tool_calls": 9}
    stage.acts = [Act(events=4, then="cut"), Act(replay=True, size=3)]
    told = {"reasoning": "", "tool_calls": "", "text": ""}
    for kind, text in client.hear(JOB):
        told[kind] += text
    assert told == {"reasoning": TEXT[:6], "tool_calls": TEXT[6:9], "text": TEXT[9:]}


def test_a_server_that_repeats_itself_is_not_repeated(client: Client, stage: Stage) -> None:
    stage.acts = [Act(events=3, then="cut"), Act(size=4, replay=True)]
    assert "".join(client.stream(BODY)) == TEXT


def test_a_passing_refusal_is_tried_again(client: Client, stage: Stage) -> None:
    stage.acts = [Act(events=1, then="cut"), Act(status=500), Act(status=503)]
    assert "".join(client.stream(BODY)) == TEXT


def test_a_refusal_for_good_is_not_tried_again(client: Client, stage: Stage) -> None:
    stage.acts = [Act(events=1, then="cut"), Act(status=404)]
    with pytest.raises(RemoteError):
        list(client.stream(BODY))
    assert stage.asked == ["2"]


def test_attempts_without_text_are_bounded_and_text_starts_them_anew(client: Client, stage: Stage) -> None:
    lost = Act(events=0, then="cut")
    stage.acts = [lost, lost, lost, Act(events=1, then="cut"), lost, lost, lost]
    text = client.follow(JOB)
    assert next(text) == TEXT[:2]
    with pytest.raises(httpx.TransportError):
        next(text)
    assert stage.acts == []
    assert stage.asked == ["0"] * 4 + ["2"] * 3


def test_an_error_event_ends_the_text_with_an_error(client: Client, stage: Stage) -> None:
    stage.acts = [Act(events=2, then="error")]
    text = client.follow(JOB)
    assert next(text) + next(text) == TEXT[:4]
    with pytest.raises(RemoteError, match="The node is gone") as failed:
        next(text)
    assert (failed.value.code, failed.value.status) == ("node_disconnected", None)
    assert stage.asked == ["0"]


def test_a_stream_refused_before_its_first_event_raises(client: Client) -> None:
    with pytest.raises(RemoteError) as refused:
        next(client.stream({**BODY, "model": "none"}))
    assert (refused.value.code, refused.value.status) == ("model_not_found", 404)


def test_a_wrong_key_is_unauthorised(running: ContractServer) -> None:
    with Client(Connection(running.url, "inft_wrong")) as stranger, pytest.raises(RemoteError) as refused:
        stranger.models()
    assert (refused.value.code, refused.value.status) == ("unauthorized", 401)


def test_the_flags_win_over_the_environment_and_it_over_the_folder(tmp_path: Path) -> None:
    write(tmp_path, Connection("http://kept", "kept"))
    env = {"INFERNET_URL": "http://env", "INFERNET_KEY": "env"}
    assert resolve("http://flag", "flag", tmp_path, env) == Connection("http://flag", "flag")
    assert resolve(None, None, tmp_path, env) == Connection("http://env", "env")
    assert resolve(None, None, tmp_path, {}) == Connection("http://kept", "kept")
    assert resolve(None, "flag", tmp_path, {}) == Connection("http://kept", "flag")
    assert resolve(None, None, None, {"INFERNET_STATE": str(tmp_path)}) == Connection("http://kept", "kept")


def test_a_kept_key_goes_to_its_own_server_only(tmp_path: Path) -> None:
    write(tmp_path, Connection("http://kept", "kept"))
    assert resolve("http://kept/", None, tmp_path, {}).key == "kept"
    with pytest.raises(ConfigError, match="No key for http://other"):
        resolve("http://other", None, tmp_path, {})


def test_nothing_known_says_how_to_give_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="INFERNET_URL"):
        resolve(None, None, tmp_path / "none", {})


def test_a_written_connection_is_its_owners_and_comes_back(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "state"
    write(folder, Connection("http://a", "first"))
    write(folder, Connection("http://b/", f" {KEY}\n"))
    kept = folder / "connection.json"
    assert read(folder) == Connection("http://b", KEY)
    assert json.loads(kept.read_text()) == {"url": "http://b", "key": KEY}
    assert kept.stat().st_mode & 0o777 == 0o600
    assert list(folder.iterdir()) == [kept]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"url": 3, "key": 4}', f'{{"url": "x", "key": "{KEY}"}}'])
def test_a_spoilt_file_is_named_and_not_quoted(tmp_path: Path, text: str) -> None:
    (tmp_path / "connection.json").write_text(text)
    with pytest.raises(ConfigError, match=r"connection\.json") as error:
        read(tmp_path)
    assert KEY not in str(error.value)


@pytest.mark.parametrize(
    "url",
    [
        *("", "localhost:8000", "ftp://a", "http://", "http://u:p@a", "http://a/?q", "a b"),
        *("http://[::1", "http://a..b", "http://a:99999"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="url"):
        Connection(url, KEY)


@pytest.mark.parametrize("key", ["", "  ", "two words", "kéy", "a\nb"])
def test_a_key_that_cannot_be_sent_is_refused_unseen(key: str) -> None:
    with pytest.raises(ConfigError, match=r"^key: a key is printable"):
        Connection("http://a", key)


def test_a_connection_does_not_show_its_key() -> None:
    assert KEY not in repr(Connection("http://a", KEY))


def test_the_state_folder_is_the_users_own_by_default() -> None:
    assert state_folder(None, {}) == Path.home() / ".infernet"
