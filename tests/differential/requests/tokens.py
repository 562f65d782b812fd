"""The tokens of texts and dialogues, and back."""

from typing import Any

from tests.differential.case import MODEL, QUESTION, Topic
from tests.differential.requests.tools import CAPITAL

topic = Topic("tokens")


def tokenize(name: str, **fields: Any) -> None:
    topic.post(name, "/tokenize", {"model": MODEL, **fields})


def detokenize(name: str, **fields: Any) -> None:
    topic.post(name, "/detokenize", {"model": MODEL, **fields})


BEGUN = [*QUESTION, {"role": "assistant", "content": "The capital"}]

tokenize("a text", prompt="What is the capital of France?")
tokenize("an empty text", prompt="")
tokenize("other scripts", prompt="日本 🗼 Zürich")
tokenize("special tokens", prompt="<|im_start|>user\nHi!<|im_end|>")
tokenize("a text without special tokens", prompt="Hello", add_special_tokens=False)
tokenize("a text with names", prompt="Hello, world 日", return_token_strs=True)
tokenize("a dialogue", messages=QUESTION)
tokenize("a dialogue with names", messages=QUESTION, return_token_strs=True)
tokenize("a dialogue of parts", messages=[{"role": "user", "content": [{"type": "text", "text": "Hi!"}]}])
tokenize("a dialogue without a generation prompt", messages=QUESTION, add_generation_prompt=False)
tokenize("a dialogue that goes on", messages=BEGUN, continue_final_message=True, add_generation_prompt=False)
tokenize("a dialogue with special tokens", messages=QUESTION, add_special_tokens=True)
tokenize("a dialogue with variables", messages=QUESTION, chat_template_kwargs={"enable_thinking": True})
tokenize("a dialogue with tools", messages=QUESTION, tools=[CAPITAL])
tokenize("a dialogue by its own template", messages=QUESTION, chat_template="{{ messages[0]['content'] }}")
tokenize("an empty dialogue", messages=[])
tokenize("both", prompt="Hello", messages=QUESTION)
tokenize("neither")
tokenize("a prompt that is no text", prompt=17)
detokenize("tokens", tokens=[300, 301, 302])
detokenize("tokens that are special", tokens=[1, 300, 2])
detokenize("no tokens", tokens=[])
detokenize("tokens beyond the vocabulary", tokens=[10**6])
detokenize("negative tokens", tokens=[-1])
detokenize("tokens that are none", tokens=["a"])
detokenize("nothing")
topic.post("tokenize, another model", "/tokenize", {"model": "elephant", "prompt": "Hello"})
topic.post("tokenize, no model", "/tokenize", {"prompt": "Hello"})
topic.post("detokenize, another model", "/detokenize", {"model": "elephant", "tokens": [300]})
topic.post("detokenize, no model", "/detokenize", {"tokens": [300]})
