"""Requests that nobody waits for, answered before a model's first client: what is made at first use is made by then."""

import logging
from collections.abc import Sequence
from typing import Any

from actors.backends.vllm import structured
from actors.backends.vllm.engine import InvalidRequest, VllmEngine, Wanted
from cluster.messages.work import ChatMessage, Sampling

log = logging.getLogger(__name__)

_PROMPTS = 8


class _TrialFailed(Exception):
    """vLLM took a trial request and then gave it up."""


def warm_up(engine: VllmEngine, model_id: str) -> bool:
    """Answer a few short prompts. Returns whether the model can follow a JSON Schema.

    Raises RuntimeError when it is a pooling model, and nobody has said so.
    Raises what a model without a chat template raises: it is of no use here. Raises RuntimeError when a resumed
    structured answer begins anew.
    """
    if engine.pools:
        raise RuntimeError("vLLM finds this to be a pooling model: its engine options must say `runner: pooling`")
    prompt = engine.tokenise([ChatMessage("user", "?")])
    _generate(engine, [Wanted(prompt, Sampling(max_tokens=4))] * _PROMPTS)
    return _has_structured_outputs(engine, prompt, model_id)


def warm_up_pooling(engine: VllmEngine) -> None:
    """Have a pooling model read a few tokens. Raises what a model raises that is none, or has no answers for us."""
    if not engine.pools:
        raise RuntimeError("vLLM finds this to be a model that generates text: its engine options say otherwise")
    for number in range(_PROMPTS):
        engine.pool(f"trial/{number}", *engine.pooling.trial())
    while not engine.is_idle():
        engine.step_pooling()


def _has_structured_outputs(engine: VllmEngine, prompt: list[int], model_id: str) -> bool:
    """Have an answer generated that follows a schema, then its second half as if it were resumed.

    False when the model cannot follow a schema. Raises when it can, but begins the second half with the beginning:
    vLLM has changed, or was started without our plugin, and answers would be corrupted.
    """
    try:
        texts, ids = _follow_schema(engine, prompt, [])
        half = len(ids) // 2
        rest, _ = _follow_schema(engine, prompt, ids[:half])
    except (InvalidRequest, _TrialFailed) as error:
        text, reason = "", str(error)
    else:
        text = "".join(texts)
        reason = repr(text)
    if text != structured.TRIAL_ANSWER:
        log.warning("%s has no structured outputs: %s", model_id, reason)
        return False
    resumed = "".join([*texts[:half], *rest])
    if resumed != text:
        raise RuntimeError(
            f"vLLM began a resumed structured answer anew: {text} became {resumed}. "
            "Does VLLM_PLUGINS shut out the plugin infernet?"
        )
    return True


def _follow_schema(engine: VllmEngine, prompt: list[int], resumed: list[int]) -> tuple[list[str], list[int]]:
    constraint = structured.constraint(structured.TRIAL)
    sampling = Sampling(max_tokens=32, temperature=0.0)
    thoughtless: dict[str, Any] | None = {"chat_template_kwargs": {}} if engine.thinks else None
    [answer] = _generate(engine, [Wanted(prompt, sampling, resumed, constraint, reasoning_kwargs=thoughtless)])
    return answer


def _generate(engine: VllmEngine, trials: Sequence[Wanted]) -> list[tuple[list[str], list[int]]]:
    """The tokens of each answer, as texts and as ids. Raises InvalidRequest and _TrialFailed."""
    answers: dict[str, tuple[list[str], list[int]]] = {}
    for number, trial in enumerate(trials):
        answers[f"trial/{number}"] = ([], [])
        engine.add(f"trial/{number}", trial)
    while not engine.is_idle():
        for produced in engine.step():
            if produced.error is not None:
                raise _TrialFailed(f"vLLM finished it with {produced.error!r}")
            texts, ids = answers[produced.request_id]
            texts += produced.texts
            ids += produced.token_ids
    return list(answers.values())
