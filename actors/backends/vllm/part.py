"""The part of a vLLM engine on a further machine: workers that take their orders from the first machine's engine.

It is what `vllm serve --headless` runs there. vLLM ends neither of the two for the other's sake: whoever starts both
has to.
"""

from actors.backends.base import BackendDied, Place
from actors.backends.vllm.failures import FailureLog
from actors.backends.vllm.making import make_engine_args
from actors.backends.vllm.processes import EngineProcesses
from actors.machine import scheduling_class
from cluster.catalogue import Model


class VllmPart:
    """Starts the workers of its machine, which meet those of the others, and waits for the first of them to end."""

    def __init__(self, model: Model, source: str, place: Place) -> None:
        self._model = model
        self._source = source
        self._place = place
        self._processes = EngineProcesses()

    def run(self) -> None:
        failures = FailureLog()
        try:
            self._work(failures)
            raise ChildProcessError("a worker of vLLM's ended")
        except Exception as error:
            raise BackendDied(failures.reason(error)) from error
        finally:
            failures.close()

    def close(self) -> None:
        self._processes.end()

    def _work(self, failures: FailureLog) -> None:
        args = make_engine_args(self._model, self._source, failures.open, self._place)

        from vllm.usage.usage_lib import UsageContext
        from vllm.v1.executor.multiproc_executor import MultiprocExecutor

        with scheduling_class.ordinary():
            config = args.create_engine_config(usage_context=UsageContext.OPENAI_API_SERVER, headless=True)
            executor = MultiprocExecutor(config, monitor_workers=False)
        executor.start_worker_monitor(inline=True)
