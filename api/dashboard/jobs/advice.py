"""What to do about a job that failed, by its error's code."""

from collections.abc import Mapping

from cluster.errors import (
    ContextLengthExceeded,
    EngineFailed,
    InternalError,
    JobCancelled,
    JobTimeout,
    ModelNotFound,
    NoCapacity,
    NodeDisconnected,
)

_ADVICE: Mapping[str, str] = {
    JobCancelled.code: "Somebody cancelled it, or its client hung up. Submit it again if it is still wanted.",
    JobTimeout.code: (
        "It had not ended when its time was over. The timeline shows where the time went: in the queue, more replicas "
        "help; with an engine, a smaller max_tokens, or a larger job_timeout_s in the settings."
    ),
    NoCapacity.code: "Nothing could serve its model. The model's page says what it waits for, or why it failed.",
    NodeDisconnected.code: "It was pinned to a machine that went away. Submit it again without node_id, or to another.",
    EngineFailed.code: (
        "Its engine refused or could not generate the answer: the message is in the engine's words. Where it names a "
        "field, change that; else `infernet logs` has the engine's lines."
    ),
    ModelNotFound.code: "Its model is not in the catalogue any more. Put it back into the settings, or choose another.",
    ContextLengthExceeded.code: "Shorten the prompt, ask for fewer tokens, or choose a model with a longer context.",
    InternalError.code: "Look for the job's id in the logs, and submit it again.",
}


def advice(code: str) -> str | None:
    """What may help, where there is something to say."""
    return _ADVICE.get(code)
