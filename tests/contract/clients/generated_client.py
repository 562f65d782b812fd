"""The client that openapi-python-client makes of /openapi.json, with its default options, used as it is."""

import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

import httpx
import pytest

from tests.contract.clients.subject import ANSWER, QUESTION

Operation = Callable[[str], Any]


@pytest.fixture(scope="session")
def base(url: str) -> str:
    return url.removesuffix("/v1")


@pytest.fixture(scope="session")
def generated(base: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The client's package. Every operation has to be in it: what the generator leaves out, it warns of."""
    folder = tmp_path_factory.mktemp("generated")
    (folder / "config.yaml").write_text("post_hooks: []\n")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "openapi_python_client", "generate", "--url", f"{base}/openapi.json"),
            *("--meta", "none", "--output-path", folder / "made", "--config", folder / "config.yaml"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "warning" not in (done.stdout + done.stderr).lower(), done.stdout
    sys.path.insert(0, str(folder))
    return import_module("made")


@pytest.fixture(scope="session")
def operation(base: str, generated: Any) -> Operation:
    """The module of an operation, by method and path: `POST /v1/chat/completions`."""
    modules = {
        f"{method.upper()} {path}": f"{operation['tags'][0]}.{operation['operationId']}"
        for path, operations in httpx.get(f"{base}/openapi.json").json()["paths"].items()
        for method, operation in operations.items()
    }
    return lambda name: import_module(f"{generated.__name__}.api.{modules[name].replace('__', '_')}")


@pytest.fixture(scope="session")
def client(base: str, key: str, generated: Any) -> Any:
    return generated.AuthenticatedClient(base_url=base, token=key, timeout=httpx.Timeout(90))


def model_of(generated: Any, name: str) -> Any:
    return getattr(import_module(f"{generated.__name__}.models"), name)


def test_a_job(operation: Operation, client: Any, generated: Any, model: str) -> None:
    user = model_of(generated, "DialogueMessageRole").USER
    message = model_of(generated, "DialogueMessage")(role=user, content=QUESTION)
    body = model_of(generated, "JobRequest")(model=model, messages=[message], temperature=0.0)
    accepted = operation("POST /api/v1/jobs").sync(client=client, body=body)
    assert isinstance(accepted, model_of(generated, "JobAccepted"))
    job = operation("GET /api/v1/jobs/{job_id}").sync(accepted.id, client=client, wait=60)
    assert isinstance(job, model_of(generated, "CompletedJob"))
    assert job.result.content == ANSWER
    assert job.result.usage.completion_tokens > 0
    listed = operation("GET /api/v1/jobs").sync(client=client, limit=1)
    assert listed.jobs[0].id == accepted.id
    stream = operation("GET /api/v1/jobs/{job_id}/stream").sync(accepted.id, client=client)
    assert "[DONE]" in stream


def test_a_chat(operation: Operation, client: Any, generated: Any, model: str) -> None:
    message = model_of(generated, "ChatCompletionMessage")(role="user", content=QUESTION)
    body = model_of(generated, "ChatCompletionRequest")(model=model, messages=[message], temperature=0.0)
    answer = operation("POST /v1/chat/completions").sync(client=client, body=body)
    assert isinstance(answer, model_of(generated, "ChatCompletion"))
    assert answer.choices[0].message.content == ANSWER
    assert answer.choices[0].finish_reason == "stop"


def test_a_completion_and_its_tokens(operation: Operation, client: Any, generated: Any, model: str) -> None:
    body = model_of(generated, "CompletionRequest")(model=model, prompt="The capital of", max_tokens=4)
    answer = operation("POST /v1/completions").sync(client=client, body=body)
    assert answer.choices[0].text
    body = model_of(generated, "TokenizeRequest")(model=model, prompt="The capital of")
    counted = operation("POST /tokenize").sync(client=client, body=body)
    assert counted.count == len(counted.tokens) == answer.usage.prompt_tokens


def test_what_there_is(operation: Operation, client: Any, model: str) -> None:
    assert model in [each.id for each in operation("GET /v1/models").sync(client=client).data]
    assert model in [each.id for each in operation("GET /api/v1/models").sync(client=client).models]
    assert operation("GET /api/v1/nodes").sync(client=client).nodes
    assert operation("GET /readyz").sync(client=client).status == "ready"


def test_refusals_are_typed(operation: Operation, client: Any, generated: Any) -> None:
    message = model_of(generated, "ChatCompletionMessage")(role="user", content=QUESTION)
    body = model_of(generated, "ChatCompletionRequest")(model="nobody", messages=[message])
    refused = operation("POST /v1/chat/completions").sync_detailed(client=client, body=body)
    assert (refused.status_code, refused.parsed.error.param) == (404, "model")
    unknown = operation("GET /api/v1/jobs/{job_id}").sync("job_0000000000000000", client=client)
    assert isinstance(unknown, model_of(generated, "Error"))
    assert unknown.error == "job_not_found"
