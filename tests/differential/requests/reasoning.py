"""What a model thinks before it answers."""

from tests.differential.case import QUESTION, STREAM, Topic
from tests.differential.requests.completions import DRAWN
from tests.differential.requests.tools import CAPITAL

topic = Topic("reasoning")

ON = {"enable_thinking": True}
OFF = {"enable_thinking": False}
MORE = 96

topic.chat("on", chat_template_kwargs=ON, max_tokens=MORE)
topic.chat("off", chat_template_kwargs=OFF)
topic.chat("null", chat_template_kwargs=None)
topic.chat("on, cut off", chat_template_kwargs=ON, max_tokens=4)
topic.chat("on, cut off at once", chat_template_kwargs=ON, max_tokens=1)
topic.chat(
    "on with usage", chat_template_kwargs=ON, stream_options={"include_usage": True}, max_tokens=MORE, modes=STREAM
)
topic.chat(
    "on with continuous usage",
    chat_template_kwargs=ON,
    max_tokens=MORE,
    modes=STREAM,
    stream_options={"include_usage": True, "continuous_usage_stats": True},
)
topic.chat("on with logprobs", chat_template_kwargs=ON, logprobs=True, max_tokens=MORE)
topic.chat("on with token ids", chat_template_kwargs=ON, return_token_ids=True, max_tokens=MORE)
topic.chat("on with a stop string", chat_template_kwargs=ON, stop="</think>", max_tokens=MORE)
topic.chat("on with another stop string", chat_template_kwargs=ON, stop=" of", max_tokens=MORE)
topic.chat("on, n of 2", chat_template_kwargs=ON, n=2, **DRAWN, max_tokens=MORE)
topic.chat("on, told its prompt", chat_template_kwargs=ON, return_prompt_text=True, max_tokens=4)
topic.chat("on with a tool", chat_template_kwargs=ON, tools=[CAPITAL], max_tokens=MORE)
topic.chat(
    "on with a tool that is required", chat_template_kwargs=ON, tools=[CAPITAL], tool_choice="required", max_tokens=MORE
)
topic.chat(
    "on with a choice", chat_template_kwargs=ON, structured_outputs={"choice": ["Paris", "Rome"]}, max_tokens=MORE
)
topic.chat("on with an object", chat_template_kwargs=ON, response_format={"type": "json_object"}, max_tokens=MORE)
topic.chat("on, include_reasoning false", chat_template_kwargs=ON, include_reasoning=False, max_tokens=MORE)
topic.chat(
    "on, include_reasoning false, logprobs",
    chat_template_kwargs=ON,
    include_reasoning=False,
    logprobs=True,
    max_tokens=MORE,
)
topic.chat(
    "on, include_reasoning false, token ids",
    chat_template_kwargs=ON,
    include_reasoning=False,
    return_token_ids=True,
    max_tokens=MORE,
)
topic.chat("off, include_reasoning false", include_reasoning=False)
topic.chat("include_reasoning true", include_reasoning=True)
topic.chat("thinking_token_budget", chat_template_kwargs=ON, thinking_token_budget=2, max_tokens=MORE)
topic.chat("thinking_token_budget 0", chat_template_kwargs=ON, thinking_token_budget=0, max_tokens=MORE)
topic.chat("thinking_token_budget -1", chat_template_kwargs=ON, thinking_token_budget=-1, max_tokens=MORE)
topic.chat(
    "on, what was thought before",
    chat_template_kwargs=ON,
    max_tokens=MORE,
    messages=[
        *QUESTION,
        {"role": "assistant", "reasoning": "It is France.", "content": "Paris is the capital of France."},
        {"role": "user", "content": "And of Italy?"},
    ],
)
for effort in ("none", "minimal", "low", "medium", "high", "xhigh", "max"):
    topic.chat(f"reasoning_effort {effort}", reasoning_effort=effort, max_tokens=MORE)
topic.chat("reasoning_effort that nobody knows", reasoning_effort="heroic")
topic.chat("reasoning_effort and off", reasoning_effort="high", chat_template_kwargs=OFF, max_tokens=MORE)
