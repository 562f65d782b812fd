"""The part of a vLLM engine on a further machine: workers that take their orders from the first machine's engine.

It is what `vllm serve --headless` runs there. vLLM ends neither of the two for the other's sake: whoever starts both
has to.
"""

from actors.backends.base import BackendDied, Place
from actors.backends.vllm.engine import make_engine_args
from actors.backends.vllm.failures import FailureLog
from actors.machine import scheduling_class
from cluster.catalogue import Model


class VllmPart:
    """Starts the workers of its machine, which meet those of the others, and waits for the first of them to end."""

    def __init__(self, model: Model, source: str, place: Place) -> None:
        self._model = model
        self._source = source
        self._place = place
        self._failures = FailureLog()

    def run(self) -> None:
        try:
            self._work()
        except Exception as error:
            raise BackendDied(self._failures.reason(error)) from error
        raise BackendDied(self._failures.reason(ChildProcessError("a worker of vLLM's ended")))

    def _work(self) -> None:
        args = make_engine_args(self._model, self._source, self._failures.open, self._place)

        from vllm.usage.usage_lib import UsageContext
        from vllm.v1.executor.multiproc_executor import MultiprocExecutor

        with scheduling_class.ordinary():
            config = args.create_engine_config(usage_context=UsageContext.OPENAI_API_SERVER, headless=True)
            executor = MultiprocExecutor(config, monitor_workers=False)
        executor.start_worker_monitor(inline=True)
