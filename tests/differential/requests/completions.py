"""Plain completions."""

from typing import Any

from tests.differential.case import ABSENT, PLAIN, PROMPT, STREAM, Topic

topic = Topic("completions")

IDS = [300, 301, 302, 303]
TEXTS = [PROMPT, PROMPT.replace("France", "Spain"), PROMPT.replace("France", "Italy")]
DRAWN: Any = {"temperature": 1, "top_k": 1, "seed": 5}
"""Draws that can only come out one way: vLLM refuses several answers that are greedy."""
USAGE = {"include_usage": True}

topic.completion("a text")
topic.completion("a text that is no dialogue", prompt="The capital of", max_tokens=2)
topic.completion("an empty text", prompt="")
topic.completion("texts", prompt=TEXTS)
topic.completion("a list of one text", prompt=[PROMPT])
topic.completion("token ids", prompt=IDS, max_tokens=4)
topic.completion("lists of token ids", prompt=[IDS, IDS[:2]], max_tokens=3)
topic.completion("an empty list", prompt=[])
topic.completion("an empty list of token ids", prompt=[[]])
topic.completion("texts and token ids", prompt=[PROMPT, IDS])
topic.completion("token ids beyond the vocabulary", prompt=[10**6])
topic.completion("negative token ids", prompt=[-1])
topic.completion("no prompt", prompt=ABSENT)
topic.completion("null prompt", prompt=None)
topic.completion("max_tokens absent", max_tokens=ABSENT)
topic.completion("max_tokens null", max_tokens=None)
topic.completion("max_tokens 0", max_tokens=0)
topic.completion("max_tokens 1", max_tokens=1)
topic.completion("max_tokens beyond the context", max_tokens=10**5)
topic.completion("echo", echo=True)
topic.completion("echo of token ids", echo=True, prompt=IDS, max_tokens=4)
topic.completion("echo of texts", echo=True, prompt=TEXTS[:2])
topic.completion("echo alone", echo=True, max_tokens=0)
topic.completion("echo alone with logprobs", echo=True, max_tokens=0, logprobs=2)
topic.completion("echo with logprobs", echo=True, logprobs=1, max_tokens=4)
topic.completion("echo with return_token_ids", echo=True, return_token_ids=True, max_tokens=4)
topic.completion("logprobs 0", logprobs=0, max_tokens=4)
topic.completion("logprobs 1", logprobs=1, max_tokens=4)
topic.completion("logprobs 5", logprobs=5, max_tokens=4)
topic.completion("logprobs of texts", logprobs=1, max_tokens=4, prompt=TEXTS)
topic.completion("logprobs 21", logprobs=21, max_tokens=4)
topic.completion("logprobs -2", logprobs=-2)
topic.completion("logprobs true", logprobs=True, max_tokens=4)
topic.completion("logprob_token_ids", logprobs=1, logprob_token_ids=[2, 300], max_tokens=4)
topic.completion("prompt_logprobs", prompt_logprobs=1, max_tokens=2, modes=PLAIN)
topic.completion("prompt_logprobs in a stream", prompt_logprobs=1, max_tokens=2, modes=STREAM)
topic.completion("return_tokens_as_token_ids", logprobs=1, return_tokens_as_token_ids=True, max_tokens=4)
topic.completion("return_token_ids", return_token_ids=True, max_tokens=4)
topic.completion("n of 2", n=2, **DRAWN, max_tokens=6)
topic.completion("n of 2 of texts", n=2, **DRAWN, prompt=TEXTS[:2], max_tokens=6)
topic.completion("n of 2 greedy", n=2)
topic.completion("n of 0", n=0)
topic.completion("n drawn with a seed", n=2, temperature=1, seed=2, max_tokens=8)
topic.completion("best_of", best_of=2, n=1)
topic.completion("suffix", suffix=" and that is all.")
topic.completion("an empty suffix", suffix="")
topic.completion("stop", stop=[" the", "zebra"])
topic.completion("stop, included", stop=" the", include_stop_str_in_output=True)
topic.completion("stop with echo", stop=" the", echo=True)
topic.completion("stop_token_ids", stop_token_ids=list(range(300, 700)))
topic.completion("ignore_eos", ignore_eos=True)
topic.completion("min_tokens", min_tokens=12)
topic.completion("penalties", presence_penalty=1, frequency_penalty=1, repetition_penalty=1.1)
topic.completion("drawn with a seed", temperature=1.2, seed=4, max_tokens=12)
topic.completion("logit_bias", logit_bias={"300": 100}, max_tokens=6)
topic.completion("add_special_tokens false", add_special_tokens=False)
topic.completion("skip_special_tokens false", skip_special_tokens=False, ignore_eos=True)
topic.completion("truncate_prompt_tokens", truncate_prompt_tokens=2)
topic.completion("a choice", structured_outputs={"choice": ["Paris", "Rome"]})
topic.completion(
    "a schema",
    max_tokens=40,
    response_format={
        "type": "json_schema",
        "json_schema": {"name": "x", "schema": {"enum": ["a", "b"]}},
    },
)
topic.completion("an object", response_format={"type": "json_object"}, max_tokens=30)
topic.completion("usage", stream_options=USAGE, modes=STREAM)
topic.completion("usage of texts", stream_options=USAGE, prompt=TEXTS, max_tokens=4, modes=STREAM)
topic.completion("continuous usage", stream_options={**USAGE, "continuous_usage_stats": True}, modes=STREAM)
topic.completion("stream_options without a stream", stream_options=USAGE, modes=PLAIN)
topic.completion("user", user="somebody")
topic.completion("an unknown field", frobnicate=17)
topic.completion("whole numbers", max_tokens=4.0, n=1.0, logprobs=1.0)
topic.completion("another model", model="elephant")
topic.completion("no model", model=ABSENT)
topic.completion("use_beam_search", use_beam_search=True, n=2, max_tokens=4)
topic.completion("messages", prompt=ABSENT, messages=[{"role": "user", "content": "Hi!"}])
