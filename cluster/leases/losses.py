"""Jobs that have lost their engine, until they wait again or end. Pure."""

from collections.abc import Iterable, Iterator, Sequence

from msgspec.structs import replace

from cluster.errors import EngineFailed
from cluster.fleet.fleet import Fleet
from cluster.ids import EngineId, JobId
from cluster.leases.actions import Action, Fence
from cluster.leases.endings import Endings
from cluster.leases.patience import disconnected
from cluster.leases.places import Begun, Leased, Lost, Places, Unconfirmed
from cluster.leases.suspicion import blamed, is_given_up
from cluster.messages.machines import FailedAttempt
from cluster.messages.placements import MovedBy
from cluster.messages.work import LAST_EPOCH, UNTOLD, Fenced, JobAttempt
from cluster.placement import most_tokens
from cluster.queue import Waiting


class Losses:
    """Moves jobs from `Leased` by `Lost` back to the queue. One that had only begun waits to be durable instead."""

    def __init__(self, fleet: Fleet, places: Places, endings: Endings) -> None:
        self._fleet = fleet
        self._places = places
        self._endings = endings
        # Lost jobs for which the Journal has to be asked, perhaps again.
        self._unfenced: list[JobId] = []

    # How an engine is lost ----------------------------------------------------------------------------------------

    def died(self, engine_ids: Iterable[EngineId]) -> Iterator[Action]:
        """These engines are dead, perhaps of one of their jobs."""
        for engine_id in engine_ids:
            aboard = self._drop(engine_id)
            charged = {waiting.job.id for waiting in blamed(aboard)}
            counted = (replace(w, losses=w.losses + (w.job.id in charged)) for w in aboard)
            yield from self._lose(counted, "engine died")

    def gone(self, engine_ids: Iterable[EngineId]) -> Iterator[Action]:
        """Nothing is heard of these engines any more, for no fault of their jobs."""
        for engine_id in engine_ids:
            yield from self._lose(self._drop(engine_id), "node went silent")

    def taken_back(self, job_ids: Iterable[JobId], why: MovedBy) -> Iterator[Action]:
        """These jobs go on elsewhere; their engine may live."""
        yield from self._lose([place.waiting for place in self._places.aboard(job_ids)], why)

    def overdue(self, now_s: float, now_ms: int) -> Iterator[Action]:
        """What retiring engines have not ended in their time goes on elsewhere, as far as there is room.

        All of it goes from a machine that is about to be taken away, and from an engine whose place its successor
        waits for. Jobs that are pinned to their node end there, and those that could not go on at another engine.
        """
        room: dict[str, int] = {}
        for replica in self._fleet.overdue(now_s, now_ms):
            left = room.setdefault(replica.model.id, self._fleet.models.free_slots(replica.model.id))
            jobs = [place.waiting.job for place in self._places.aboard(replica.tokens_of)]
            leaves = replica.leaves_soon(now_ms)
            may_move = [job for job in jobs if leaves or replica.can_hand_on(most_tokens(job))]
            moved = [job.id for job in may_move if job.node_id is None]
            if not (leaves or replica.makes_room):
                moved = moved[:left]
            room[replica.model.id] = max(left - len(moved), 0)
            yield from self.taken_back(moved, "engine retired")

    def failed(self, engine_id: EngineId, attempts: Iterable[FailedAttempt], now_s: float) -> Iterator[Action]:
        """This engine lives, and failed these attempts before their first token."""
        for failed in attempts:
            place = self._places.given_to(engine_id, (failed.job_id, failed.attempt))
            if place is None:
                continue
            if replica := self._fleet.replica(engine_id):
                replica.note_failure(now_s)
            waiting = replace(place.waiting, failures=place.waiting.failures + 1)
            if is_given_up(waiting):
                yield from self._endings.begin([waiting], EngineFailed(failed.message))
            else:
                yield from self._lose([waiting], "engine failed it")

    def unclaimed(self, waiting: Iterable[Waiting]) -> None:
        """No engine is known to work on these jobs, and an attempt of theirs may have told something."""
        for each in waiting:
            self._places.put(each.job.id, Lost(replace(each, moved_by="nobody had it")))
            self._unfenced.append(each.job.id)

    def _drop(self, engine_id: EngineId) -> list[Waiting]:
        """Count on this engine no longer. Returns the jobs that it worked on."""
        replica = self._fleet.drop(engine_id)
        return [] if replica is None else [place.waiting for place in self._places.aboard(replica.tokens_of)]

    def _lose(self, waiting: Iterable[Waiting], why: MovedBy) -> Iterator[Action]:
        attempts: list[JobAttempt] = []
        for each in (replace(each, moved_by=why) for each in waiting):
            match self._places.get(each.job.id):
                case Leased():
                    self._places.put(each.job.id, Lost(each))
                    attempts.append((each.job.id, each.attempt))
                case Begun():
                    again = replace(each, attempt=each.attempt + 1, resume=UNTOLD)
                    self._places.put(each.job.id, Unconfirmed(again))
        if attempts:
            yield Fence(attempts)

    # How they go on -----------------------------------------------------------------------------------------------

    def fenced(self, asked: Sequence[JobAttempt], fences: Sequence[Fenced], now_ms: int) -> list[Action]:
        """The Journal has shut out the attempts that it answers for. The other jobs are about to end."""
        actions: list[Action] = []
        never_begun = [fence for fence in fences if fence.attempt == 1]
        begun = [fence for fence in fences if fence.attempt > 1]
        for fence in (*reversed(begun), *never_begun):  # each that had begun goes to the front
            place = self._places.get(fence.job_id)
            if isinstance(place, Lost):
                self._places.remove(fence.job_id)
                if not fence.ended:
                    waiting = replace(place.waiting, attempt=fence.attempt, resume=fence.output)
                    actions += self._requeue(_begun_anew(waiting, now_ms) if fence.output.epoch == 0 else waiting)
        self.not_fenced(asked)
        return actions

    def not_fenced(self, asked: Sequence[JobAttempt]) -> None:
        """Those of these jobs that are still lost are asked for again."""
        self._unfenced += [job_id for job_id, _ in asked if isinstance(self._places.get(job_id), Lost)]

    def repeat(self) -> list[Action]:
        """Ask the Journal for the jobs that it did not answer for."""
        places, self._unfenced = [self._places.get(job_id) for job_id in self._unfenced], []
        lost = [(place.waiting.job.id, place.waiting.attempt) for place in places if isinstance(place, Lost)]
        return [Fence(lost)] if lost else []

    def _requeue(self, waiting: Waiting) -> list[Action]:
        node_id = waiting.job.node_id
        if node_id is not None and not self._fleet.online(node_id):
            return self._endings.begin([waiting], disconnected(node_id))
        if is_given_up(waiting):
            return self._endings.begin([waiting], EngineFailed("The engines that ran this job failed"))
        self._places.enqueue(waiting, first=waiting.attempt > 1)
        return []


def _begun_anew(waiting: Waiting, now_ms: int) -> Waiting:
    """The job as it begins a text in the place of one that may have been told, and is lost.

    Attempts may have been made that nobody wrote down: their number is no new epoch for sure, but time goes on.
    """
    age_ms = min(now_ms - waiting.job.created_ms, LAST_EPOCH)
    return replace(waiting, resume=replace(waiting.resume, epoch=max(waiting.attempt, age_ms)))
