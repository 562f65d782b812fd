"""What vLLM is told of how a job's tokens are to be drawn. vLLM is imported when the first are drawn."""

from collections.abc import Mapping
from typing import Any

from actors.backends.vllm.resuming import FREE, RESUMED
from actors.backends.vllm.structured import Constraint
from cluster.messages.work import AS_CONTEXT_LEAVES, Sampling

LOGPROBS = ("logprobs", "prompt_logprobs", "logprob_token_ids")
"""The options that ask for logprobs."""


def sampling_params(
    sampling: Sampling,
    resumed: int,
    constraint: Constraint | None,
    recommended: Mapping[str, Any],
    choice: int = 0,
    free: int = 0,
    n: int = 1,
) -> Any:
    """vLLM's SamplingParams for an answer that has `resumed` tokens already, which vLLM counts too (`resuming.py`).

    Its grammar did not hold for the first `free` of these. `recommended` are the parameters that the model's authors
    recommend; what the job says goes above them. Each choice is drawn otherwise than the others, as by vLLM. It is a
    request of its own: `n` is for vLLM to judge.
    """
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    drawn = {"temperature": sampling.temperature, "top_p": sampling.top_p, **sampling.others}
    said = {name: value for name, value in drawn.items() if value is not None}
    said.pop("structured_outputs", None)  # the constraint says it
    # Stop strings are found by StopStringFilter: vLLM's own buffer does not end where a token does.
    own = {
        "n": n,
        # It may be judged before it is known how many the context leaves.
        "max_tokens": None if sampling.max_tokens == AS_CONTEXT_LEAVES else sampling.max_tokens,
        "min_tokens": sampling.min_tokens,
        "seed": None if sampling.seed is None else resumed_seed(sampling.seed + choice, resumed),
        "output_kind": RequestOutputKind.DELTA,
        # It is done token by token, not step by step. But it is vLLM that names the tokens of logprobs.
        "detokenize": not said.keys().isdisjoint(LOGPROBS),
        "extra_args": _extra_args(said.pop("vllm_xargs", {}), resumed, free),
    }
    return SamplingParams.from_optional(**{**recommended, **_as_classes(said), **own, **_constrained(constraint)})


def _extra_args(said: Mapping[str, Any], resumed: int, free: int) -> dict[str, Any] | None:
    return {**said, RESUMED: resumed, FREE: free} if said or resumed else None


def resumed_seed(seed: int, resumed: int) -> int:
    """The seed for the rest of an answer. vLLM takes -1 for no seed, and a GPU nothing above 63 bits."""
    return (seed + resumed) & (2**63 - 1)


def constraint_params(constraint: Constraint) -> Any:
    """SamplingParams with nothing but this constraint, for vLLM to judge."""
    from vllm import SamplingParams

    return SamplingParams(**_constrained(constraint))


def _constrained(constraint: Constraint | None) -> dict[str, Any]:
    from vllm.sampling_params import StructuredOutputsParams

    return {} if constraint is None else {"structured_outputs": StructuredOutputsParams(**constraint.options)}


def _as_classes(said: dict[str, Any]) -> dict[str, Any]:
    """What vLLM wants as objects of its own."""
    if "repetition_detection" not in said:
        return said
    from vllm.sampling_params import RepetitionDetectionParams

    return {**said, "repetition_detection": RepetitionDetectionParams(**said["repetition_detection"])}
