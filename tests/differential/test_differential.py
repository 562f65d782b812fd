"""Each request, answered by vLLM's own server and by this system: alike, or otherwise for a reason that is known."""

import pytest

from tests.differential import expected
from tests.differential.case import Case, Mode
from tests.differential.comparing import differences
from tests.differential.requests import CASES
from tests.differential.servers import Both

_EVERY = 12
"""One request in so many is in the sample that `make test` asks."""


def _parameters() -> list[pytest.param]:
    asked = [(case, mode) for case in CASES for mode in case.modes]
    return [
        pytest.param(case, mode, id=f"{case.id}:{mode}", marks=() if number % _EVERY == 0 else pytest.mark.long)
        for number, (case, mode) in enumerate(asked)
    ]


@pytest.mark.parametrize(("case", "mode"), _parameters())
@pytest.mark.timeout(600)
def test_both_answer_alike(servers: Both, case: Case, mode: Mode) -> None:
    found = differences(*servers.ask(case, mode))
    reason = expected.reason(case, mode)
    if reason is not None:
        assert found, f"answered alike, although this is said to differ: {reason}"
    elif found and expected.is_not_yet(case):
        pytest.xfail(str(found[0]))
    else:
        assert not found, "\n".join(map(str, found))
