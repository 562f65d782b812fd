"""What a job of a pooling model becomes before vLLM is asked for its numbers."""

import logging

from actors.backends.vllm.engine import VllmEngine
from actors.backends.vllm.frontend import RequestRefused
from actors.backends.vllm.pooled import PooledGeneration
from actors.backends.vllm.pooling import AskedToPool
from actors.backends.vllm.rendering import FAILED, RenderingFailed
from actors.machine.log_lines import about_job
from cluster.messages.work import Dispatch, Form

log = logging.getLogger(__name__)


def render_pooled(engine: VllmEngine, dispatch: Dispatch) -> PooledGeneration:
    """A job whose prompts are tokens. Raises RenderingFailed."""
    form = dispatch.job.form
    try:
        if form is None:
            raise RequestRefused("this is a pooling model, and generates no text")
        return PooledGeneration(dispatch, check_pooled(engine, form))
    except RequestRefused as error:
        raise RenderingFailed(f"{FAILED}: {error}") from error
    except Exception as error:
        kind = type(error).__name__  # not the error itself: it may quote the prompt
        log.error("its prompts could not be rendered (%s)", kind, extra=about_job(dispatch.job))  # noqa: TRY400
        raise RenderingFailed(f"{FAILED}: its prompts could not be rendered") from error


def check_pooled(engine: VllmEngine, form: Form) -> AskedToPool:
    """What this form asks of a pooling model. Raises RequestRefused with vLLM's reason."""
    if not form.pools:
        raise RequestRefused("this is a pooling model, and generates no text")
    return engine.pooling.ask(form)
