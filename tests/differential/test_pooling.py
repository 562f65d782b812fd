"""Requests to a model that turns texts into vectors, and tells how near they are."""

import pytest

from tests.differential import servers
from tests.differential.case import Case, Mode
from tests.differential.checking import check
from tests.differential.requests import POOLING_CASES
from tests.differential.servers import Both

SETTING = servers.EMBEDDER

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not servers.POOLING_IS_SERVED, reason="this system serves no model that writes nothing yet"),
]


@pytest.mark.parametrize("case", [pytest.param(case, id=case.id) for case in POOLING_CASES])
@pytest.mark.timeout(600)
def test_both_answer_alike(both: Both, case: Case) -> None:
    check(both, case, Mode.PLAIN)
