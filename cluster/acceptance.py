"""Why a job is not accepted: what it asks for and will never get, and what it cannot have now. Pure."""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from cluster.catalogue import Catalogue, Model
from cluster.errors import ContextLengthExceeded, InfernetError, ModelNotFound, NoCapacity, NodeNotFound, RateLimited
from cluster.fleet.fleet import Fleet
from cluster.ids import JobId
from cluster.messages.work import Job, Submission
from cluster.overflow import overflow
from cluster.placement import most_tokens

if TYPE_CHECKING:
    from cluster.leases.leases import Leases


def refusals(jobs: Sequence[Job], catalogue: Catalogue, leases: "Leases", now_s: float) -> dict[JobId, InfernetError]:
    """Why these jobs, submitted together, are not accepted, by their ids."""
    found: dict[JobId, InfernetError] = {}
    ahead: Counter[str] = Counter()
    for job in jobs:
        waiting = leases.places.queue.waiting_for(job.model) + ahead[job.model]
        refusal = misfit(job, catalogue, leases.fleet)
        if refusal is None and leases.quiescent:
            refusal = shutting_down()
        refusal = refusal or lack_of_capacity(job, catalogue, leases.fleet, waiting, now_s)
        if refusal is None:
            ahead[job.model] += 1
        else:
            found[job.id] = refusal
    return found


def misfit(job: Job, catalogue: Catalogue, fleet: Fleet) -> InfernetError | None:
    """What the job asks for and will never get here."""
    model = catalogue.find(job.model)
    if model is None:
        return not_registered(job.model)
    if job.adapter and not _is_offered(job.adapter, model, catalogue):
        return not_registered(job.adapter)
    context = fleet.models.context_length(model.id)
    if context is not None and most_tokens(job) > context:
        return _too_long(job, context)
    if job.node_id is not None and not fleet.knows_node(job.node_id):
        return NodeNotFound(f"node_id: no node {job.node_id}")
    return None


def lack_of_capacity(job: Job, catalogue: Catalogue, fleet: Fleet, waiting: int, now_s: float) -> NoCapacity | None:
    """Why a job that fits cannot be taken now, behind `waiting` others of its model."""
    model = catalogue.find(job.model)
    assert model is not None
    if not fleet.can_serve(model.id, job.node_id, now_s):
        return no_capacity(model.id, fleet.too_small_gpus(model.id))
    if fleet.models.lacks(model.id, job.adapter):
        if fleet.models.cannot_load(model.id, job.adapter):
            # Not why: that may name folders.
            return NoCapacity(f"Adapter {job.adapter} cannot be loaded: the list of models tells why")
        return NoCapacity(f"Adapter {job.adapter} is new: not all nodes with model {model.id} have it yet")
    if waiting >= model.max_queue:
        return NoCapacity(f"The queue of model {model.id} is full")
    return None


def _is_offered(adapter: str, model: Model, catalogue: Catalogue) -> bool:
    """Whether the model has this adapter now. What has been removed is for the jobs that were accepted before."""
    owner = catalogue.find(adapter)
    return owner is not None and owner.id == model.id


def too_many_queued(submission: Submission, queued: int, now_ms: int) -> RateLimited | None:
    """Why a job cannot wait beside so many others of its account."""
    most = submission.max_queued
    if most is None or queued < most:
        return None
    # Nobody knows when one of them has its turn.
    message = f"{queued} jobs of this account wait for an engine, and no more than {most} may"
    return RateLimited(message, limit=most, reset_s=now_ms // 1000 + 1)


def not_registered(model: str) -> ModelNotFound:
    return ModelNotFound(f"Model {model} is not registered on the network")


def shutting_down() -> NoCapacity:
    return NoCapacity("The network is shutting down")


def no_capacity(model: str, reason: str | None = None) -> NoCapacity:
    return NoCapacity(f"No nodes available with model {model}{f': it {reason}' if reason else ''}")


def _too_long(job: Job, context: int) -> ContextLengthExceeded:
    return ContextLengthExceeded(f"max_tokens: {overflow(context, job.prompt_tokens, job.sampling.max_tokens)}")
