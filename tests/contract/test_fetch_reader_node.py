"""A reader as people write it in a browser, on the streams of /api/v1."""

import pytest

from tests.contract.given import HIGH, KeyMaker, MadeKey
from tests.contract.javascript import node


@pytest.fixture(scope="module")
def key(new_key: KeyMaker) -> MadeKey:
    return new_key(limits=HIGH)


@pytest.mark.parametrize("content", ["What is the capital of Brazil?", "line\nends and 世界 🌍"])
def test_it_sees_the_whole_text_and_one_end(key: MadeKey, model: str, content: str) -> None:
    seen = node(key, "fetch_reader.mjs", model, content, "64")
    assert seen["status"] == 200
    assert seen["text"] == key.api.ended(seen["job"])["result"]["content"]
    assert (seen["done"], seen["errors"], seen["rest"]) == (1, [], "")


def test_it_sees_a_failure(key: MadeKey, failing: str) -> None:
    seen = node(key, "fetch_reader.mjs", failing, "hello", "32")
    job = key.api.ended(seen["job"])
    assert seen["text"]
    assert seen["errors"] == [{"error": job["error"], "message": job["error_message"]}]
    assert (seen["done"], seen["rest"]) == (0, "")
