"""How a model is spoken with, where its catalogue entry says more than the model itself does."""

from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct, field

ContentFormat = Literal["auto", "string", "openai"]

SERVER_OPTIONS = ("tool_call_parser", "enable_auto_tool_choice", "exclude_tools_when_tool_choice_none")
"""What is written beside an engine's options because vLLM has it among the same flags: it is of vLLM's server."""


class Conversation(Struct, frozen=True):
    """What dialogues are rendered with, and what answers are parsed with, by vLLM's names.

    `chat_template` is the text of one, None for the model's own. It is given the content of messages as text, or as
    the `openai` parts, or as it looks made for (`auto`), and `template_kwargs` as variables, which requests can set
    otherwise. Where there is a `tool_call_parser`, models may choose to call tools. A request with tools whose
    `tool_choice` is none is rendered without them where `exclude_tools_when_tool_choice_none`.
    """

    chat_template: str | None = None
    content_format: ContentFormat = "auto"
    template_kwargs: Mapping[str, Any] = field(default_factory=dict)
    tool_call_parser: str | None = None
    reasoning_parser: str | None = None
    exclude_tools_when_tool_choice_none: bool = False


def tool_call_parser(options: Mapping[str, Any]) -> str | None:
    """The parser that an engine's options name: none of them may be used where they rule out automatic choice."""
    name: str | None = options.get("tool_call_parser")
    return name if options.get("enable_auto_tool_choice", True) else None


def reasoning_parser(options: Mapping[str, Any]) -> str | None:
    """The parser that an engine's options name, in one of the two places where vLLM takes it from."""
    structured = options.get("structured_outputs_config")
    nested = structured.get("reasoning_parser") if isinstance(structured, Mapping) else None
    name: str | None = options.get("reasoning_parser") or nested
    return name or None
