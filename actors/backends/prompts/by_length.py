"""Prompts of models that have no tokenizer."""

from collections.abc import Sequence
from typing import get_args

from cluster.messages.work import ChatMessage, Role

TOKEN_BYTES = 16
"""Of four characters, four bytes each."""


def prompt_tokens(messages: Sequence[ChatMessage]) -> int:
    """A prompt's length: three tokens a message, and one for every four characters begun."""
    return sum(_HEADER_TOKENS + (len(message.content) + 3) // 4 for message in messages)


def prompt_bytes(messages: Sequence[ChatMessage]) -> bytes:
    """A prompt's tokens, `TOKEN_BYTES` each: who says it, and then the text."""
    return b"".join([part for message in messages for part in (_HEADERS[message.role], _content(message.content))])


def _content(text: str) -> bytes:
    encoded = text.encode("utf-32-le", "surrogatepass")
    return encoded.ljust((len(encoded) + TOKEN_BYTES - 1) // TOKEN_BYTES * TOKEN_BYTES, b"\0")


_HEADER_TOKENS = 3
_HEADERS = {role: role.encode().ljust(_HEADER_TOKENS * TOKEN_BYTES, b"\0") for role in get_args(Role)}
