"""Functions that a model may call."""

from typing import Any

from tests.differential.case import PLAIN, STREAM, Topic
from tests.differential.requests.completions import DRAWN

topic = Topic("tools")


def tool(name: str, **properties: Any) -> dict[str, Any]:
    parameters = {"type": "object", "properties": properties, "required": list(properties)}
    return {"type": "function", "function": {"name": name, "description": f"Does {name}", "parameters": parameters}}


def named(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name}}


CAPITAL = tool("get_capital", country={"type": "string", "description": "The country's name"})
WEATHER = tool("get_weather", city={"enum": ["Paris", "Rome"]}, days={"type": "integer", "minimum": 1, "maximum": 3})
NOW = {"type": "function", "function": {"name": "get_time"}}
TOOLS = [CAPITAL, WEATHER]
TWO = [{"role": "user", "content": "What are the capitals of France and Italy?"}]
THANKS = [{"role": "user", "content": "Thank you!"}]
CALL = {"id": "call_1", "type": "function", "function": {"name": "get_capital", "arguments": '{"country": "France"}'}}
ANSWERED = [
    {"role": "user", "content": "What is the capital of France?"},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "call_1", "content": "Paris"},
]
MORE = 96

topic.chat("auto by itself", tools=TOOLS, max_tokens=MORE)
topic.chat("auto", tools=TOOLS, tool_choice="auto", max_tokens=MORE)
topic.chat("auto, one tool", tools=[CAPITAL], tool_choice="auto", max_tokens=MORE)
topic.chat("auto, a tool without parameters", tools=[NOW], max_tokens=MORE)
topic.chat("auto, where none is of use", tools=[CAPITAL], messages=THANKS, max_tokens=MORE)
topic.chat("auto, two calls", tools=[CAPITAL], messages=TWO, max_tokens=MORE)
topic.chat("auto, parallel_tool_calls false", tools=[CAPITAL], messages=TWO, parallel_tool_calls=False, max_tokens=MORE)
topic.chat("auto, cut off", tools=[CAPITAL], max_tokens=6)
topic.chat("auto, cut off at once", tools=[CAPITAL], max_tokens=1)
topic.chat("auto, a tool's result", tools=[CAPITAL], messages=ANSWERED, max_tokens=MORE)
topic.chat("auto with usage", tools=[CAPITAL], stream_options={"include_usage": True}, max_tokens=MORE, modes=STREAM)
topic.chat("auto with logprobs", tools=[CAPITAL], logprobs=True, max_tokens=MORE)
topic.chat("auto with token ids", tools=[CAPITAL], return_token_ids=True, max_tokens=MORE)
topic.chat("auto with a stop string", tools=[CAPITAL], stop="country", max_tokens=MORE)
topic.chat("auto, n of 2", tools=[CAPITAL], n=2, **DRAWN, max_tokens=MORE)
topic.chat(
    "auto, strict", max_tokens=MORE, tools=[{"type": "function", "function": {**CAPITAL["function"], "strict": True}}]
)
topic.chat(
    "auto, a system prompt",
    tools=[CAPITAL],
    max_tokens=MORE,
    messages=[{"role": "system", "content": "You are a helpful assistant."}, *TWO],
)
topic.chat("none", tools=TOOLS, tool_choice="none")
topic.chat("none without tools", tool_choice="none")
topic.chat("null with tools", tools=TOOLS, tool_choice=None, max_tokens=MORE)
topic.chat("required", tools=TOOLS, tool_choice="required", max_tokens=MORE)
topic.chat("required, one tool", tools=[WEATHER], tool_choice="required", max_tokens=MORE)
topic.chat("required, a tool without parameters", tools=[NOW], tool_choice="required", max_tokens=MORE)
topic.chat(
    "required, parallel_tool_calls false",
    tools=[WEATHER],
    tool_choice="required",
    parallel_tool_calls=False,
    max_tokens=MORE,
)
topic.chat("required, cut off", tools=[WEATHER], tool_choice="required", max_tokens=8)
topic.chat("required with logprobs", tools=[WEATHER], tool_choice="required", logprobs=True, max_tokens=MORE)
topic.chat(
    "required with usage",
    tools=[WEATHER],
    tool_choice="required",
    stream_options={"include_usage": True},
    max_tokens=MORE,
    modes=STREAM,
)
topic.chat("required, a tool's result", tools=TOOLS, tool_choice="required", messages=ANSWERED, max_tokens=MORE)
topic.chat("named", tools=TOOLS, tool_choice=named("get_weather"), max_tokens=MORE)
topic.chat("named, a free text", tools=TOOLS, tool_choice=named("get_capital"), max_tokens=30)
topic.chat("named, without parameters", tools=[NOW], tool_choice=named("get_time"), max_tokens=30)
topic.chat("named, cut off", tools=TOOLS, tool_choice=named("get_weather"), max_tokens=4)
topic.chat("named, n of 2", tools=TOOLS, tool_choice=named("get_weather"), n=2, **DRAWN, max_tokens=MORE)
topic.chat(
    "named with token ids", tools=TOOLS, tool_choice=named("get_weather"), return_token_ids=True, max_tokens=MORE
)
topic.chat("named that is not there", tools=TOOLS, tool_choice=named("get_elephant"))
topic.chat("named without a name", tools=TOOLS, tool_choice={"type": "function", "function": {}})
topic.chat("named without a function", tools=TOOLS, tool_choice={"type": "function"})
topic.chat("named with an empty name", tools=TOOLS, tool_choice=named(""))
topic.chat("a choice that nobody knows", tools=TOOLS, tool_choice="perhaps")
topic.chat("a choice without tools", tool_choice="auto")
topic.chat("required without tools", tool_choice="required")
topic.chat("no tools at all", tools=[])
topic.chat("tools null", tools=None)
topic.chat("tools that are none", tools="get_capital")
topic.chat("a tool without a name", tools=[{"type": "function", "function": {"description": "?"}}])
topic.chat("a tool of another type", tools=[{"type": "retrieval"}])
topic.chat(
    "a tool with a schema that cannot be",
    tool_choice="required",
    max_tokens=MORE,
    tools=[tool("broken", x={"type": "elephant"})],
)
topic.chat("a tool with more fields", tools=[{**CAPITAL, "cache": True}], max_tokens=MORE)
topic.chat("tools and a format", tools=TOOLS, response_format={"type": "json_object"}, max_tokens=40)
topic.chat("tools and a choice of texts", tools=TOOLS, structured_outputs={"choice": ["a", "b"]})
topic.chat(
    "named and a choice of texts",
    tools=TOOLS,
    tool_choice=named("get_capital"),
    structured_outputs={"choice": ["a", "b"]},
)
topic.chat("parallel_tool_calls without tools", parallel_tool_calls=False, modes=PLAIN)
topic.chat("parallel_tool_calls null", tools=[CAPITAL], parallel_tool_calls=None, max_tokens=MORE)
