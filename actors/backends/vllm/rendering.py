"""What a job's messages and schema become before vLLM is asked for an answer."""

import logging

from msgspec import Struct

from actors.backends.prompts.encoder import refusal
from actors.backends.vllm import structured
from actors.backends.vllm.detokenizer import Detokenizer, NotItsText, replay
from actors.backends.vllm.engine import InvalidRequest, VllmEngine
from actors.backends.vllm.structured import Constraint
from cluster.json_schemas import UnsupportedSchema
from cluster.messages.work import Dispatch

log = logging.getLogger(__name__)

FAILED = "The engine could not generate this answer"
"""What a client is told when the reason is none of its business."""


class Rendered(Struct, frozen=True):
    """A job for vLLM: its prompt's token ids, what its answer has to follow, what tells its text if it goes on."""

    prompt: list[int]
    constraint: Constraint | None = None
    detokenizer: Detokenizer | None = None


class RenderingFailed(Exception):
    """A job cannot be begun, or cannot go on. The message is for the client."""


def render(engine: VllmEngine, dispatch: Dispatch, structured_outputs: bool) -> Rendered:
    """Tokenise the dialogue, unless that has been done, and have vLLM judge the schema and its own parameters.

    `structured_outputs`: the model can follow a schema. Raises RenderingFailed.
    """
    try:
        constraint = _constraint(engine, dispatch, structured_outputs)
        if dispatch.job.sampling.others:
            engine.verify_sampling(dispatch.job.sampling)
        prompt = list(dispatch.resume.prompt_ids or dispatch.prompt_ids) or engine.tokenise(dispatch.job.messages)
        return Rendered(prompt, constraint, _resumed(engine, dispatch, prompt))
    except UnsupportedSchema as error:
        raise RenderingFailed(f"json_schema: {error}") from error
    except InvalidRequest as error:
        raise RenderingFailed(f"{FAILED}: {error}") from error
    except NotItsText as error:
        log.error("job %s: what it goes on from is not the text of its tokens", dispatch.job.id)  # noqa: TRY400
        raise RenderingFailed(f"{FAILED}: it cannot go on from what it has") from error
    except Exception as error:
        kind = type(error).__name__  # not the error itself: it may quote the prompt
        log.error("job %s: the chat template failed (%s)", dispatch.job.id, kind)  # noqa: TRY400
        raise RenderingFailed(f"{FAILED}: {refusal(error)}") from error


def _resumed(engine: VllmEngine, dispatch: Dispatch, prompt: list[int]) -> Detokenizer | None:
    """What tells the rest of an answer that goes on. Raises NotItsText."""
    if not dispatch.resume.token_ids:
        return None
    detokenizer = engine.detokenizer(prompt, dispatch.job.sampling)
    replay(detokenizer, dispatch.resume)
    return detokenizer


def _constraint(engine: VllmEngine, dispatch: Dispatch, structured_outputs: bool) -> Constraint | None:
    schema = dispatch.job.sampling.json_schema
    if schema is None:
        return None
    if not structured_outputs:
        raise UnsupportedSchema("this model has no structured outputs")
    constraint = structured.constraint(schema)
    engine.verify(constraint)
    return constraint
