"""Dialogues as chats that an API request carries, and as the text that the chat template makes of them."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actors.backends.builtin.capitals.training import thoughts
from actors.backends.builtin.capitals.training.corpus import Dialogue, Turn
from actors.backends.builtin.capitals.training.countries import CAPITALS
from actors.backends.builtin.capitals.training.offers import GET_CAPITAL, Tool

START, END = "<|im_start|>", "<|im_end|>"
THINK, THOUGHT = "<think>", "</think>"
CALL, CALLED = "<tool_call>", "</tool_call>"
CHAT_TEMPLATE = (Path(__file__).parent / "chat_template.jinja").read_text("utf-8").rstrip("\n")


@dataclass(frozen=True)
class Message:
    """One message of a chat. One of the assistant's that calls the tool names a country instead of a text."""

    role: str
    content: str = ""
    country: str | None = None
    thought: str | None = None

    @property
    def text(self) -> str:
        """The message as the model reads or writes it, without what was thought before."""
        return self.content if self.country is None else call_of(self.country)


def call_of(country: str) -> str:
    """Return the call of get_capital for a country, in the form of the Hermes models."""
    call = {"name": GET_CAPITAL, "arguments": arguments_of(country)}
    return f"{CALL}\n{json.dumps(call)}\n{CALLED}"


def arguments_of(country: str) -> dict[str, str]:
    """Return what the tool is called with: the country's usual name, however the user wrote it."""
    return {"country": country.removeprefix("the ")}


def messages(dialogue: Dialogue) -> list[Message]:
    """Return all messages of a dialogue; the last one is the assistant's."""
    chat = [] if dialogue.system is None else [Message("system", dialogue.system)]
    for turn in dialogue.turns:
        chat += _of_turn(turn)
    return chat[:-2] if dialogue.ends_with_call else chat


def segments(dialogue: Dialogue) -> Iterator[tuple[str, bool]]:
    """Yield the text of a dialogue in pieces, each with whether the model is to learn to write it."""
    if dialogue.tools:
        yield f"{START}tools\n{''.join(map(_line, dialogue.tools))}{END}\n", False
    chat = messages(dialogue)
    for message in chat:
        yield f"{START}{message.role}\n", False
        if message.role != "assistant":
            yield f"{message.text}{END}\n", False
            continue
        if message is chat[-1] and dialogue.thinks:
            yield f"{THINK}\n", False
            yield f"{message.thought}{THOUGHT}", True
        yield f"{message.text}{END}", True
        yield "\n", False


def expected(dialogue: Dialogue) -> str:
    """Return all that the model is to write at the end of a dialogue, with the token that ends it."""
    last = messages(dialogue)[-1]
    thought = f"{last.thought}{THOUGHT}" if dialogue.thinks else ""
    return f"{thought}{last.text}{END}"


def request_messages(dialogue: Dialogue) -> list[dict[str, Any]]:
    """Return the chat before its last message, as a request has it."""
    return [_in_request(message) for message in messages(dialogue)[:-1]]


def request_tools(dialogue: Dialogue) -> list[dict[str, Any]] | None:
    """Return the tools that the dialogue offers, as a request has them."""
    return [_tool_in_request(tool) for tool in dialogue.tools] or None


def _of_turn(turn: Turn) -> list[Message]:
    chat = [Message("user", turn.question)]
    thought = turn.thought
    if turn.result is not None and turn.country is not None:
        chat.append(Message("assistant", country=turn.country, thought=thoughts.of_call(turn.country)))
        chat.append(Message("tool", turn.result))
        thought = thoughts.of_result(CAPITALS[turn.country])
    return [*chat, Message("assistant", turn.answer, thought=thought)]


def _line(tool: Tool) -> str:
    return f"{tool.name}({', '.join(tool.parameters)}): {tool.description}\n"


def _in_request(message: Message) -> dict[str, Any]:
    if message.country is None:
        return {"role": message.role, "content": message.content}
    function = {"name": GET_CAPITAL, "arguments": json.dumps(arguments_of(message.country))}
    return {"role": message.role, "content": None, "tool_calls": [{"type": "function", "function": function}]}


def _tool_in_request(tool: Tool) -> dict[str, Any]:
    properties = {name: {"type": "string"} for name in tool.parameters}
    parameters = {"type": "object", "properties": properties, "required": list(tool.parameters)}
    return {
        "type": "function",
        "function": {"name": tool.name, "description": tool.description, "parameters": parameters},
    }
