"""What the README and docs/ tell people to type, typed: in their order, page by page, into a system that runs."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from tests.contract.client import Api, answered
from tests.support.doc_blocks import ROOT, Block, blocks

if TYPE_CHECKING:
    from tests.support.serving import Serving

LIMIT_S = 120.0
AS_WRITTEN = "127.0.0.1:8000"

# An answer that is an error is one, and not a page to look at.
PRELUDE = 'set -euo pipefail\ncurl() { command curl --fail-with-body "$@"; }\n'


@pytest.fixture(scope="module")
def env(serving_here: "Serving", tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """Of somebody who has come as far as the first steps: the system is up, and the state folder where it would be."""
    if not (serving_here.state / "infernet.db").exists():
        pytest.skip("what is typed is for a database in a file")
    home = tmp_path_factory.mktemp("home")
    (home / ".infernet").symlink_to(serving_here.state)
    connection = serving_here.connection
    paths = {"HOME": str(home), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "COLUMNS": "200"}
    return {**os.environ, **paths, "API": f"{connection.url}/api/v1", "KEY": str(connection.key)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Looks like a checkout, and may be written to."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in (".venv", "ray_configs", "docs"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "infernet.yaml").write_text("models: [{id: capitals, source: 'builtin:capitals', gpus: 0}]\n")
    trace = "arrived_s,account,model,prompt_tokens,output_tokens\n0,a,capitals,20,10\n1,b,capitals,20,10\n"
    (folder / "requests.csv").write_text(trace)
    return folder


@pytest.fixture
def job_id(admin: Api, fast: str) -> str:
    body = {"model": fast, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 4}
    job = answered(admin.post("/jobs", body), 200)
    return str(answered(admin.get(f"/jobs/{job['id']}?wait=30"), 200)["id"])


@pytest.mark.usefixtures("capitals")
@pytest.mark.parametrize("block", [block for block in blocks() if block.is_run], ids=str)
def test_what_a_page_says_works(
    block: Block, env: Mapping[str, str], folder: Path, job_id: str, serving_here: "Serving", tmp_path: Path
) -> None:
    typed = block.to_run.replace(AS_WRITTEN, urlsplit(serving_here.connection.url).netloc)
    for word, value in {"JOB": job_id, "FILE": str(tmp_path / "file")}.items():
        typed = re.sub(rf"(?<![$\w]){word}(?![\w=])", value, typed)
    if block.language == "python":
        command = [sys.executable, "-c", f"KEY = {json.dumps(env['KEY'])}\n{typed}"]
    else:
        command = ["bash", "-c", PRELUDE + typed]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=LIMIT_S)
    assert done.returncode == 0, f"{typed}\n{done.stdout}\n{done.stderr}"
