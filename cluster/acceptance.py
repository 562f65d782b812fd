"""Why a job is not accepted: what it asks for and will never get, and what it cannot have now. Pure."""

from cluster.catalogue import Catalogue
from cluster.errors import ContextLengthExceeded, InfernetError, ModelNotFound, NoCapacity, NodeNotFound
from cluster.fleet.fleet import Fleet
from cluster.messages.work import Job


def misfit(job: Job, catalogue: Catalogue, fleet: Fleet) -> InfernetError | None:
    """What the job asks for and will never get here."""
    model = catalogue.find(job.model)
    if model is None:
        return ModelNotFound(f"Model {job.model} is not registered on the network")
    context = fleet.context_length(model.id)
    if context is not None and (job.prompt_tokens or 0) + job.sampling.max_tokens > context:
        return _too_long(job, context)
    if job.node_id is not None and not fleet.knows_node(job.node_id):
        return NodeNotFound(f"node_id: no node {job.node_id}")
    return None


def lack_of_capacity(job: Job, catalogue: Catalogue, fleet: Fleet, waiting: int, now_s: float) -> NoCapacity | None:
    """Why a job that fits cannot be taken now, behind `waiting` others of its model."""
    model = catalogue.find(job.model)
    assert model is not None
    if not fleet.can_serve(model.id, job.node_id, now_s):
        return no_capacity(model.id)
    if waiting >= model.max_queue:
        return NoCapacity(f"The queue of model {model.id} is full")
    return None


def no_capacity(model: str) -> NoCapacity:
    return NoCapacity(f"No nodes available with model {model}")


def _too_long(job: Job, context: int) -> ContextLengthExceeded:
    prompt = "" if job.prompt_tokens is None else f"the prompt has {job.prompt_tokens} tokens; with "
    return ContextLengthExceeded(
        f"max_tokens: {prompt}{job.sampling.max_tokens} is more than the model's context of {context}"
    )
