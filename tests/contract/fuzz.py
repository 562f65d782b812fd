"""schemathesis against a running system, from what its /openapi.json says.

    python -m tests.contract.fuzz --url http://127.0.0.1:8000 --key inft_... --cases 3000

No answer may have an undocumented status or content type or a body or header that its schema does not allow, none may
be a server's fault, none may take longer than 20 s; what the schemas forbid must be refused, and no path may forget to
ask for a key. A member's key with high limits, of an account made for it, is used for all but the accounts, which need
an admin's. Jobs that are left are cancelled.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path

from tests.contract.client import Api, Json, answered
from tests.contract.given import HIGH, cancel_all

SCHEMATHESIS = str(Path(sys.executable).with_name("schemathesis"))
ROOT = Path(__file__).parents[2]
ACCOUNTS = "/api/v1/accounts"
LONGEST_ANSWER_S = 20


def fuzz(admin: Api, model: str, cases: int, *options: str) -> list[subprocess.CompletedProcess[str]]:
    """Up to `cases` per operation and phase. The runs, each with what schemathesis printed; 0 is a pass."""
    return [
        _run_as("member", admin, model, cases, "--exclude-path", ACCOUNTS, *options),
        _run_as("admin", admin, model, cases, "--include-path", ACCOUNTS, *options),
    ]


def _run_as(role: str, admin: Api, model: str, cases: int, *options: str) -> subprocess.CompletedProcess[str]:
    account = answered(admin.post("/accounts", {"name": f"fuzz {uuid.uuid4().hex[:8]}", "limits": HIGH}), 201)["id"]
    asked = {"name": "fuzz", "account": account, "role": role, "limits": HIGH}
    key = answered(admin.post("/keys", asked), 201)
    try:
        return _run(admin.url, key, model, cases, *options)
    finally:
        cancel_all(admin, account)
        admin.delete(f"/keys/{key['id']}")


def _run(url: str, key: Json, model: str, cases: int, *options: str) -> subprocess.CompletedProcess[str]:
    environment = {
        "SCHEMATHESIS_HOOKS": "tests.contract.fuzz_hooks",
        "PYTHONPATH": str(ROOT),
        "CONTRACT_MODEL": model,
        "CONTRACT_KEY_ID": str(key["id"]),
    }
    command = [SCHEMATHESIS, "run", f"{url}/openapi.json", f"--max-examples={cases}", *options]
    command += [f"--header=Authorization: Bearer {key['key']}", f"--request-timeout={LONGEST_ANSWER_S}", "--no-color"]
    command += ["--checks=all", "--suppress-health-check=all", "--generation-database=none", "--continue-on-failure"]
    with tempfile.TemporaryDirectory() as folder:  # nothing it writes is kept
        return subprocess.run(command, cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.contract.fuzz")
    parser.add_argument("--url", required=True)
    parser.add_argument("--key", required=True, help="an admin key")
    parser.add_argument("--model", default="sim:fast", help="the model that jobs are made for")
    parser.add_argument("--cases", type=int, default=200, help="at most so many per operation and phase")
    parser.add_argument("options", nargs="*", help="for schemathesis, after --")
    given = parser.parse_args()
    with Api(given.url, given.key) as admin:
        runs = fuzz(admin, given.model, given.cases, *given.options)
    for run in runs:
        print(run.stdout, run.stderr)
    sys.exit(max(run.returncode for run in runs))


if __name__ == "__main__":
    main()
