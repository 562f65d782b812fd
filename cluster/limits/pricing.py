"""What tokens cost, in whole millionths of the currency unit. A part of a millionth counts as one."""

from collections.abc import Sequence

from cluster.catalogue import Price
from cluster.messages.money import Rates, Usage
from cluster.messages.work import ChatMessage, Form, Job

MILLION = 1_000_000

# More than chat templates add to a conversation and around each of its messages, for prompts that could not be counted.
_CONVERSATION_TOKENS = 256
_MESSAGE_TOKENS = 16
# As many as common models make of the largest picture: what a picture is to a model, only its engine can tell.
_MEDIUM_TOKENS = 16_384


def rates(price: Price) -> Rates:
    """A catalogue's price, to the millionth."""
    return Rates(round(price.prompt * MILLION), round(price.completion * MILLION))


def cost(rates: Rates, usage: Usage) -> int:
    """What this usage costs, in millionths of the currency unit, rounded up."""
    scaled = usage.prompt_tokens * rates.prompt + usage.completion_tokens * rates.completion
    return -(-scaled // MILLION)


def most_usage(job: Job) -> Usage:
    """The most that the job can consume: what a budget must have room for.

    A prompt that could not be counted is taken for its bytes: no byte-level tokenizer makes more tokens of it.
    """
    prompt_tokens = most_prompt_tokens(job.messages, job.prompt_tokens, job.form)
    return Usage(prompt_tokens, job.sampling.max_tokens * job.choices)


def most_prompt_tokens(messages: Sequence[ChatMessage], counted: int | None, form: Form | None = None) -> int:
    """The most tokens that this prompt can have: as many as were counted, where they could be."""
    if counted is not None:
        return counted
    if form is not None and form.pools:
        # A query is read again with each of its documents.
        texts = len(form.body.encode()) * (1 if form.kind == "embedding" else form.prompts)
        return texts + _MESSAGE_TOKENS * form.prompts + _CONVERSATION_TOKENS
    if form is not None:
        seen = _MEDIUM_TOKENS * len(form.media)
        return len(form.body.encode()) + seen + _MESSAGE_TOKENS * len(messages) + _CONVERSATION_TOKENS
    content_bytes = sum(len(message.content.encode()) for message in messages)
    return content_bytes + _MESSAGE_TOKENS * len(messages) + _CONVERSATION_TOKENS
