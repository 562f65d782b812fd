"""Prompts of models that have no tokenizer."""

from collections.abc import Sequence

from cluster.messages.work import ChatMessage


def prompt_tokens(messages: Sequence[ChatMessage]) -> int:
    """A prompt's length: three tokens a message, and one for every four characters begun."""
    return sum(3 + (len(message.content) + 3) // 4 for message in messages)
