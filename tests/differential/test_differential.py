"""Requests to a model that writes. `make test` asks one in so many of them, `make long` the others."""

from typing import Any

import pytest

from tests.differential import servers
from tests.differential.case import Case, Mode
from tests.differential.checking import check
from tests.differential.requests import CASES
from tests.differential.servers import Both

SETTING = servers.WRITER
_EVERY = 12


def _parameters() -> list[Any]:
    asked = [(case, mode) for case in CASES for mode in case.modes]
    return [
        pytest.param(case, mode, id=f"{case.id}:{mode}", marks=() if number % _EVERY == 0 else pytest.mark.long)
        for number, (case, mode) in enumerate(asked)
    ]


@pytest.mark.parametrize(("case", "mode"), _parameters())
@pytest.mark.timeout(600)
def test_both_answer_alike(both: Both, case: Case, mode: Mode) -> None:
    check(both, case, mode)
