"""What is said where a prompt and its answer are more than a model's context: the words that programs look for.

They are OpenAI's (https://platform.openai.com/docs/guides/error-codes), and vLLM's begin alike.
"""

OVERFLOW = "This model's maximum context length is"


def overflow(context: int, prompt_tokens: int | None, max_tokens: int) -> str:
    """The sentences about a prompt of so many tokens, where that is known, and an answer of `max_tokens`."""
    asked = f"{max_tokens} tokens in the completion"
    if prompt_tokens is not None:
        asked = f"{prompt_tokens + max_tokens} tokens ({prompt_tokens} in the messages, {max_tokens} in the completion)"
    return (
        f"{OVERFLOW} {context} tokens. However, you requested {asked}. "
        "Please reduce the length of the messages or completion."
    )


def tells_of_overflow(reason: str) -> bool:
    """Whether this reason, which may be vLLM's, is that a prompt and its answer do not fit."""
    return OVERFLOW in reason
