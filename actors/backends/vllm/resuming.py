"""How vLLM goes on with an answer that another engine began.

To vLLM a request begins with its prompt. What had been generated of a moved answer would count as prompt: penalties
would not see it, `min_tokens` and `max_tokens` would count from the move on, and a grammar would begin anew. Here such
a request becomes what vLLM itself makes of one that it preempted: its last tokens are output, and are read again with
the prompt.
"""

from functools import wraps
from typing import Any

from msgspec.structs import replace

RESUMED = "infernet_resumed_tokens"
"""How many of a prompt's last tokens belong to the answer: a request's extra argument."""

FREE = "infernet_free_tokens"
"""How many of the resumed tokens came before the answer's grammar held: its thoughts. A request's extra argument."""


def install() -> None:
    """Have this process of vLLM take resumed tokens for output, in its scheduler and in its workers."""
    from vllm.v1.core.sched.output import NewRequestData
    from vllm.v1.request import Request
    from vllm.v1.worker.gpu_input_batch import CachedRequestState

    if hasattr(Request.from_engine_core_request, "__wrapped__"):
        return
    _wrap_request(Request)
    _wrap_order(NewRequestData)
    _wrap_state(CachedRequestState)


def count(sampling_params: Any) -> int:
    """How many tokens a request with these parameters goes on from."""
    return _number(sampling_params, RESUMED)


def free(sampling_params: Any) -> int:
    """How many of these came before its grammar held."""
    return _number(sampling_params, FREE)


def _number(sampling_params: Any, name: str) -> int:
    extra_args = getattr(sampling_params, "extra_args", None) or {}
    return int(extra_args.get(name, 0))


def _wrap_request(request_class: Any) -> None:
    """The scheduler's request has them as output."""
    create = request_class.from_engine_core_request

    @wraps(create)
    def create_resumed(told: Any, block_hasher: Any) -> Any:
        resumed = count(told.sampling_params)
        if not resumed:
            return create(told, block_hasher)
        token_ids = told.prompt_token_ids
        request = create(replace(told, prompt_token_ids=token_ids[:-resumed]), block_hasher)
        request.append_output_token_ids(token_ids[-resumed:])
        request.prefill_stats = None  # they say how much of a prompt was cached, and hold for nothing else
        return request

    request_class.from_engine_core_request = create_resumed


def _wrap_order(order_class: Any) -> None:
    """A worker is told of them with the prompt. The newer kind of worker is told of all tokens anyway."""
    create = order_class.from_request

    @wraps(create)
    def create_resumed(request: Any, block_ids: Any, prefill_token_ids: Any = None, **others: Any) -> Any:
        order = create(request, block_ids, prefill_token_ids, **others)
        if prefill_token_ids is None and count(request.sampling_params):
            order.prompt_token_ids = request.prompt_token_ids + request._output_token_ids
        return order

    order_class.from_request = create_resumed


def _wrap_state(state_class: Any) -> None:
    """A worker of the older kind takes them for output, too."""
    complete = state_class.__post_init__

    @wraps(complete)
    def complete_resumed(state: Any) -> None:
        if (resumed := count(state.sampling_params)) and not state.output_token_ids:
            state.output_token_ids = state.prompt_token_ids[-resumed:]
            state.prompt_token_ids = state.prompt_token_ids[:-resumed]
        complete(state)

    state_class.__post_init__ = complete_resumed
