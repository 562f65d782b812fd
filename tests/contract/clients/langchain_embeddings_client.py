"""langchain-openai's embeddings, of a model that is not OpenAI's: its texts are sent as they are."""

import os

import pytest
from langchain_openai import OpenAIEmbeddings


def test_embeddings(url: str, key: str, model: str) -> None:
    embeddings = OpenAIEmbeddings(base_url=url, api_key=key, model=model, check_embedding_ctx_length=False)
    vectors = embeddings.embed_documents(["ab", "cd ef"])
    assert [len(vector) for vector in vectors] == [int(os.environ["CLIENT_DIMENSIONS"])] * 2
    assert embeddings.embed_query("ab") == pytest.approx(vectors[0], abs=1e-3)
