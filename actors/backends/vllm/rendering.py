"""What a job becomes before vLLM is asked for its answers: requests of vLLM's, and what makes chunks of what comes."""

import json
import logging
from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from actors.backends.base import Media
from actors.backends.generation import Generation
from actors.backends.marked import Interpreter, MarkedGeneration, Plain
from actors.backends.prompts.encoder import refusal
from actors.backends.vllm import structured
from actors.backends.vllm.detokenizer import Detokenizer, NotItsText, replay
from actors.backends.vllm.engine import InvalidRequest, VllmEngine, Wanted
from actors.backends.vllm.frontend import Asked, ParsedAnswer, RequestRefused, body_of
from actors.backends.vllm.logprobs import LogprobTeller
from actors.backends.vllm.sampling import LOGPROBS
from actors.backends.vllm.structured import Constraint
from actors.machine.log_lines import about_job
from cluster.json_schemas import UnsupportedSchema
from cluster.messages.marks import Prompt
from cluster.messages.work import Dispatch, Form, Job, Sampling
from cluster.text.choices import ChoiceOutput, by_choice

log = logging.getLogger(__name__)

FAILED = "The engine could not generate this answer"
"""What a client is told when the reason is none of its business."""


class Rendered(Struct, frozen=True):
    """A job for vLLM: what it is asked, a request for each choice, and what makes chunks of its answers."""

    generation: Generation
    wanted: tuple[Wanted, ...]

    @property
    def longest_prompt(self) -> int:
        return max(len(each.prompt) for each in self.wanted)


class RenderingFailed(Exception):
    """A job cannot be begun, or cannot go on. The message is for the client."""


def is_plain(job: Job) -> bool:
    """Whether its answer is one text, of which nothing else is to be told."""
    sampling = job.sampling
    asks_more = sampling.n > 1 or sampling.return_token_ids or not sampling.others.keys().isdisjoint(LOGPROBS)
    return job.form is None and not asks_more


def render_plain(engine: VllmEngine, dispatch: Dispatch, prompt: Sequence[int]) -> Rendered:
    """A job that asks for a text alone, and whose prompt has been tokenised."""
    wanted = Wanted(
        prompt, dispatch.job.sampling, adapter=dispatch.job.adapter, adapter_number=dispatch.job.adapter_number
    )
    return Rendered(_plain_generation(engine, dispatch, prompt), (wanted,))


def render(engine: VllmEngine, dispatch: Dispatch, structured_outputs: bool, media: Media) -> Rendered:
    """Tokenise the prompt, unless that has been done, and have vLLM judge what is asked of it.

    `structured_outputs`: the model can follow a schema. `media` are those of the job's form, if it has any. Raises
    RenderingFailed.
    """
    try:
        return _render(engine, dispatch, structured_outputs, media)
    except UnsupportedSchema as error:
        raise RenderingFailed(f"json_schema: {error}") from error
    except (InvalidRequest, RequestRefused) as error:
        raise RenderingFailed(f"{FAILED}: {error}") from error
    except NotItsText as error:
        log.error("what it goes on from is not the text of its tokens", extra=about_job(dispatch.job))  # noqa: TRY400
        raise RenderingFailed(f"{FAILED}: it cannot go on from what it has") from error
    except Exception as error:
        kind = type(error).__name__  # not the error itself: it may quote the prompt
        log.error("the chat template failed (%s)", kind, extra=about_job(dispatch.job))  # noqa: TRY400
        raise RenderingFailed(f"{FAILED}: {refusal(error)}") from error


def check(engine: VllmEngine, form: Form, sampling: Sampling, structured_outputs: bool, media: Media) -> Asked:
    """What this form asks, once vLLM has judged it. Raises RequestRefused with vLLM's reason."""
    try:
        asked = _ask(engine, form, (), media)
        _constraint(engine, sampling, structured_outputs, asked.constraint)
        if sampling.others or sampling.n > 1:
            engine.verify_sampling(sampling)
    except UnsupportedSchema as error:
        raise RequestRefused(str(error)) from error
    except InvalidRequest as error:
        raise RequestRefused(str(error), error.field) from error
    return asked


