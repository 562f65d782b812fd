"""One job of a pooling model while it runs: its prompts are read one by one, and its answer is told as a whole."""

import logging
from typing import Any

from msgspec.structs import replace

from actors.backends.base import Chunk
from actors.backends.generation import Generation
from actors.backends.vllm.pooling import AskedToPool, NotNumbers
from cluster.messages.work import Dispatch, Finished

log = logging.getLogger(__name__)


class PooledGeneration(Generation):
    """Gathers what is made of its prompts. Nothing is told before all of it is there: one that moves begins anew."""

    __slots__ = ("_made", "_missing", "asked")

    def __init__(self, dispatch: Dispatch, asked: AskedToPool) -> None:
        super().__init__(dispatch, asked.tokens)
        self.asked = asked
        self._made: list[Any] = [None] * len(asked.inputs)
        self._missing = len(asked.inputs)

    def take(self, number: int, output: Any) -> Chunk | None:
        """What vLLM made of this prompt. Returns the chunk that tells and ends it all, once it was the last."""
        self._made[number] = output
        self._missing -= 1
        if self._missing:
            return None
        try:
            text = self.asked.answer(self._made)
        except NotNumbers:
            log.error("the model has answered with something that is no number", extra=self.about)  # noqa: TRY400
            return self.fail("engine_error", "The model has answered with something that is no number")
        self.ended = True
        return replace(self._chunk([], Finished(self._usage, "stop")), text=text)
