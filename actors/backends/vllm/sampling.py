"""What vLLM is told of how a job's tokens are to be drawn. vLLM is imported when the first are drawn."""

from collections.abc import Mapping
from typing import Any

from actors.backends.vllm import structured
from actors.backends.vllm.structured import Constraint
from cluster.messages.work import Sampling


def sampling_params(
    sampling: Sampling, resumed: int, constraint: Constraint | None, recommended: Mapping[str, Any]
) -> Any:
    """vLLM's SamplingParams for the rest of an answer that has `resumed` tokens already.

    `recommended` are the parameters that the model's authors recommend; what the job says goes above them.
    """
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    # Stop strings are found by StopStringFilter: vLLM's own buffer does not end where a token does.
    own = {
        "max_tokens": sampling.max_tokens - resumed,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "seed": None if sampling.seed is None else resumed_seed(sampling.seed, resumed),
        "output_kind": RequestOutputKind.DELTA,
        "detokenize": False,  # it is done token by token, not step by step
    }
    return SamplingParams(**{**recommended, **own, **_constrained(constraint)})


def resumed_seed(seed: int, resumed: int) -> int:
    """The seed for the rest of an answer. vLLM takes -1 for no seed, and a GPU nothing above 63 bits."""
    return (seed + resumed) & (2**63 - 1)


def constraint_params(constraint: Constraint) -> Any:
    """SamplingParams with nothing but this constraint, for vLLM to judge."""
    from vllm import SamplingParams

    return SamplingParams(**_constrained(constraint))


def _constrained(constraint: Constraint | None) -> dict[str, Any]:
    from vllm.sampling_params import StructuredOutputsParams

    if constraint is None:
        return {}
    return {
        "structured_outputs": StructuredOutputsParams(json=constraint.schema),
        "extra_args": {structured.RESUMED: constraint.resumed},
    }
