"""Jobs that wait for an engine: accounts in turns, each one's by priority and then first come, first served.

A job that lost its engine goes back to the front.

A waiting job is kept as bytes: a third of what its objects would take, and nothing for the garbage collector to visit.
"""

from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

import msgspec
from msgspec import Struct

from cluster.ids import AccountId, JobId, NodeId
from cluster.messages.explanations import Turn
from cluster.messages.people import ShareMark
from cluster.messages.placements import MovedBy
from cluster.messages.work import Job, Output, Priority
from cluster.prefixes.chain import hashes
from cluster.shares import Shares, Turns

SUSPECT_AFTER = 2

MOST_JUMPED = 4
"""A job may go before so many of its account that came earlier, and so many may go before it."""

_PRIORITIES: tuple[Priority, ...] = ("high", "normal", "low")


class LaneId(NamedTuple):
    """What the jobs of a lane ask for: a model, a node if they are pinned, an engine without a suspect if they are."""

    model: str
    node_id: NodeId | None = None
    suspect: bool = False


class Waiting(Struct, frozen=True, array_like=True):
    """A job to place: the attempt to make, and the output to go on from.

    `losses` is how many deaths of engines are laid to it (`cluster/leases/suspicion.py`), `failures` how many engines
    have failed it and gone on. `prefix` are the hashes of its prompt's beginnings, `moved_by` is why it lost its last
    engine.
    """

    job: Job
    attempt: int = 1
    resume: Output = Output()
    losses: int = 0
    failures: int = 0
    prefix: bytes = b""
    moved_by: MovedBy | None = None

    @property
    def is_suspect(self) -> bool:
        """Whether it may be what the engines died of."""
        return self.losses >= SUSPECT_AFTER

    @property
    def lane(self) -> LaneId:
        return LaneId(self.job.model, self.job.node_id, self.is_suspect)


class _Prefix(Struct, frozen=True, array_like=True):
    """A waiting job of which only the prefix is looked at."""

    job: msgspec.Raw
    attempt: int
    resume: msgspec.Raw
    losses: int
    failures: int
    prefix: bytes


Prefer = Callable[[Sequence[Sequence[int]]], int]
"""Of which of these prompts, each the hashes of its prefix, the job is to be placed now: its position."""

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(Waiting).decode
_unpack_prefix = msgspec.msgpack.Decoder(_Prefix).decode


class _Near:
    """A job near the front: the hashes of its prefix, and how many jobs have gone before it that came later."""

    __slots__ = ("chain", "job_id", "jumped")

    def __init__(self, job_id: JobId, packed: bytes) -> None:
        self.job_id = job_id
        self.chain = hashes(_unpack_prefix(packed).prefix)
        self.jumped = 0


class _Account:
    """The jobs that an account has waiting in a lane: by their priority, then first come, first served."""

    __slots__ = ("_by_priority", "_near")

    def __init__(self) -> None:
        self._by_priority: dict[Priority, OrderedDict[JobId, bytes]] = {}
        self._near: dict[JobId, _Near] = {}

    def __bool__(self) -> bool:
        return bool(self._by_priority)

    def push(self, job: Job, packed: bytes) -> None:
        self._by_priority.setdefault(job.priority, OrderedDict())[job.id] = packed

    def get(self, job_id: JobId) -> bytes:
        return self._by_priority[self._priority(job_id)][job_id]

    def remove(self, job_id: JobId) -> bytes:
        priority = self._priority(job_id)
        jobs = self._by_priority[priority]
        packed = jobs.pop(job_id)
        self._near.pop(job_id, None)
        if not jobs:
            del self._by_priority[priority]
        return packed

    def first(self) -> JobId:
        return next(iter(self._first_jobs()))

    def preferred(self, prefer: Prefer) -> tuple[JobId, int]:
        """The job to place now, and how many it goes before: each of these has let one more pass."""
        window: list[_Near] = []
        for job_id, packed in islice(self._first_jobs().items(), MOST_JUMPED + 1):
            near = self._near.get(job_id)
            if near is None:
                near = self._near[job_id] = _Near(job_id, packed)
            window.append(near)
            if near.jumped == MOST_JUMPED:
                break
        position = prefer([near.chain for near in window]) if len(window) > 1 else 0
        for near in window[:position]:
            near.jumped += 1
        return window[position].job_id, position

    def _first_jobs(self) -> OrderedDict[JobId, bytes]:
        for priority in _PRIORITIES:
            if jobs := self._by_priority.get(priority):
                return jobs
        raise LookupError("no job waits")

    def _priority(self, job_id: JobId) -> Priority:
        for priority, jobs in self._by_priority.items():
            if job_id in jobs:
                return priority
        raise KeyError(job_id)

    def jobs(self) -> Iterator[tuple[JobId, bytes]]:
        for priority in _PRIORITIES:
            yield from self._by_priority.get(priority, {}).items()


