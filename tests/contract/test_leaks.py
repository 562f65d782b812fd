"""Neither keys nor prompts are found where they have no business: logs, metrics, errors, and of keys the database."""

import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.contract.client import Api, answered, refused
from tests.contract.given import HIGH, KeyMaker, MadeKey, question

if TYPE_CHECKING:
    from tests.support.serving import Serving

PROMPT = f"marker{uuid.uuid4().hex}"


@pytest.fixture(scope="module")
def traces(new_key: KeyMaker, admin: Api, catalogue: object) -> tuple[MadeKey, list[str]]:
    """A key that was used in every way, with a prompt that is easy to find; and the bodies of all refusals."""
    key = new_key(limits=HIGH)
    v1 = "/v1/chat/completions"
    marked = {"messages": [{"role": "user", "content": PROMPT}]}
    with Api(admin.url, key.secret + "0") as stranger:
        answers = [
            key.api.post("/jobs", {"model": "capitals", **marked, "max_tokens": 8}),
            key.api.post("/jobs", question("sim:fast", PROMPT)),
            key.api.request("POST", v1, json=question("sim:fast", PROMPT)),
            key.api.post("/jobs", question("sim:failing", PROMPT)),
            key.api.request("POST", v1, json=question("sim:failing", PROMPT)),
            key.api.post("/jobs", question("sim:failing", PROMPT * 20)),
            key.api.post("/jobs", question("sim:broken", PROMPT)),
            key.api.post("/jobs", question("unheard:of", PROMPT)),
            key.api.post("/jobs", question("sim:fast", PROMPT, temperature=3)),
            key.api.post("/jobs", question("sim:fast", PROMPT, temperature=PROMPT, stop=[1], metadata=PROMPT)),
            key.api.post("/jobs", {"model": "sim:fast", "messages": PROMPT}),
            key.api.post("/jobs", {"model": "sim:fast", "messages": [{"role": PROMPT, "content": PROMPT}]}),
            key.api.post("/jobs", content=f'{{"messages": "{PROMPT}'.encode()),
            key.api.request("POST", v1, json=question("sim:fast", PROMPT, tools=[PROMPT])),
            key.api.request("POST", v1, json={"model": "sim:fast", "messages": PROMPT}),
            key.api.post("/keys", {"name": "x", "limits": PROMPT}),
            key.api.delete(f"/keys/{key.secret}"),
            key.api.get(f"/jobs/{key.secret}"),
            key.api.get("/jobs", params={"cursor": key.secret}),
            key.api.request("GET", f"/nowhere/{key.secret}"),
            stranger.get("/jobs"),
            stranger.request("POST", v1, json=question("sim:fast", PROMPT)),
        ]
    for job in answered(key.api.get("/jobs", params={"limit": 100}))["jobs"]:
        key.api.ended(job["id"])
    return key, [answer.text for answer in answers if answer.status_code >= 400]


def test_no_refusal_says_where_a_model_lies(api: Api, capitals: str) -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    asked = {"model": capitals, "messages": [{"role": "user", "content": [picture]}]}
    assert "/" not in refused(api.request("POST", "/v1/chat/completions", json=asked), 400, "bad_request")


def test_no_refusal_repeats_a_prompt_or_a_key(traces: tuple[MadeKey, list[str]]) -> None:
    key, refusals = traces
    assert len(refusals) > 12
    for text in refusals:
        assert PROMPT not in text
        assert key.secret not in text


def test_no_failed_job_repeats_its_prompt(traces: tuple[MadeKey, list[str]]) -> None:
    key, _ = traces
    failed = answered(key.api.get("/jobs", params={"status": "failed", "limit": 100}))["jobs"]
    assert failed
    assert not [job for job in failed if PROMPT in job["error_message"]]


def test_not_in_metrics_nor_in_the_openapi_document(traces: tuple[MadeKey, list[str]], anonymous: Api) -> None:
    key, _ = traces
    for path in ("/metrics", "/openapi.json", "/readyz"):
        text = anonymous.request("GET", path).text
        assert PROMPT not in text
        assert key.secret not in text


def test_not_in_any_log(traces: tuple[MadeKey, list[str]], serving_here: "Serving") -> None:
    """Ray's session folder has the logs of every process, HAProxy's files are beside it; the state folder the rest."""
    key, _ = traces
    output = "".join(serving_here.lines)
    assert "Serving at" in output
    assert PROMPT not in output
    assert key.secret not in output
    logs = list(files(Path(serving_here.run)))
    assert any("worker" in path.name for path in logs)
    state = [path for path in files(serving_here.state) if not path.name.startswith("infernet.db")]
    assert any(path.name == "ray.log" for path in state)
    assert found_in([*logs, *state], PROMPT) == []
    assert found_in([*logs, *state], key.secret) == []


def test_no_secret_in_the_database(traces: tuple[MadeKey, list[str]], serving_here: "Serving") -> None:
    key, _ = traces
    database = serving_here.database()
    assert PROMPT.encode() in database, "the database is not where this test looks for it"
    for secret in (key.secret, key.secret.removeprefix("inft_"), serving_here.connection.key):
        assert secret.encode() not in database


def test_a_processs_arguments_hold_no_key(traces: tuple[MadeKey, list[str]], serving_here: "Serving") -> None:
    key, _ = traces
    lines = subprocess.run(["ps", "axww", "-o", "args"], capture_output=True, text=True, check=True).stdout
    assert key.secret not in lines
    assert serving_here.connection.key not in lines


def files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


def found_in(paths: list[Path], text: str) -> list[Path]:
    return [path for path in paths if path.exists() and text.encode() in path.read_bytes()]
