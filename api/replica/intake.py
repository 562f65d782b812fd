"""How an order becomes a job, whichever API it came by."""

import logging
from typing import TYPE_CHECKING

from msgspec.structs import replace

from actors.backends.prompts.counter import Prompt, PromptCounter, prompt_of
from actors.machine.log_lines import about_job
from actors.telemetry import origins, spans
from actors.wire.batcher import Batcher
from actors.wire.calls import within
from api.replica.allowances import Allowances
from api.replica.contexts import Contexts
from api.replica.forms import Forms
from api.replica.media.keeping import MediaKeeping
from api.replica.offered import Offered
from cluster.catalogue import Choice, Model
from cluster.clock import SYSTEM_CLOCK, Clock
from cluster.errors import BadRequest, ContextLengthExceeded, Forbidden
from cluster.ids import WebhookId, new_job_id
from cluster.limits.pricing import most_usage, rates
from cluster.messages.people import Principal
from cluster.messages.work import Accepted, Idempotency, Job, Order, Sampling, Submission
from cluster.overflow import tells_of_overflow
from cluster.prefixes.chain import of_adapter
from cluster.timing import Timing

if TYPE_CHECKING:
    from actors.ledger import Ledger
    from actors.scheduler import Scheduler

logger = logging.getLogger(__name__)

MAX_IDEMPOTENCY_KEY_CHARACTERS = 255

VLLMS_MOST_LOGPROBS = 20
"""Where an engine is not told otherwise with `max_logprobs`."""


class Intake:
    """Accepts orders, or says why not. A job has to end `job_timeout_s` after it was accepted."""

    def __init__(
        self,
        offered: Offered,
        prompts: PromptCounter,
        allowances: Allowances,
        ledger: "Ledger",
        scheduler: "Scheduler",
        contexts: Contexts,
        forms: Forms,
        media: MediaKeeping,
        job_timeout_s: int,
        clock: Clock = SYSTEM_CLOCK,
        answer_s: float = Timing().answer_s,
    ) -> None:
        self._offered = offered
        self._prompts = prompts
        self._allowances = allowances
        self._ledger = ledger
        self._job_timeout_ms = job_timeout_s * 1000
        self._clock = clock
        self._answer_s = answer_s
        self._contexts = contexts
        self._forms = forms
        self._media = media
        self._submissions = Batcher[Submission, Accepted](scheduler.submit)

    async def accept(self, caller: Principal, order: Order, idempotency_key: str | None) -> Accepted:
        """A durable job for this order, or the one that this idempotency key stands for already.

        Raises what refuses it, in the contract's order of checks; then there is no such job.
        """
        idempotency = _idempotency(idempotency_key, order.body_hash)
        if idempotency is not None:
            earlier = await self._ledger.repeated(caller.account_id, idempotency)
            if earlier is not None:
                order.media.clear()
                return earlier
        webhook_id = await self._webhook(caller, order)
        choice = await self._choice(caller, order)
        model = choice.model
        order = await self._with_media(caller, order)
        prompt = await self._prompt(model, order)
        sampling = await self._contexts.bounded(model, order, prompt.tokens)
        job = replace(self._job(caller, order, choice, sampling, prompt.tokens), webhook_id=webhook_id)
        logger.debug("is submitted: model %s, prompt tokens: %s", job.asked_for, prompt.tokens, extra=about_job(job))
        await self._allowances.charge_tokens(caller, most_usage(job))
        prefix = of_adapter(prompt.prefix, job.adapter)
        return await self.submit(Submission(job, idempotency, prompt.ids, caller.max_queued, prefix))

    async def submit(self, submission: Submission) -> Accepted:
        """Returns once the job is durable. Raises what the Scheduler and the Ledger refuse it for.

        Raises Unreachable when that takes too long; whether there will be such a job is not known then.
        """
        with spans.of_job(spans.SUBMIT, submission.job.id, submission.job.origin):
            return await within(self._answer_s, self._submissions.add(submission), "the scheduler")

    async def _webhook(self, caller: Principal, order: Order) -> WebhookId | None:
        """The endpoint that is to be told of the end. Raises BadRequest for a URL that is none of the account's."""
        if order.webhook_url is None:
            return None
        return await self._ledger.webhook_at(caller.account_id, order.webhook_url)

    async def _choice(self, caller: Principal, order: Order) -> Choice:
        """What is asked for. Raises what says that it cannot be asked for this, or by this caller."""
        choice = await self._offered.choice(order.model)
        model = permitted(choice.model, caller, choice.adapter_id)
        if order.sampling.json_schema is not None and not model.traits.structured_outputs:
            raise BadRequest(f"response_format: {model.id} is a {model.backend} model and has no structured outputs")
        if not model.traits.forms and (why := _more_than_a_text(order)):
            raise BadRequest(f"{why}: {model.id} is a {model.backend} model: it answers dialogues of texts with a text")
        if model.pools and (order.form is None or not order.form.pools):
            raise BadRequest(f"model: {model.id} is a pooling model: it generates no text")
        if order.form is not None and order.form.pools and not model.pools:
            raise BadRequest(f"model: {model.id} generates text, and is no pooling model")
        _check_logprobs(model, order.sampling)
        return choice

    async def _with_media(self, caller: Principal, order: Order) -> Order:
        """The order, once its pictures and sounds can be had by their hashes. Raises BadRequest for what is none."""
        if order.form is None or not order.media:
            return order
        media = await self._media.keep(caller.account_id, order.media)
        return replace(order, form=replace(order.form, media=media))

    async def _prompt(self, model: Model, order: Order) -> Prompt:
        """The prompt's tokens, where they can be told. Raises BadRequest for one that the model refuses."""
        if order.form is None or not model.traits.forms:
            return await self._prompts.count(model, order.messages)
        asking = await self._forms.ask(model, order.form, order.sampling)
        if asking is None:
            return Prompt()
        if tells_of_overflow(asking.refusal):
            raise ContextLengthExceeded(asking.refusal)
        if asking.refusal:
            raise BadRequest(asking.refusal)
        return prompt_of(model, asking.ids) if asking.ids else Prompt(asking.tokens)

    def _job(
        self, caller: Principal, order: Order, choice: Choice, sampling: Sampling, prompt_tokens: int | None
    ) -> Job:
        created_ms = self._clock.wall_ms()
        form = order.form if choice.model.traits.forms else None
        return Job(
            id=new_job_id(),
            account_id=caller.account_id,
            key_id=caller.key_id,
            model=choice.model.id,
            messages=() if form else order.messages,
            sampling=sampling,
            created_ms=created_ms,
            deadline_ms=created_ms + self._job_timeout_ms,
            node_id=order.node_id,
            metadata=order.metadata,
            prompt_tokens=prompt_tokens,
            rates=rates(choice.price),
            priority=order.priority,
            form=form,
            adapter=choice.adapter_id,
            origin=origins.current(),
        )