class _Lane:
    """Jobs that ask for the same. Those that lost their engine go on first, then the accounts have their turns."""

    __slots__ = ("_accounts", "_first", "_shares", "_turns")

    def __init__(self, shares: Shares) -> None:
        self._first: OrderedDict[JobId, bytes] = OrderedDict()
        self._accounts: dict[AccountId, _Account] = {}
        self._shares = shares
        self._turns = Turns(shares)

    def __bool__(self) -> bool:
        return bool(self._first or self._accounts)

    def push(self, job: Job, packed: bytes, first: bool) -> None:
        if first:
            self._first[job.id] = packed
            self._first.move_to_end(job.id, last=False)
            return
        account = self._accounts.get(job.account_id)
        if account is None:
            account = self._accounts[job.account_id] = _Account()
            self._turns.join(job.account_id)
        account.push(job, packed)

    def get(self, account_id: AccountId, job_id: JobId) -> bytes:
        return self._first[job_id] if job_id in self._first else self._accounts[account_id].get(job_id)

    def remove(self, account_id: AccountId, job_id: JobId) -> bytes:
        if job_id in self._first:
            return self._first.pop(job_id)
        account = self._accounts[account_id]
        packed = account.remove(job_id)
        if not account:
            del self._accounts[account_id]
            self._turns.leave(account_id)
        return packed

    def pop(self, prefer: Prefer | None) -> tuple[bytes, int]:
        """Take out the job whose turn it is. Returns how many of its account's it goes before."""
        if self._first:
            return self._first.popitem(last=False)[1], 0
        account_id = self._turns.next()
        assert account_id is not None
        account = self._accounts[account_id]
        job_id, jumped = (account.first(), 0) if prefer is None else account.preferred(prefer)
        return self.remove(account_id, job_id), jumped

    def turn(self, account_id: AccountId, job_id: JobId) -> Turn:
        """Where a job stands here."""
        if job_id in self._first:
            before = list(self._first).index(job_id)
            return Turn(_unpack(self._first[job_id]).job.priority, resumes=True, resumed_before=before)
        account = self._accounts[account_id]
        shares = [self._shares.counter(each) for each in self._accounts]
        share = self._shares.counter(account_id)
        return Turn(
            priority=_unpack(account.get(job_id)).job.priority,
            resumed_before=len(self._first),
            accounts_before=sum(other < share for other in shares),
            own_before=[each for each, _ in account.jobs()].index(job_id),
            share=share,
            least_share=min(shares),
            weight=self._shares.weight(account_id),
        )

    def jobs(self) -> Iterator[tuple[JobId, bytes]]:
        """All of them: those that go on, then account by account."""
        yield from self._first.items()
        for account_id in self._turns.in_order():
            yield from self._accounts[account_id].jobs()