def _render(engine: VllmEngine, dispatch: Dispatch, structured_outputs: bool, media: Media) -> Rendered:
    job = dispatch.job
    if job.sampling.others:
        engine.verify_sampling(job.sampling)
    known = dispatch.resume.prompt_ids or dispatch.prompt_ids
    if is_plain(job) and not engine.thinks:
        prompt = list(known) or engine.tokenise(job.messages)
        detokenizer = _resumed(engine, dispatch, prompt)
        resumed = dispatch.resume.token_ids
        constraint = _constraint(engine, job.sampling, structured_outputs)
        wanted = Wanted(
            prompt,
            job.sampling,
            resumed,
            constraint,
            detokenizer,
            adapter=job.adapter,
            adapter_number=job.adapter_number,
        )
        return Rendered(_plain_generation(engine, dispatch, prompt), (wanted,))
    asked = _ask(engine, job.form or _dialogue(job), known, media)
    constraint = _constraint(engine, job.sampling, structured_outputs, asked.constraint)
    return _render_marked(engine, dispatch, asked, constraint)


def _ask(engine: VllmEngine, form: Form, prompt_ids: Sequence[int], media: Media) -> Asked:
    body = body_of(form.body)
    match form.kind:
        case "chat":
            return engine.frontend.chat(body, prompt_ids, [media[each] for each in form.media])
        case "completion":
            return engine.frontend.completion(body)
        case "tokens":
            return engine.frontend.tokens(body)
        case _:
            raise RequestRefused("This model generates text, and is no pooling model")


def _dialogue(job: Job) -> Form:
    """A dialogue of texts in the form of vLLM's own requests."""
    return Form("chat", json.dumps({"messages": [{"role": m.role, "content": m.content} for m in job.messages]}))


def _render_marked(engine: VllmEngine, dispatch: Dispatch, asked: Asked, constraint: Constraint | None) -> Rendered:
    sampling = dispatch.job.sampling
    of_choices = [each for each in zip(asked.inputs, asked.prompts, strict=True) for _ in range(sampling.n)]
    had = by_choice(dispatch.resume, len(of_choices))
    detokenizers = [engine.detokenizer(prompt, sampling, asked.skip_special_tokens) for _, prompt in of_choices]
    interpreters = [_interpreter(asked, *each) for each in zip(had, detokenizers, strict=True)]
    generation = MarkedGeneration(
        dispatch,
        sum(len(prompt) for prompt in asked.prompts),
        interpreters,
        asked.prompts[0] if engine.prompts_tell_time else (),
        _prompts(engine, dispatch.job, asked),
        hides_tokens=asked.parsing is not None and asked.parsing.hides_thoughts,
    )
    teller = _teller(engine, dispatch.job)
    wanted = [
        Wanted(
            prompt,
            sampling,
            had[number].token_ids,
            constraint,
            detokenizers[number],
            inputs,
            number,
            teller=teller,
            adapter=dispatch.job.adapter,
            adapter_number=dispatch.job.adapter_number,
            **_thoughts(asked, had[number].token_ids),
        )
        for number, (inputs, prompt) in enumerate(of_choices)
    ]
    return Rendered(generation, tuple(wanted))


def _interpreter(asked: Asked, had: ChoiceOutput, detokenizer: Detokenizer) -> Interpreter:
    """What reads one choice, told of all that it goes on from. Raises NotItsText when that says something else now."""
    reads = Plain() if asked.parsing is None else asked.parsing.interpreter()
    if had.stopped is not None:
        return reads
    said, held = list[tuple[str, int, str]](), list[int]()
    for token_id in had.token_ids:
        held.append(token_id)
        if text := detokenizer.text(token_id):
            said += [(each.kind, each.call, each.text) for each in reads.read(text, held, finished=False)]
            held = []
    told = [(segment.turn.kind, segment.turn.call, segment.text) for segment in had.segments]
    if held or _joined(said) != _joined(told):
        raise NotItsText
    if isinstance(reads, ParsedAnswer):
        reads.goes_on_from(had)
    return reads


