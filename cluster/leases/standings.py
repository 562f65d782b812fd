"""How a job stands that has not ended: where it is, whose turn it is there, and what rules engines out. Pure."""

from cluster.fleet.fleet import Fleet
from cluster.ids import JobId
from cluster.leases.places import Begun, Ending, Leased, Lost, Place, Places, Queued, Recovering, Unconfirmed
from cluster.messages.explanations import Stage, Standing
from cluster.messages.machines import ModelView
from cluster.placement import Cached, prompt_tokens
from cluster.queue import Waiting


def standing(job_id: JobId, places: Places, fleet: Fleet, now_s: float) -> Standing | None:
    """None of a job that is nowhere here: it has ended."""
    match place := places.get(job_id):
        case None:
            return None
        case Queued(lane, account_id):
            queued = places.queue.waiting(lane, account_id, job_id)
            cached, loaded = _cached(queued, fleet), fleet.models.having(lane.model, queued.job.adapter)
            ranking = fleet.models.ranking(lane.model)
            considered = ranking.considered(lane.node_id, suspect=lane.suspect, cached=cached, loaded=loaded)
            turn = places.queue.turn(lane, account_id, job_id)
            view = _view(lane.model, places, fleet, now_s)
            return Standing("waiting", view, tuple(considered), turn, lane.node_id, lane.suspect)
    waiting = places.waiting(job_id)
    return Standing(_stage(place), None if waiting is None else _view(waiting.job.model, places, fleet, now_s))


def _cached(waiting: Waiting, fleet: Fleet) -> Cached:
    return fleet.models.cached(waiting.job.model, waiting.prefix, prompt_tokens(waiting.job))


def _view(model: str, places: Places, fleet: Fleet, now_s: float) -> ModelView | None:
    views = fleet.models.views({model: places.queue.waiting_for(model)}, now_s)
    return next((view for view in views if view.id == model), None)


def _stage(place: Place) -> Stage:
    match place:
        case Unconfirmed():
            return "being accepted"
        case Queued():
            return "waiting"
        case Begun() | Leased():
            return "with an engine"
        case Lost():
            return "moving"
        case Recovering():
            return "looked for"
        case Ending():
            return "ending"
