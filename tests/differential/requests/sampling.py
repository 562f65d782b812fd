"""How tokens are drawn: every field of vLLM's that has a say, greedily, and with a seed where drawing is the point."""

from tests.differential.case import ABSENT, PLAIN, Topic

topic = Topic("sampling")

topic.chat("greedy")
topic.chat("top_p 1", top_p=1)
topic.chat("top_p of a half", top_p=0.5)
topic.chat("top_k 1", temperature=1, top_k=1, seed=1)
topic.chat("top_k 0", top_k=0)
topic.chat("top_k -1", top_k=-1)
topic.chat("top_k beyond the vocabulary", top_k=10**6)
topic.chat("min_p", min_p=0.3)
topic.chat("temperature by a hair", temperature=0.001)
topic.chat("seed", seed=7)
topic.chat("negative seed", seed=-7)
topic.chat("largest seed", seed=2**63 - 1)
topic.chat("drawn with a seed", temperature=1, seed=3, max_tokens=16)
topic.chat("drawn hot with a seed", temperature=1.8, seed=11, max_tokens=16)
topic.chat("drawn with top_p and a seed", temperature=1.2, top_p=0.8, seed=5, max_tokens=16)
topic.chat("drawn with top_k and a seed", temperature=1.2, top_k=5, seed=5, max_tokens=16)
topic.chat("drawn with min_p and a seed", temperature=1.2, min_p=0.2, seed=5, max_tokens=16)
topic.chat("presence_penalty", presence_penalty=1.5)
topic.chat("negative presence_penalty", presence_penalty=-2)
topic.chat("frequency_penalty", frequency_penalty=2)
topic.chat("negative frequency_penalty", frequency_penalty=-1)
topic.chat("repetition_penalty", repetition_penalty=1.3)
topic.chat("repetition_penalty below 1", repetition_penalty=0.8, max_tokens=12)
topic.chat("all penalties", presence_penalty=0.5, frequency_penalty=0.5, repetition_penalty=1.1)
topic.chat("logit_bias for a token", logit_bias={"300": 100}, max_tokens=8)
topic.chat("logit_bias against tokens", logit_bias={"300": -100, "301": -100, "302": -5.5})
topic.chat("logit_bias of nothing", logit_bias={})
topic.chat("allowed_token_ids", allowed_token_ids=[300, 301, 302, 400], max_tokens=8)
topic.chat("allowed_token_ids with the end", allowed_token_ids=[2, 300], max_tokens=8)
topic.chat("bad_words", bad_words=["capital", "the"])
topic.chat("bad_words of a capital letter", bad_words=["Paris", "The"])
topic.chat("bad_words of nothing", bad_words=[])
topic.chat(
    "repetition_detection",
    ignore_eos=True,
    max_tokens=200,
    modes=PLAIN,
    repetition_detection={"max_pattern_size": 40, "min_pattern_size": 1, "min_count": 3},
)
topic.chat("as long as the context leaves, n", max_tokens=ABSENT, n=2)
topic.chat("as long as the context leaves, logit_bias", max_tokens=ABSENT, logit_bias={"300": -100})
topic.chat("as long as the context leaves, bad_words", max_tokens=ABSENT, bad_words=["Paris"])
topic.chat("as long as the context leaves, stop_token_ids", max_tokens=ABSENT, stop_token_ids=[3])
topic.chat("as long as the context leaves, a choice", max_tokens=ABSENT, structured_outputs={"choice": ["a", "b"]})
topic.chat("vllm_xargs", vllm_xargs={"anything": 1})
topic.chat("skip_special_tokens false", skip_special_tokens=False)
topic.chat("skip_special_tokens false, beyond the end", skip_special_tokens=False, ignore_eos=True)
topic.chat("spaces_between_special_tokens false", spaces_between_special_tokens=False)
topic.chat(
    "spaces between special tokens that are shown",
    skip_special_tokens=False,
    spaces_between_special_tokens=False,
    ignore_eos=True,
)
topic.chat(
    "everything null",
    top_p=None,
    seed=None,
    stop=None,
    n=None,
    logit_bias=None,
    top_k=None,
    min_p=None,
    presence_penalty=None,
    frequency_penalty=None,
    repetition_penalty=None,
    stop_token_ids=None,
    logprobs=None,
    user=None,
    tools=None,
    response_format=None,
    stream_options=None,
)
topic.chat("top_p null", top_p=None)
topic.chat("whole numbers", max_tokens=8.0, top_k=1.0, seed=3.0, n=1.0)
topic.chat("whole numbers as text", max_tokens="8", temperature="0")
topic.chat("a truth as text", ignore_eos="false")
topic.chat("no temperature, top_k 1", temperature=ABSENT, top_k=1)
topic.chat("priority 0", priority=0)
topic.chat("use_beam_search", use_beam_search=True, n=2, max_tokens=6, modes=PLAIN)
topic.chat("length_penalty alone", length_penalty=0.5)
topic.chat("truncate_prompt_tokens", truncate_prompt_tokens=8)
topic.chat("truncate_prompt_tokens from the right", truncate_prompt_tokens=8, truncation_side="right")
topic.chat("truncate_prompt_tokens to the context", truncate_prompt_tokens=-1)
