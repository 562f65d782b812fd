"""Where a job can be while it has not ended, and the book of where every job is.

    submitted -> Unconfirmed -> Queued -> Leased -> (released) gone
                      |            ^        |
                    Begun ------- | ---> Leased
                                   |        | engine lost, or order lost
                                  fenced <- Lost <- Recovering <- (a restart)

    any of them -> Ending -> (the end is durable) gone

`cluster/leases/leases.py` moves jobs between these places, and nobody else does.
"""

from collections.abc import Iterable, Iterator
from math import inf

from msgspec import Struct

from cluster import placement
from cluster.fleet.fleet import Fleet
from cluster.ids import AccountId, EngineId, JobId
from cluster.job_states import JobState
from cluster.messages.machines import EngineReport
from cluster.messages.work import Failure, JobAttempt, OpenJob
from cluster.queue import JobQueue, LaneId, Prefer, Waiting


class Unconfirmed(Struct, frozen=True):
    """It is being made durable, and no engine works on it. Once it is durable, it waits as this says."""

    waiting: Waiting


class Begun(Struct, frozen=True):
    """An engine works on it while it is being made durable. The engine tells nobody until it is confirmed."""

    waiting: Waiting
    engine_id: EngineId
    delivered_s: float = inf


class Queued(Struct, frozen=True):
    """It waits in this lane of the queue. The jobs that an account has in a lane share one such place."""

    lane: LaneId
    account_id: AccountId


class Leased(Struct, frozen=True):
    """An engine has the right to work on it, until it is released or fenced, or its deadline comes.

    It has had its order since `delivered_s`; before that is known, nobody can say that it does not know of it.
    """

    waiting: Waiting
    engine_id: EngineId
    delivered_s: float = inf


class Lost(Struct, frozen=True):
    """It has lost its engine. It goes on once the Journal has shut out the attempts made."""

    waiting: Waiting


class Recovering(Struct, frozen=True):
    """It is from before a restart. An engine may still work on it, which the nodes' reports will tell."""

    open_job: OpenJob


class Ending(Struct, frozen=True):
    """It fails, and the Journal makes that durable. Until then this engine keeps what its attempt has."""

    failure: Failure
    engine_id: EngineId | None = None

    @property
    def attempt(self) -> JobAttempt:
        return self.failure.job_id, self.failure.attempt


Place = Unconfirmed | Begun | Queued | Leased | Lost | Recovering | Ending


