"""Several answers to one request."""

from tests.differential.case import STREAM, Topic
from tests.differential.requests.completions import DRAWN

topic = Topic("n")

topic.chat("1", n=1)
topic.chat("2", n=2, **DRAWN)
topic.chat("3, with a stop string", n=3, **DRAWN, stop=" of")
topic.chat("5 of one token", n=5, **DRAWN, max_tokens=1)
topic.chat("2 with logprobs", n=2, **DRAWN, logprobs=True, top_logprobs=2, max_tokens=4)
topic.chat("2 drawn with a seed", n=2, temperature=1, seed=3, max_tokens=12)
topic.chat("3 drawn hot with a seed", n=3, temperature=1.7, seed=8, max_tokens=8)
topic.chat("2 with a choice", n=2, **DRAWN, structured_outputs={"choice": ["yes", "no"]})
topic.chat("2 with token ids", n=2, **DRAWN, return_token_ids=True, max_tokens=4)
topic.chat("2 with a whole number", n=2.0, **DRAWN, max_tokens=4)
topic.chat("more than there are seats", n=20, **DRAWN, max_tokens=2)
topic.chat("2 greedy", n=2)
topic.chat("1 of a whole number", n=1.0)
topic.chat("2 with usage", n=2, **DRAWN, stream_options={"include_usage": True}, modes=STREAM)
