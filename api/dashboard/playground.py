"""Playground: a conversation with a model, by the same requests that any client sends."""

from typing import Annotated

from fastapi import Query, Response
from starlette.requests import Request

from api.dashboard.jobs.conversation import Question, question
from api.dashboard.rendering import page
from api.dashboard.routing import pages
from api.http.dependencies import Caller, CurrentGateway
from api.replica.gateway import Gateway
from cluster.catalogue import Catalogue, Choice
from cluster.ids import JobId
from cluster.keys import account_seen
from cluster.messages.people import Principal

router = pages()


@router.get("/playground")
async def playground(
    request: Request,
    gateway: CurrentGateway,
    caller: Caller,
    job: Annotated[str, Query(pattern=r"^(job_[0-9a-f]{16,64})?$")] = "",
) -> Response:
    """The form; with a job, filled in with the question that it asks."""
    states = await gateway.models.states()
    models = [(choice.id, states.get(choice.model.id, "")) for choice in _usable(gateway.catalogue, caller)]
    return page(request, "playground.html", {"models": models, "question": await _question(gateway, caller, job)})


async def _question(gateway: Gateway, caller: Principal, job: str) -> Question | None:
    """Raises JobNotFound."""
    return question(await gateway.jobs.asked(JobId(job), account_seen(caller))) if job else None


def _usable(catalogue: Catalogue, caller: Principal) -> list[Choice]:
    """What this key may ask for texts: models, each with its adapters."""
    talking = [model for model in catalogue.models if not model.pools]
    choices = [Choice(model, adapter) for model in talking for adapter in (None, *model.adapters)]
    return [choice for choice in choices if caller.may_use(choice.model.id, choice.adapter_id)]