class Places:
    """One place per job, and in step with it: the queue of those that wait, and what each engine has been assigned.

    Sole owner of all three. It decides nothing.
    """

    def __init__(self, fleet: Fleet) -> None:
        self.queue = JobQueue()
        self.working = 0
        """How many jobs engines work on."""
        self.generated = 0
        """How many tokens engines have told of."""
        self._fleet = fleet
        self._places: dict[JobId, Place] = {}
        # An account's jobs in a lane share one place: there may be a million of them.
        self._queued: dict[tuple[LaneId, AccountId], Queued] = {}
        # How many of an account's jobs wait for an engine, in the queue or on their way there.
        self._waiting: dict[AccountId, int] = {}
        # How many tokens of those that engines work on have been charged to their accounts.
        self._charged: dict[JobId, int] = {}

    def __contains__(self, job_id: JobId) -> bool:
        return job_id in self._places

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[tuple[JobId, Place]]:
        return iter(self._places.items())

    def get(self, job_id: JobId) -> Place | None:
        return self._places.get(job_id)

    def queued_of(self, account_id: AccountId) -> int:
        """How many jobs of this account wait for an engine."""
        return self._waiting.get(account_id, 0)

    def put(self, job_id: JobId, place: Unconfirmed | Lost | Recovering | Ending) -> None:
        """The job is here from now on, and no engine works on it."""
        self.remove(job_id)
        self._places[job_id] = place
        self._waits(_who_waits(place), 1)

    def assign(self, place: Begun | Leased) -> None:
        """An engine works on the job from now on."""
        job = place.waiting.job
        self.remove(job.id)
        self._charged[job.id] = len(place.waiting.resume.token_ids)
        if place.waiting.attempt == 1:
            self.queue.charge(job.model, job.account_id, prompt_tokens=placement.prompt_tokens(job))
        self._occupy(place)

    def reclaim(self, place: Leased, tokens: int) -> None:
        """An engine has gone on with this job from before a restart, and made so many tokens by now.

        Those, and its prompt, were charged before; not what was made since that was written down last.
        """
        self.remove(place.waiting.job.id)
        self._charged[place.waiting.job.id] = tokens
        self._occupy(place)

    def _occupy(self, place: Begun | Leased) -> None:
        job = place.waiting.job
        self._places[job.id] = place
        self.working += 1
        if replica := self._fleet.replica(place.engine_id):
            prompt_tokens, peers = placement.prompt_tokens(job), replica.peers
            unread = prompt_tokens - peers.predictions.begin(job.id, replica.id, place.waiting.prefix, prompt_tokens)
            answer = peers.answers.expected_tokens(job.sampling.max_tokens)
            replica.assign(job.id, unread + answer, place.waiting.is_suspect, unread)

    def confirm(self, job_id: JobId, begun: Begun) -> None:
        """The job that had begun is durable: its engine has a lease."""
        self._places[job_id] = Leased(begun.waiting, begun.engine_id, begun.delivered_s)

    def deliver(self, place: Begun | Leased, now_s: float) -> None:
        """The job's engine has its order."""
        kind = type(place)
        self._places[place.waiting.job.id] = kind(place.waiting, place.engine_id, now_s)

    def hear(self, engine: EngineReport) -> None:
        """This engine tells how many tokens it has made. The prompts of those that have any are no work any more."""
        replica = self._fleet.replica(engine.id)
        for attempt, tokens in zip(engine.running, engine.tokens, strict=False):
            if self.told(engine.id, attempt, tokens) and replica is not None:
                replica.has_read(attempt[0])

    def told(self, engine_id: EngineId, attempt: JobAttempt, tokens: int) -> bool:
        """This engine has made so many tokens of this attempt's text: its account pays for those that are new.

        Returns whether it has made any.
        """
        place = self.given_to(engine_id, attempt)
        if place is None:
            return False
        self.made(place, tokens)
        return tokens > len(place.waiting.resume.token_ids)

    def made(self, place: Begun | Leased, tokens: int) -> None:
        """The job's engine has made so many tokens of its text: its account pays for those that are new."""
        job = place.waiting.job
        if (more := tokens - self._charged[job.id]) > 0:
            self._charged[job.id] = tokens
            self.generated += more
            self.queue.charge(job.model, job.account_id, output_tokens=more)

    def found(self, place: Begun | Leased, cached_tokens: int | None) -> None:
        """The job's engine had so many tokens of its prompt in its cache; None where it has not told."""
        job = place.waiting.job
        predictions = None if cached_tokens is None else self._fleet.models.predictions(job.model)
        if predictions is not None and cached_tokens is not None:
            predictions.found(job.id, cached_tokens)

    def enqueue(self, waiting: Waiting, first: bool = False) -> None:
        """The job waits from now on, last in its lane or first."""
        lane, job_id, account_id = waiting.lane, waiting.job.id, waiting.job.account_id
        if not isinstance(self._places.get(job_id), Unconfirmed):  # which waits already
            self.remove(job_id)
            self._waits(account_id, 1)
        self.queue.push(lane, waiting, first)
        self._places[job_id] = self._queued.setdefault((lane, account_id), Queued(lane, account_id))

    def pop(self, lane: LaneId, prefer: Prefer | None) -> tuple[Waiting, int]:
        """Take out the next job that waits in this lane, in which some do, and how many of its account's it passes."""
        waiting, passed = self.queue.pop_preferred(lane, prefer)
        del self._places[waiting.job.id]
        self._waits(waiting.job.account_id, -1)
        return waiting, passed

    def clear(self, lane: LaneId) -> list[Waiting]:
        """Take out all jobs that wait in this lane."""
        cleared = self.queue.clear(lane)
        for waiting in cleared:
            del self._places[waiting.job.id]
            self._waits(waiting.job.account_id, -1)
        return cleared

    def waiting(self, job_id: JobId) -> Waiting | None:
        """The job and its next attempt, or the one that is made now. None of one that is nowhere or ends."""
        match self.get(job_id):
            case Unconfirmed(waiting) | Begun(waiting) | Leased(waiting) | Lost(waiting):
                return waiting
            case Queued(lane, account_id):
                return self.queue.waiting(lane, account_id, job_id)
            case Recovering(open_job):
                return Waiting(open_job.job, open_job.attempt)
        return None

    def given_to(self, engine_id: EngineId, attempt: JobAttempt) -> Begun | Leased | None:
        """The place of this job, if this engine works on this attempt at it."""
        place = self.get(attempt[0])
        if not isinstance(place, Begun | Leased):
            return None
        return place if (place.engine_id, place.waiting.attempt) == (engine_id, attempt[1]) else None

    def aboard(self, job_ids: Iterable[JobId]) -> Iterator[Begun | Leased]:
        """Those of these jobs that engines work on."""
        for job_id in job_ids:
            place = self.get(job_id)
            if isinstance(place, Begun | Leased):
                yield place

    def remove(self, job_id: JobId) -> Place | None:
        """Take out a job, wherever it is. Returns where it was."""
        place = self._places.pop(job_id, None)
        match place:
            case None:
                pass
            case Begun() | Leased():
                self._vacate(place)
            case Queued(lane, account_id):
                self.queue.remove(lane, account_id, job_id)
                self._waits(account_id, -1)
            case _:
                self._waits(_who_waits(place), -1)
        return place

    def _vacate(self, place: Begun | Leased) -> None:
        """The job's engine does not work on it any more."""
        job = place.waiting.job
        self.working -= 1
        del self._charged[job.id]
        if (predictions := self._fleet.models.predictions(job.model)) is not None:
            predictions.end(job.id)
        if replica := self._fleet.replica(place.engine_id):
            replica.release(job.id)

    def _waits(self, account_id: AccountId | None, more: int) -> None:
        """So many more jobs of this account wait."""
        if account_id is None:
            return
        if waiting := self._waiting.get(account_id, 0) + more:
            self._waiting[account_id] = waiting
        else:
            del self._waiting[account_id]


def _who_waits(place: Place | None) -> AccountId | None:
    """Whose job waits here for an engine. Most of those that were with one before a restart still are."""
    match place:
        case Unconfirmed(waiting) | Lost(waiting):
            return waiting.job.account_id
        case Queued(_, account_id):
            return account_id
        case Recovering(open_job) if open_job.status is JobState.PENDING:
            return open_job.job.account_id
    return None
