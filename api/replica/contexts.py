"""How long an answer may be of which nobody has said so: as long as the model's context leaves room."""

from typing import TYPE_CHECKING

from msgspec.structs import replace

from actors.wire.calls import within
from cluster.catalogue import Model
from cluster.limits.pricing import most_prompt_tokens
from cluster.messages.work import AS_CONTEXT_LEAVES, Order, Sampling

if TYPE_CHECKING:
    from actors.scheduler import Scheduler


_UNKNOWN = Sampling().max_tokens
"""The most tokens of an answer before any engine has told of the context."""


class Contexts:
    """Remembers the contexts of models, which their engines tell. They change with the settings only."""

    def __init__(self, scheduler: "Scheduler", answer_s: float) -> None:
        self._scheduler = scheduler
        self._answer_s = answer_s
        self._tokens: dict[str, int] = {}

    async def bounded(self, model: Model, order: Order, prompt_tokens: int | None) -> Sampling:
        """The order's sampling, with a number for `max_tokens`: `default_max_tokens` of the catalogue at most."""
        sampling = order.sampling
        pools = order.form is not None and order.form.pools
        if pools or sampling.max_tokens != AS_CONTEXT_LEAVES:
            return sampling
        context = await self.tokens(model)
        left = context - most_prompt_tokens(order.messages, prompt_tokens, order.form) if context else _UNKNOWN
        most = min(left, order.most_tokens or model.default_max_tokens or left)
        return replace(sampling, max_tokens=max(1, sampling.min_tokens, most))

    async def tokens(self, model: Model) -> int | None:
        """The model's context, None before any engine has told of it.

        Raises Unreachable when the Scheduler does not answer in time.
        """
        declared = model.engine.get(model.traits.context_option)
        if isinstance(declared, int):
            return declared
        if model.id not in self._tokens:
            views = await within(self._answer_s, self._scheduler.models(), "the scheduler")
            self._tokens |= {view.id: view.context_length for view in views if view.context_length}
        return self._tokens.get(model.id)