def _joined(said: Sequence[tuple[str, int, str]]) -> list[tuple[str, int, str]]:
    """The same with neighbours of one kind as one."""
    joined: list[tuple[str, int, str]] = []
    for kind, call, text in said:
        if joined and joined[-1][:2] == (kind, call):
            joined[-1] = (kind, call, joined[-1][2] + text)
        elif text:
            joined.append((kind, call, text))
    return joined


def _thoughts(asked: Asked, resumed: Sequence[int]) -> dict[str, Any]:
    """What a grammar has to know of the thoughts before it."""
    if asked.parsing is None or (kwargs := asked.parsing.reasoning_kwargs) is None:
        return {}
    free = asked.parsing.free_tokens(resumed)
    return {
        "reasoning_kwargs": kwargs,
        "thinks": free is None,
        "free_tokens": len(resumed) if free is None else free,
    }


def _prompts(engine: VllmEngine, job: Job, asked: Asked) -> list[Prompt]:
    """What is told of the prompts before any logprobs are known."""
    body = body_of(job.form.body) if job.form else {}
    echoes, tells = bool(body.get("echo")), bool(body.get("return_prompt_text"))
    if not job.sampling.return_token_ids and not echoes and not tells:
        return []
    told = []
    for number, (prompt, rendered) in enumerate(zip(asked.prompts, asked.texts, strict=True)):
        text = asked.last_message if _is_chat(job) else rendered or engine.tokenizer.decode(prompt)
        told.append(
            Prompt(
                at=0,
                choice=number * job.sampling.n,
                ids=prompt,
                text=text if echoes else "",
                rendered=(rendered or engine.tokenizer.decode(prompt)) if tells else "",
                first=engine.tokenizer.decode(prompt[:1]) if echoes and not _is_chat(job) else "",
            )
        )
    return told


def _teller(engine: VllmEngine, job: Job) -> LogprobTeller | None:
    if job.sampling.others.keys().isdisjoint(LOGPROBS):
        return None
    return LogprobTeller(job.sampling, engine.tokenizer, is_chat=_is_chat(job))


def _is_chat(job: Job) -> bool:
    return job.form is None or job.form.kind == "chat"


def _plain_generation(engine: VllmEngine, dispatch: Dispatch, prompt: Sequence[int]) -> Generation:
    return Generation(dispatch, len(prompt), prompt if engine.prompts_tell_time else ())


def _resumed(engine: VllmEngine, dispatch: Dispatch, prompt: list[int]) -> Detokenizer | None:
    """What tells the rest of an answer that goes on. Raises NotItsText."""
    if not dispatch.resume.token_ids:
        return None
    detokenizer = engine.detokenizer(prompt, dispatch.job.sampling)
    replay(detokenizer, dispatch.resume)
    return detokenizer


def _constraint(
    engine: VllmEngine, sampling: Sampling, structured_outputs: bool, of_tools: Constraint | None = None
) -> Constraint | None:
    """What the answer has to follow, as vLLM takes it: that of tools before all else. Raises UnsupportedSchema."""
    constraint = of_tools or _of_sampling(sampling)
    if constraint is None:
        return None
    if not structured_outputs:
        raise UnsupportedSchema("this model has no structured outputs")
    engine.verify(constraint)
    return constraint


def _of_sampling(sampling: Sampling) -> Constraint | None:
    if sampling.json_schema is not None:
        return structured.constraint(sampling.json_schema)
    options = sampling.others.get("structured_outputs")
    return Constraint(dict(options)) if options else None
