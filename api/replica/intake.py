"""How a submission becomes a job, whichever door it came through."""

from api.replica.gateway import Gateway
from cluster.catalogue import Model
from cluster.errors import BadRequest, Forbidden
from cluster.ids import new_job_id
from cluster.limits.pricing import rates
from cluster.messages.people import Principal
from cluster.messages.work import Accepted, Idempotency, Job, Order, Submission

MAX_IDEMPOTENCY_KEY_CHARACTERS = 255


async def accept(gateway: Gateway, caller: Principal, order: Order, idempotency_key: str | None) -> Accepted:
    """A durable job for this order, or the one that this idempotency key stands for already.

    Raises what refuses it, in the contract's order of checks; then there is no such job.
    """
    idempotency = _idempotency(idempotency_key, order.body_hash)
    if idempotency is not None:
        repeated = await gateway.repeated(caller, idempotency)
        if repeated is not None:
            return repeated
    model = _model(gateway, caller, order)
    prompt = await gateway.prompts.count(model, order.messages)
    job = _job(gateway, caller, order, model, prompt.tokens)
    await gateway.admit_tokens(caller, job)
    return await gateway.submit(Submission(job, idempotency, prompt.ids))


def _model(gateway: Gateway, caller: Principal, order: Order) -> Model:
    """The model asked for. Raises what says that it cannot be asked for this, or by this caller."""
    model = gateway.model(order.model)
    if caller.models and model.id not in caller.models:
        raise Forbidden(f"model: this key may not use {model.id}")
    if order.sampling.json_schema is not None and not model.traits.structured_outputs:
        raise BadRequest(f"response_format: {model.id} is a {model.backend} model and has no structured outputs")
    return model


def _job(gateway: Gateway, caller: Principal, order: Order, model: Model, prompt_tokens: int | None) -> Job:
    created_ms = gateway.now_ms()
    return Job(
        id=new_job_id(),
        account_id=caller.account_id,
        key_id=caller.key_id,
        model=model.id,
        messages=order.messages,
        sampling=order.sampling,
        created_ms=created_ms,
        deadline_ms=gateway.deadline_ms(created_ms),
        node_id=order.node_id,
        metadata=order.metadata,
        prompt_tokens=prompt_tokens,
        rates=rates(model.price),
    )


def _idempotency(key: str | None, body_hash: str) -> Idempotency | None:
    if key is None:
        return None
    if not 1 <= len(key) <= MAX_IDEMPOTENCY_KEY_CHARACTERS:
        raise BadRequest(f"Idempotency-Key: must have 1 to {MAX_IDEMPOTENCY_KEY_CHARACTERS} characters")
    return Idempotency(key, body_hash)
