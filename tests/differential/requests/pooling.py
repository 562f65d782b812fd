"""What models answer that write nothing: vectors of texts, how near texts are, and which is nearest."""

from typing import Any

from tests.differential.case import ABSENT, Topic, body

EMBEDDER = "capitals-embeddings"

embeddings = Topic("embeddings")
score = Topic("score")
rerank = Topic("rerank")
topics = (embeddings, score, rerank)

QUESTION = "What is the capital of France?"
TEXTS = [QUESTION, "Paris is the capital of France.", "Rome is the capital of Italy."]
IDS = [300, 301, 302]


def embed(name: str, **fields: Any) -> None:
    embeddings.post(name, "/v1/embeddings", body({"model": EMBEDDER, "input": QUESTION}, fields))


def compare(name: str, path: str = "/v1/score", **fields: Any) -> None:
    score.post(name, path, body({"model": EMBEDDER, "text_1": QUESTION, "text_2": TEXTS[1:]}, fields))


def rank(name: str, path: str = "/v1/rerank", **fields: Any) -> None:
    rerank.post(name, path, body({"model": EMBEDDER, "query": QUESTION, "documents": TEXTS[1:]}, fields))


embed("a text")
embed("texts", input=TEXTS)
embed("a list of one text", input=[QUESTION])
embed("token ids", input=IDS)
embed("lists of token ids", input=[IDS, IDS[:1]])
embed("an empty text", input="")
embed("an empty list", input=[])
embed("an empty text among others", input=[QUESTION, ""])
embed("no input", input=ABSENT)
embed("null input", input=None)
embed("an input that is a number", input=17)
embed("an input that is an object", input={"text": QUESTION})
embed("token ids beyond the vocabulary", input=[10**6])
embed("negative token ids", input=[-1])
embed("many texts", input=[f"{number}: {QUESTION}" for number in range(40)])
embed("other scripts", input="日本 🗼 Zürich")
embed("messages", input=ABSENT, messages=[{"role": "user", "content": QUESTION}])
embed("floats", encoding_format="float")
embed("base64", encoding_format="base64")
embed("base64 of texts", encoding_format="base64", input=TEXTS)
embed("a format that nobody knows", encoding_format="roman")
embed("dimensions", dimensions=8)
embed("dimensions 0", dimensions=0)
embed("user", user="somebody")
embed("an unknown field", frobnicate=17)
embed("truncate_prompt_tokens", truncate_prompt_tokens=3)
embed("truncate_prompt_tokens to the context", truncate_prompt_tokens=-1)
embed("truncate_prompt_tokens below -1", truncate_prompt_tokens=-2)
embed("truncate_prompt_tokens beyond the context", truncate_prompt_tokens=10**6)
embed("add_special_tokens false", add_special_tokens=False)
embed("use_activation false", use_activation=False)
embed("priority", priority=0)
embed("a text longer than the context", input="capital " * 5000)
embed("a long text, cut", input="capital " * 5000, truncate_prompt_tokens=-1)
embed("another model", model="elephant")
embed("no model", model=ABSENT)
embeddings.post("no JSON", "/v1/embeddings", b"Hello")
embeddings.post("chat", "/v1/chat/completions", {"model": EMBEDDER, "messages": [{"role": "user", "content": "Hi!"}]})
embeddings.post("completions", "/v1/completions", {"model": EMBEDDER, "prompt": "Hi!"})
embeddings.post("tokenize", "/tokenize", {"model": EMBEDDER, "prompt": QUESTION})
embeddings.get("models", "/v1/models")

compare("one text with several")
compare("one text with one", text_2=TEXTS[1])
compare("several with as many", text_1=TEXTS[:2], text_2=TEXTS[1:])
compare("several with one", text_1=TEXTS[:2], text_2=TEXTS[1])
compare("several with another number", text_1=TEXTS, text_2=TEXTS[:2])
compare("at /score", path="/score")
compare("queries and documents", text_1=ABSENT, text_2=ABSENT, queries=QUESTION, documents=TEXTS[1:])
compare("an empty list", text_2=[])
compare("an empty text", text_2="")
compare("no second text", text_2=ABSENT)
compare("a number", text_2=17)
compare("truncate_prompt_tokens", truncate_prompt_tokens=3)
compare("a text longer than the context", text_2="capital " * 5000)
compare("another model", model="elephant")
compare("an unknown field", frobnicate=17)

rank("documents")
rank("one document", documents=[TEXTS[1]])
rank("top_n 1", top_n=1)
rank("top_n 0", top_n=0)
rank("top_n beyond", top_n=17)
rank("top_n below 0", top_n=-1)
rank("at /rerank", path="/rerank")
rank("at /v2/rerank", path="/v2/rerank")
rank("return_documents false", return_documents=False)
rank("no documents", documents=[])
rank("documents absent", documents=ABSENT)
rank("no query", query=ABSENT)
rank("an empty query", query="")
rank("documents that are numbers", documents=[1, 2])
rank("truncate_prompt_tokens", truncate_prompt_tokens=3)
rank("another model", model="elephant")
rank("an unknown field", frobnicate=17)
