"""What spans say of a generation, by OpenTelemetry's names for generative AI. Nothing of a prompt, and no text.

https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/
"""

from collections.abc import Mapping

from actors.telemetry.spans import Attribute
from cluster import traceparent
from cluster.messages.work import End, Finished, FormKind, Job

GENERATE = "generate"
"""With the number of an attempt, the label of its span."""

_OPERATIONS: Mapping[FormKind, str] = {
    "chat": "chat",
    "completion": "text_completion",
    "tokens": "chat",
    "embedding": "embeddings",
    "score": "score",
    "rerank": "rerank",
}


def place(job: Job, attempt: int) -> str:
    """Where the span of this attempt is, whoever tells of it: its engine, or who has lost that."""
    return traceparent.of_job(job.origin.trace, job.id, f"{GENERATE} {attempt}")


def name(job: Job) -> str:
    return f"{_operation(job)} {job.asked_for}"


def asked(job: Job) -> dict[str, Attribute]:
    """What is asked for."""
    sampling = job.sampling
    told: dict[str, Attribute | None] = {
        "gen_ai.operation.name": _operation(job),
        "gen_ai.provider.name": "infernet",
        "gen_ai.request.model": job.asked_for,
        "gen_ai.request.max_tokens": sampling.max_tokens,
        "gen_ai.request.temperature": sampling.temperature,
        "gen_ai.request.top_p": sampling.top_p,
        "gen_ai.request.seed": sampling.seed,
        "gen_ai.request.choice.count": job.choices if job.choices > 1 else None,
        "infernet.job.id": job.id,
    }
    return {name: value for name, value in told.items() if value is not None}


def answered(end: End) -> dict[str, Attribute]:
    """What came of it."""
    usage = end.usage
    told: dict[str, Attribute | None] = {
        "gen_ai.usage.input_tokens": usage.prompt_tokens,
        "gen_ai.usage.output_tokens": usage.completion_tokens,
        "gen_ai.usage.cache_read.input_tokens": usage.cached_tokens,
        "gen_ai.usage.reasoning.output_tokens": usage.reasoning_tokens,
        "gen_ai.response.finish_reasons": [end.finish_reason] if isinstance(end, Finished) else None,
    }
    return {name: value for name, value in told.items() if value is not None}


def error(end: End) -> str:
    """The code that it failed with; nothing where it did not."""
    return "" if isinstance(end, Finished) else end.error


def _operation(job: Job) -> str:
    return "chat" if job.form is None else _OPERATIONS[job.form.kind]