class JobQueue:
    """One lane per model and pinned node, and one for suspects: a job that waits for one engine holds up nobody.

    The jobs of a lane ask for the same: an engine that can take one can take each. Who is next among them is decided by
    what their accounts have had (`cluster/shares.py`). Whoever asks for a job knows its lane and its account
    (`cluster/leases/leases.py`). What is done to one job costs the same however many wait.
    """

    def __init__(self) -> None:
        self._lanes: dict[LaneId, _Lane] = {}
        self._per_model: dict[str, int] = {}
        self._shares: dict[str, Shares] = {}
        self._weights: dict[AccountId, int] = {}

    def __len__(self) -> int:
        return sum(self._per_model.values())

    def weigh(self, weights: Mapping[AccountId, int]) -> None:
        """These accounts have shares that are not 1."""
        self._weights.clear()
        self._weights.update(weights)

    def charge(self, model: str, account_id: AccountId, prompt_tokens: int = 0, output_tokens: int = 0) -> None:
        """Engines of this model have processed so much for this account."""
        shares = self._shares.get(model)
        if shares is not None and (self._per_model.get(model) or shares.recovering):
            shares.charge(account_id, prompt_tokens, output_tokens)

    def restore_shares(self, marks: Iterable[ShareMark], waited: Iterable[Job]) -> None:
        """Go on from these counters. These jobs waited when they were written, and come back until `recovered`."""
        accounts: dict[str, set[AccountId]] = defaultdict(set)
        for job in waited:
            accounts[job.model].add(job.account_id)
        for model, written in _by_model(marks).items():
            self._shares_of(model).restore(written, accounts[model])

    def recovered(self) -> None:
        """The jobs that waited before are back, or have gone on without waiting."""
        for model, shares in self._shares.items():
            shares.recovered()
            if not self._per_model.get(model):
                shares.begin_anew()

    def share_changes(self) -> list[ShareMark]:
        """The counters that are not as they were written down last."""
        return [
            ShareMark(model, account_id, counter)
            for model, shares in self._shares.items()
            for account_id, counter in shares.changes().items()
        ]

    def not_written(self, marks: Iterable[ShareMark]) -> None:
        """These changes may have been written down, or not."""
        for mark in marks:
            self._shares_of(mark.model).not_written([mark.account_id])

    def compare_shares(self, marks: Iterable[ShareMark]) -> None:
        """These counters are written down: what differs is written again."""
        written = _by_model(marks)
        for model in {*written, *self._shares}:
            self._shares_of(model).compare(written.get(model, {}))

    def waiting(self, lane_id: LaneId, account_id: AccountId, job_id: JobId) -> Waiting:
        """A job that waits in this lane."""
        return _unpack(self._lanes[lane_id].get(account_id, job_id))

    def turn(self, lane_id: LaneId, account_id: AccountId, job_id: JobId) -> Turn:
        """Whose turn it is before this job's, in this lane."""
        return self._lanes[lane_id].turn(account_id, job_id)

    def waiting_for(self, model: str) -> int:
        """How many jobs of this model wait."""
        return self._per_model.get(model, 0)

    def push(self, lane_id: LaneId, waiting: Waiting, first: bool = False) -> None:
        """Add a job that does not wait yet, as its account's last or, with `first`, before all that wait there."""
        lane = self._lanes.get(lane_id)
        if lane is None:
            lane = self._lanes[lane_id] = _Lane(self._shares_of(lane_id.model))
        lane.push(waiting.job, _pack(waiting), first)
        self._per_model[lane_id.model] = self._per_model.get(lane_id.model, 0) + 1

    def remove(self, lane_id: LaneId, account_id: AccountId, job_id: JobId) -> Waiting:
        """Take a job out of its lane, wherever it stands there."""
        lane = self._lanes[lane_id]
        packed = lane.remove(account_id, job_id)
        self._took(lane_id, lane, 1)
        return _unpack(packed)

    def pop(self, lane_id: LaneId) -> Waiting | None:
        """Take out the job of a lane whose turn it is."""
        return self.pop_preferred(lane_id, None)[0] if lane_id in self._lanes else None

    def pop_preferred(self, lane_id: LaneId, prefer: Prefer | None) -> tuple[Waiting, int]:
        """Take out a job of the account whose turn it is, in a lane where jobs wait: its next, or a preferred one.

        Returns how many of its account's it goes before.
        """
        lane = self._lanes[lane_id]
        packed, jumped = lane.pop(prefer)
        self._took(lane_id, lane, 1)
        return _unpack(packed), jumped

    def waits(self, lane_id: LaneId) -> bool:
        """Whether any job waits in this lane."""
        return lane_id in self._lanes

    def lanes(self) -> list[LaneId]:
        """The lanes in which jobs wait. Those of suspects come first: they have waited before, and can go to few."""
        return sorted(self._lanes, key=lambda lane_id: not lane_id.suspect)

    def lanes_of(self, model: str) -> list[LaneId]:
        """The lanes in which jobs of this model wait."""
        return [lane_id for lane_id in self._lanes if lane_id.model == model]

    def order(self, lane_id: LaneId) -> list[JobId]:
        """The jobs that wait in this lane: those that go on, then account by account, in their order."""
        return [job_id for job_id, _ in self._lanes[lane_id].jobs()] if lane_id in self._lanes else []

    def pinned_lanes(self) -> list[tuple[LaneId, NodeId]]:
        """The lanes of pinned jobs, and the nodes that they wait for."""
        return [(lane_id, lane_id.node_id) for lane_id in self._lanes if lane_id.node_id is not None]

    def clear(self, lane_id: LaneId) -> list[Waiting]:
        """Take out all jobs of a lane, in their order."""
        lane = self._lanes.get(lane_id)
        if lane is None:
            return []
        packed = [packed for _, packed in lane.jobs()]
        del self._lanes[lane_id]
        self._took(lane_id, None, len(packed))
        return [_unpack(each) for each in packed]

    def _shares_of(self, model: str) -> Shares:
        return self._shares.setdefault(model, Shares(self._weights))

    def _took(self, lane_id: LaneId, lane: _Lane | None, jobs: int) -> None:
        """So many jobs fewer wait in this lane."""
        if lane is not None and not lane:
            del self._lanes[lane_id]
        self._per_model[lane_id.model] -= jobs
        if not self._per_model[lane_id.model]:
            self._shares[lane_id.model].begin_anew()


def _by_model(marks: Iterable[ShareMark]) -> dict[str, dict[AccountId, float]]:
    counters: dict[str, dict[AccountId, float]] = defaultdict(dict)
    for mark in marks:
        counters[mark.model][mark.account_id] = mark.counter or 0.0
    return counters
