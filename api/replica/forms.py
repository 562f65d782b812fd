"""What an engine makes of a form, before there is a job: how long its prompt is, or why it is refused."""

import logging
import random
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from actors.wire.calls import within
from cluster.catalogue import Model
from cluster.clock import Clock
from cluster.ids import EngineId
from cluster.messages.work import Asking, Form, Sampling

if TYPE_CHECKING:
    from actors.engine import Engine
    from actors.scheduler import Scheduler

logger = logging.getLogger(__name__)

PATIENCE_S = 15.0
"""How long an engine has: its first form takes it seconds, for what vLLM imports then."""

_KNOWN_FOR_S = 2.0


class Forms:
    """Asks any ready engine of a model: its own front end judges what is asked. Remembers for 2 s which are ready."""

    def __init__(self, scheduler: "Scheduler", engine: Callable[[EngineId], "Engine"], clock: Clock) -> None:
        self._scheduler = scheduler
        self._engine = engine
        self._clock = clock
        self._ready: dict[str, tuple[float, Sequence[EngineId]]] = {}

    async def ask(self, model: Model, form: Form, sampling: Sampling) -> Asking | None:
        """What one of the model's engines says; None where none is ready, or none answers.

        Raises Unreachable when the Scheduler does not answer.
        """
        engines = list(await self._engines(model))
        random.shuffle(engines)
        for engine_id in engines:
            try:
                return await within(PATIENCE_S, self._engine(engine_id).ask(form, sampling), "the engine")
            except Exception as error:  # noqa: BLE001 - told, and another is asked: this one may just have ended
                kind = type(error).__name__  # not the error itself: it may quote the prompt
                logger.warning("%s does not say what it makes of a form (%s)", engine_id, kind)
                self._ready.pop(model.id, None)
        return None

    async def _engines(self, model: Model) -> Sequence[EngineId]:
        now_s = self._clock.monotonic_s()
        heard_s, engines = self._ready.get(model.id, (float("-inf"), ()))
        if not engines or now_s - heard_s > _KNOWN_FOR_S:
            engines = await self._scheduler.ready_engines(model.id)
            self._ready[model.id] = now_s, engines
        return engines
