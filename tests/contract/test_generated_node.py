"""A program in TypeScript over the types that openapi-typescript makes of /openapi.json: it compiles, and it works."""

from tests.contract.clients.subject import ANSWER
from tests.contract.given import HIGH, KeyMaker
from tests.contract.javascript import node


def test_a_generated_client_is_typed_and_gets_what_it_asks_for(new_key: KeyMaker, capitals: str) -> None:
    seen = node(new_key(limits=HIGH), "generated.mjs", capitals)
    assert (seen["native"], seen["chat"], seen["finish"]) == (ANSWER, ANSWER, "stop")
    assert seen["tokens"] > 0
    assert seen["stream"].endswith("data: [DONE]\n\n")
    assert seen["listed"] == ["completed"]
    assert seen["completion"]
    assert seen["counted"] > 0
    assert capitals in seen["models"]
    assert (seen["refused"], seen["unknown"]) == ("model", "job_not_found")
