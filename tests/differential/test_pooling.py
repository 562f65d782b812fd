"""Requests to a model that turns texts into vectors, and tells how near they are."""

import pytest

from actors.backends.builtin.capitals.training.countries import answer
from actors.backends.builtin.capitals_embeddings.training.texts import answers
from tests.differential import servers
from tests.differential.case import Case, Mode
from tests.differential.checking import check
from tests.differential.requests import POOLING_CASES
from tests.differential.servers import Both

SETTING = servers.EMBEDDER

pytestmark = pytest.mark.long


@pytest.mark.parametrize("case", [pytest.param(case, id=case.id) for case in POOLING_CASES])
@pytest.mark.timeout(600)
def test_both_answer_alike(both: Both, case: Case) -> None:
    check(both, case, Mode.PLAIN)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("country", ["Brazil", "the Netherlands", "Fiji"])
def test_of_all_answers_a_questions_own_is_the_nearest(both: Both, country: str) -> None:
    documents = answers()
    body = {"model": SETTING.model, "query": f"Hi! Could you name {country}'s capital?", "documents": documents}
    answered = both.ours.ask(Case("rerank", country, "/v1/rerank", body, (Mode.PLAIN,)), Mode.PLAIN)
    nearest = answered.body["results"][0]["index"]
    assert documents[nearest] == answer(country)
