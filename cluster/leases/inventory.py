"""What an engine works on, compared with what it is to work on: whatever was told it once is told again. Pure."""

from collections.abc import Container, Iterator

from cluster.fleet.fleet import Fleet
from cluster.ids import EngineId, JobId
from cluster.leases.actions import Abort, Action, Confirm, Forget
from cluster.leases.places import Begun, Ending, Leased, Lost, Places, Recovering
from cluster.messages.machines import EngineReport
from cluster.messages.work import JobAttempt


class Inventory:
    """Compares engines' reports with the places of jobs. An engine knows of its order within `order_s`."""

    def __init__(self, fleet: Fleet, places: Places, order_s: float) -> None:
        self._fleet = fleet
        self._places = places
        self._order_s = order_s

    def missing(self, engine: EngineReport, now_s: float) -> list[JobId]:
        """The jobs that the engine should have worked on when it spoke, and did not.

        Either the order or the notice of the end was lost, with the process that should have received it.
        """
        replica = self._fleet.replica(engine.id)
        if replica is None:
            return []
        before_s, working = now_s - engine.age_s - self._order_s, {*engine.running}.difference(engine.stopped)
        return [job_id for job_id in replica.tokens_of if self._is_missing(job_id, before_s, working)]

    def _is_missing(self, job_id: JobId, delivered_before_s: float, working: Container[JobAttempt]) -> bool:
        place = self._places.get(job_id)
        assert isinstance(place, Begun | Leased)
        return place.delivered_s < delivered_before_s and (job_id, place.waiting.attempt) not in working

    def corrections(self, engine: EngineReport, now_s: float) -> Iterator[Action]:
        """What the engine is to be told: to stop, to forget, or that it may tell."""
        stop, forget = [], []
        for attempt in engine.running:
            match self._places.get(attempt[0]):
                case Ending():
                    stop.append(attempt)
                case place if not self._wants(place, engine.id, attempt):
                    forget.append(attempt)
        if stop:
            yield Abort(engine.id, stop)
        if forget:
            yield Forget(engine.id, forget)
        before_s = now_s - engine.age_s - self._order_s
        if held_back := [a for a in engine.unconfirmed if self._was_confirmed(engine.id, a, before_s)]:
            yield Confirm(engine.id, held_back)

    def _wants(self, place: object, engine_id: EngineId, running: JobAttempt) -> bool:
        """Whether the engine is to work on this attempt, or may have to be asked for its output.

        It may list what nobody waits for: an order may arrive after the one that takes it back.
        """
        match place:
            case Begun(waiting, leased_to) | Leased(waiting, leased_to):
                return (leased_to, waiting.attempt) == (engine_id, running[1])
            case Recovering(open_job):
                return running[1] >= open_job.attempt
            case Lost():
                return True
        return False

    def _was_confirmed(self, engine_id: EngineId, attempt: JobAttempt, delivered_before_s: float) -> bool:
        place = self._places.given_to(engine_id, attempt)
        return isinstance(place, Leased) and place.delivered_s < delivered_before_s
