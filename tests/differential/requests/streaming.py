"""What a stream tells beside the answer."""

from tests.differential.case import ABSENT, LONG, STREAM, Topic
from tests.differential.requests.completions import DRAWN

topic = Topic("streaming")


def usage(**options: bool) -> dict[str, bool]:
    return {"include_usage": True, **options}


topic.chat("plain", modes=STREAM)
topic.chat("one token", max_tokens=1, modes=STREAM)
topic.chat("a long one", ignore_eos=True, max_tokens=150, modes=STREAM)
topic.chat("include_usage", stream_options=usage(), modes=STREAM)
topic.chat("include_usage, a long one", stream_options=usage(), ignore_eos=True, max_tokens=150, modes=STREAM)
topic.chat("include_usage, one token", stream_options=usage(), max_tokens=1, modes=STREAM)
topic.chat("include_usage, a stop string", stream_options=usage(), stop=" of", modes=STREAM)
topic.chat("include_usage false", stream_options=usage(include_usage=False), modes=STREAM)
topic.chat("include_usage null", stream_options={"include_usage": None}, modes=STREAM)
topic.chat("continuous_usage_stats", stream_options=usage(continuous_usage_stats=True), modes=STREAM)
topic.chat(
    "continuous_usage_stats, one token", stream_options=usage(continuous_usage_stats=True), max_tokens=1, modes=STREAM
)
topic.chat("continuous_usage_stats alone", stream_options={"continuous_usage_stats": True}, modes=STREAM)
topic.chat("continuous_usage_stats false", stream_options=usage(continuous_usage_stats=False), modes=STREAM)
topic.chat("empty stream_options", stream_options={}, modes=STREAM)
topic.chat("include_obfuscation", stream_options={"include_obfuscation": False}, modes=STREAM)
topic.chat("stream_interval", stream_interval=4, modes=STREAM)
topic.chat("to the end of the context", messages=LONG, ignore_eos=True, max_tokens=ABSENT, modes=STREAM)
topic.chat("characters over several tokens", modes=STREAM, ignore_eos=True, max_tokens=60, temperature=1.9, seed=4)
topic.chat("n of 2 with usage", n=2, **DRAWN, stream_options=usage(), modes=STREAM)
topic.chat(
    "n of 2 with continuous usage", n=2, **DRAWN, stream_options=usage(continuous_usage_stats=True), modes=STREAM
)
