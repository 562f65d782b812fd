"""How submissions become jobs: all that belongs to a job's beginning, in one transaction."""

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection

from cluster.errors import BudgetExceeded, InfernetError
from cluster.ids import JobId
from cluster.limits import budgets
from cluster.limits.budgets import Balance
from cluster.limits.pricing import most_usage
from cluster.messages.placements import Placed
from cluster.messages.work import Accepted, Job, Submission
from cluster.store import budgets as budget_rows
from cluster.store import idempotency, jobs
from cluster.store.budgets import Reservation
from cluster.store.idempotency import Earlier, Name


def accept(
    connection: Connection, submissions: Sequence[Submission], begun: Sequence[Placed], now_ms: int
) -> list[Accepted | InfernetError]:
    """The job that each submission became, now or before, or what refuses it; a refused one leaves nothing.

    They are taken in order, and each sees what the ones before it left. Those that have `begun` are recorded as placed.
    """
    answers = _accept(connection, submissions, now_ms)
    jobs.place(connection, begun)
    return answers


def _accept(connection: Connection, submissions: Sequence[Submission], now_ms: int) -> list[Accepted | InfernetError]:
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
    beginnings.write(connection, now_ms)
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

    def take(self, submission: Submission) -> Accepted | InfernetError:
        try:
            return self._take(submission)
        except InfernetError as refusal:
            return refusal

    def write(self, connection: Connection, now_ms: int) -> None:
        jobs.create(connection, [submission.job for submission in self._new])
        idempotency.add(connection, self._new, now_ms)
        budget_rows.reserve(connection, self._reservations, self._balances)

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
        made = _reservations(job, self._balances)
        for held in made:
            self._balances[held.owner_id] = self._balances[held.owner_id].reserve(held.amount)
        self._reservations += made


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