def _check_logprobs(model: Model, sampling: Sampling) -> None:
    """Raises BadRequest where more logprobs are wanted than the model's engines tell."""
    most = model.engine.get("max_logprobs", VLLMS_MOST_LOGPROBS)
    for name in ("logprobs", "prompt_logprobs"):
        wanted = sampling.others.get(name) or 0
        if most >= 0 and not 0 <= wanted <= most:
            raise BadRequest(f"{name}: {model.id} tells {most} of each token at most")


def _more_than_a_text(order: Order) -> str:
    """The field that asks for more than a dialogue of texts can say, or one text can tell; nothing where none does."""
    sampling = order.sampling
    if order.form is not None and order.form.why:
        return order.form.why
    if sampling.n > 1:
        return "n"
    told = [name for name in ("logprobs", "prompt_logprobs") if name in sampling.others]
    return told[0] if told else "return_token_ids" if sampling.return_token_ids else ""


def permitted(model: Model, caller: Principal, adapter: str = "") -> Model:
    """The model. Raises Forbidden where this caller may not use it, or this adapter of it."""
    if not caller.may_use(model.id, adapter):
        raise Forbidden(f"model: this key may not use {adapter or model.id}")
    return model


def _idempotency(key: str | None, body_hash: str) -> Idempotency | None:
    if key is None:
        return None
    if not 1 <= len(key) <= MAX_IDEMPOTENCY_KEY_CHARACTERS:
        raise BadRequest(f"Idempotency-Key: must have 1 to {MAX_IDEMPOTENCY_KEY_CHARACTERS} characters")
    return Idempotency(key, body_hash)
