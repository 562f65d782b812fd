"""A bounded run of `python -m tests.contract.fuzz`; docs/contract.md says how to run thousands of cases."""

from tests.contract.client import Api
from tests.contract.fuzz import fuzz

CASES = 15


def test_nothing_that_openapi_json_does_not_say(admin: Api, fast: str) -> None:
    for run in fuzz(admin, fast, CASES, "--phases=examples,coverage,fuzzing", "--max-time=8", "--seed=1"):
        assert run.returncode == 0, run.stdout + run.stderr
