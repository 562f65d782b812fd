"""A stage of a pipeline on a CPU, which vLLM does not prepare where it is not to compile."""

from typing import Any

from vllm.distributed.parallel_state import get_pp_group
from vllm.v1.worker.cpu_worker import CPUWorker


class CpuStage(CPUWorker):  # type: ignore[misc] # vLLM is not typed
    """vLLM's worker on a CPU, with a place for what the stage before it computes.

    vLLM makes that place in the run by which it measures memory. On a CPU it measures nothing, and runs only to
    compile, which takes minutes.
    """

    def load_model(self, **options: Any) -> None:
        super().load_model(**options)
        runner = self.model_runner
        if runner.intermediate_tensors is None and not get_pp_group().is_first_rank:
            runner.intermediate_tensors = runner.model.make_empty_intermediate_tensors(
                batch_size=runner.max_num_tokens, dtype=runner.model_config.dtype, device=runner.device
            )
