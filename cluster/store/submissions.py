"""How submissions become jobs: all that belongs to a job's beginning, in one transaction."""

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import Connection

from cluster.errors import BudgetExceeded, InfernetError
from cluster.ids import AccountId, JobId
from cluster.limits import budgets
from cluster.limits.budgets import THRESHOLDS, Balance
from cluster.limits.pricing import most_usage
from cluster.messages.placements import Placed
from cluster.messages.work import Accepted, Job, Submission
from cluster.store import budgets as budget_rows
from cluster.store import deliveries, idempotency, jobs
from cluster.store.budgets import Reservation
from cluster.store.idempotency import Earlier, Name
from cluster.webhooks.events import budget_reached


def accept(
    connection: Connection,
    submissions: Sequence[Submission],
    begun: Sequence[Placed],
    now_ms: int,
    listening: Collection[AccountId] = (),
) -> list[Accepted | InfernetError]:
    """The job that each submission became, now or before, or what refuses it; a refused one leaves no job.

    They are taken in order, and each sees what the ones before it left. Those that have `begun` are recorded as placed.
    The accounts that are `listening` are told where a budget was used up.
    """
    answers = _accept(connection, submissions, now_ms, listening)
    jobs.place(connection, begun)
    return answers


def _accept(
    connection: Connection, submissions: Sequence[Submission], now_ms: int, listening: Collection[AccountId]
) -> list[Accepted | InfernetError]:
    new = [submission.job for submission in submissions]
    owners = {owner for job in new for owner in (job.key_id, job.account_id)}
    balances = budget_rows.lock(connection, owners, now_ms)
    names = {name for submission in submissions if (name := _name(submission))}
    if not balances and not names:
        # Most systems, most of the time: nothing to look up for any single job.
        jobs.create(connection, new)
        return [_accepted(job) for job in new]
    known = jobs.known(connection, [job.id for job in new])
    beginnings = _Beginnings(known, idempotency.earlier(connection, names, now_ms), balances)
    answers = [beginnings.take(submission) for submission in submissions]
    beginnings.write(connection, now_ms, listening)
    return answers


def over_budget(connection: Connection, submissions: Sequence[Submission], now_ms: int) -> dict[JobId, BudgetExceeded]:
    """Those of these jobs that their budgets have no room for, each looked at alone. Nothing is written."""
    owners = {owner for submission in submissions for owner in (submission.job.key_id, submission.job.account_id)}
    balances = budget_rows.balances(connection, owners, now_ms)
    refused: dict[JobId, BudgetExceeded] = {}
    for submission in submissions:
        try:
            _reservations(submission.job, balances)
        except BudgetExceeded as refusal:
            refused[submission.job.id] = refusal
    return refused


class _Beginnings:
    """What the database says of some submissions, and what is to be written of them."""

    def __init__(self, known: set[JobId], earlier: dict[Name, Earlier], balances: dict[str, Balance]) -> None:
        self._known = known
        self._earlier = earlier
        self._balances = balances
        self._new: list[Submission] = []
        self._reservations: list[Reservation] = []
        # The accounts whose budgets, or those of whose keys, were used up, by the owners of these.
        self._used_up: dict[str, AccountId] = {}

    def take(self, submission: Submission) -> Accepted | InfernetError:
        try:
            return self._take(submission)
        except InfernetError as refusal:
            return refusal

    def write(self, connection: Connection, now_ms: int, listening: Collection[AccountId]) -> None:
        jobs.create(connection, [submission.job for submission in self._new])
        idempotency.add(connection, self._new, now_ms)
        budget_rows.reserve(connection, self._reservations, self._balances)
        self._tell_used_up(connection, now_ms, listening)

    def _tell_used_up(self, connection: Connection, now_ms: int, listening: Collection[AccountId]) -> None:
        if not self._used_up:
            return
        budget_rows.save(connection, {owner_id: self._balances[owner_id] for owner_id in self._used_up})
        reached = [
            event
            for owner_id, account_id in self._used_up.items()
            if account_id in listening
            for event in budget_reached(owner_id, account_id, self._balances[owner_id], THRESHOLDS[-1:], now_ms)
        ]
        deliveries.add(connection, reached, {})

    def _take(self, submission: Submission) -> Accepted:
        job, name = submission.job, _name(submission)
        if job.id in self._known:
            return _accepted(job)
        if submission.idempotency is not None and name in self._earlier:
            return self._earlier[name].same(submission.idempotency)
        self._reserve(job)
        self._known.add(job.id)
        self._new.append(submission)
        if submission.idempotency is not None and name is not None:
            self._earlier[name] = Earlier(submission.idempotency.body_hash, _accepted(job))
        return _accepted(job)

    def _reserve(self, job: Job) -> None:
        try:
            made = _reservations(job, self._balances)
        except BudgetExceeded:
            self._note_refusal(job)
            raise
        for held in made:
            self._balances[held.owner_id] = self._balances[held.owner_id].reserve(held.amount)
        self._reservations += made

    def _note_refusal(self, job: Job) -> None:
        most = most_usage(job)
        for owner_id in (job.key_id, job.account_id):
            balance = self._balances.get(owner_id)
            if balance is None or budgets.amount(balance.budget, job.rates, most) <= balance.left:
                continue
            self._balances[owner_id] = refusing = balance.refusing()
            if refusing.told != balance.told:
                self._used_up[owner_id] = job.account_id


def _reservations(job: Job, balances: Mapping[str, Balance]) -> list[Reservation]:
    """Room in all of the job's budgets, or in none. Raises BudgetExceeded."""
    most = most_usage(job)
    made = []
    for whose, owner_id in (("key", job.key_id), ("account", job.account_id)):
        if balance := balances.get(owner_id):
            needed = budgets.amount(balance.budget, job.rates, most)
            if needed > balance.left:
                raise BudgetExceeded(budgets.refusal(whose, balance, needed))
            made.append(Reservation(job.id, owner_id, needed))
    return made


def _accepted(job: Job) -> Accepted:
    return Accepted(job.id, job.asked_for, job.created_ms)


def _name(submission: Submission) -> Name | None:
    asked = submission.idempotency
    return None if asked is None else (submission.job.account_id, asked.key)
