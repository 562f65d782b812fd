"""The commands of the README, as they stand there."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.contract.catalogue import Catalogue
from tests.contract.client import Api
from tests.contract.given import HIGH, KeyMaker

README = Path(__file__).parents[2] / "README.md"

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


def commands() -> dict[str, str]:
    """By the comment above them; those that set the address and the key are this test's own."""
    block = next(
        block for block in re.findall(r"```sh\n(.*?)```", README.read_text(), re.S) if block.startswith("API=")
    )
    _, *parts = re.split(r"^# ", block, flags=re.M)
    return {comment: command for comment, _, command in (part.partition("\n") for part in parts)}


@pytest.fixture(scope="module")
def outputs(new_key: KeyMaker, catalogue: Catalogue) -> dict[str, str]:
    """What each command prints, all in one shell."""
    catalogue.need("capitals")
    key = new_key(limits=HIGH)
    script = ["set -eu", f"API={key.api.url}/api/v1", f"KEY={key.secret}"]
    for comment, command in commands().items():
        script += [f"echo '@@ {comment}'", command]
        if command.lstrip().startswith("curl -s $API/jobs "):
            script.append(
                'curl -sf "$API/jobs/$(curl -s "$API/jobs?limit=1" -H "Authorization: Bearer $KEY" '
                '| grep -o "job_[0-9a-f]*" | head -1)?wait=60" -H "Authorization: Bearer $KEY" > /dev/null'
            )
    done = subprocess.run(["bash", "-c", "\n".join(script)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    _, *parts = done.stdout.split("@@ ")
    return {comment: output for comment, _, output in (part.partition("\n") for part in parts)}


def output(outputs: dict[str, str], beginning: str) -> str:
    (found,) = [output for comment, output in outputs.items() if comment.startswith(beginning)]
    return found


def test_submit(outputs: dict[str, str]) -> None:
    assert json.loads(output(outputs, "Submit a job."))["status"] == "pending"


def test_stream(outputs: dict[str, str]) -> None:
    head, _, events = output(outputs, "Submit and stream.").replace("\r", "").partition("\n\n")
    assert head.startswith("HTTP/1.1 200")
    assert "x-job-id: job_" in head.lower()
    assert events.startswith("id: ")
    assert "".join(texts(events)) == "Lima is the capital of Peru."
    assert events.rstrip().endswith("data: [DONE]")


def test_the_job_and_its_stream(outputs: dict[str, str]) -> None:
    job = json.loads(output(outputs, "The job and its result."))
    content = job["result"]["content"]
    assert "".join(texts(output(outputs, "Its stream"))) == content
    assert "".join(texts(output(outputs, "The same after the fifth"))) == content[5:]


def test_lists(outputs: dict[str, str], api: Api) -> None:
    lists = output(outputs, "Lists:")
    decoder, found, position = json.JSONDecoder(), {}, 0
    while position < len(lists.rstrip()):
        body, position = decoder.raw_decode(lists, position)
        found |= body
    assert set(found) >= {"jobs", "models", "nodes"}
    assert found["nodes"]


def texts(events: str) -> list[str]:
    lines = [line.removeprefix("data: ") for line in events.splitlines() if line.startswith("data: {")]
    return [json.loads(line)["text"] for line in lines]
