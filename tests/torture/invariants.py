"""What holds when all is over, whatever went wrong. Each rule tells what breaks it."""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import suppress
from random import Random
from typing import NamedTuple

import msgspec

from actors.backends.prompts.by_length import prompt_tokens
from actors.backends.simulated import simulated_text
from actors.wire.calls import Unreachable
from cluster.errors import EngineFailed, JobCancelled, JobTimeout
from cluster.measures.measures import Measures
from cluster.measures.tallies import SETTLED
from cluster.messages.work import Failed
from cluster.store.inspection import inspect
from tests.support.faults import PROCESS_FAULTS, Fault
from tests.torture.clients import Client
from tests.torture.plan import SYSTEM
from tests.torture.world import BUDGET_TOKENS, GATEWAYS, SUBMISSIONS_PER_MINUTE, World


class Violation(NamedTuple):
    """A rule that does not hold, and how that shows."""

    rule: str
    detail: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.detail}"


class Row(NamedTuple):
    """A job as the database has it."""

    id: str
    key_id: str
    state: str
    content: str
    prompt_tokens: int | None
    completion_tokens: int | None
    error: str | None
    attempt: int
    epoch: int


class Evidence:
    """What a round left in the database and with its clients."""

    def __init__(self, world: World, clients: Sequence[Client]) -> None:
        self.world = world
        self.clients = clients
        self.rows = {row.id: row for row in _jobs(world)}
        self.of_job = {job_id: client for client in clients for job_id in client.answers}

    @property
    def read(self) -> Iterator[tuple[Client, Row]]:
        """Clients whose job was accepted, and the job."""
        for client in self.clients:
            if client.job_id is not None and client.job_id in self.rows:
                yield client, self.rows[client.job_id]


Rule = Callable[[Evidence], Iterator[str]]


def every_job_ends(evidence: Evidence) -> Iterator[str]:
    """What was accepted is there, and all that is there has ended."""
    for client in evidence.clients:
        for job_id in client.answers:
            if job_id not in evidence.rows:
                yield f"{job_id} was accepted, and is not in the database"
    for row in evidence.rows.values():
        if row.state not in ("completed", "failed"):
            yield f"{row.id} is {row.state}"


def submitted_once(evidence: Evidence) -> Iterator[str]:
    """However often a client repeats itself, it has one job."""
    for client in evidence.clients:
        if len(client.answers) > 1:
            yield f"{client.messages[0].content} became {sorted(client.answers)}"


def readers_have_the_result(evidence: Evidence) -> Iterator[str]:
    """Whatever a reader was told is the text that is kept, and so is the end."""
    for client, row in evidence.read:
        for reading in client.readings:
            yield from (f"{row.id}: {fault}" for fault in reading.faults)
            if reading.is_lost:
                is_kept = row.epoch == reading.epoch and row.content[reading.after :].startswith(reading.text)
                if is_kept or not evidence.world.plan.faults:
                    yield f"{row.id}: a reader was told that its text was lost, and it is what is kept"
                continue
            if reading.text != row.content[reading.after :]:
                yield f"{row.id}: {_difference(reading.text, row.content[reading.after :])}"
            error = reading.end.error if isinstance(reading.end, Failed) else None
            if error != row.error:
                yield f"{row.id}: a reader was told that it ended with {error}, kept is {row.error}"


def the_text_is_whole(evidence: Evidence) -> Iterator[str]:
    """The kept text is what an undisturbed run gives, as far as it goes, and is billed to the token."""
    for client, row in evidence.read:
        if row.completion_tokens is None:
            continue
        tokens, seed = row.completion_tokens, client.story.seed
        drawn = [simulated_text(client.messages, seed, tokens, attempt) for attempt in range(1, row.attempt + 2)]
        if row.content not in drawn:
            yield f"{row.id}: billed {tokens} tokens; {_difference(row.content, drawn[0])}"
        if row.state == "completed" and row.completion_tokens != client.story.max_tokens:
            yield f"{row.id}: completed with {row.completion_tokens} of {client.story.max_tokens} tokens"
        if row.completion_tokens and row.prompt_tokens != prompt_tokens(client.messages):
            yield f"{row.id}: billed {row.prompt_tokens} tokens for its prompt"


def billed_once(evidence: Evidence) -> Iterator[str]:
    """One row of usage for each job, with the job's numbers."""
    billed = evidence.world.rows("SELECT job_id, prompt_tokens, completion_tokens FROM usage")
    if len({job_id for job_id, *_ in billed}) != len(billed):
        yield "a job has two rows of usage"
    by_job = {job_id: tuple(tokens) for job_id, *tokens in billed}
    for row in evidence.rows.values():
        if by_job.get(row.id) != (row.prompt_tokens, row.completion_tokens):
            yield f"{row.id}: billed {by_job.get(row.id)}, kept {(row.prompt_tokens, row.completion_tokens)}"


def measured_once(evidence: Evidence) -> Iterator[str]:
    """Each ended job is in the sums of all time and in those of its minute, with its tokens, and once."""
    ended = len(evidence.rows), sum(row.completion_tokens or 0 for row in evidence.rows.values())
    for table in ("measures", "measure_minutes"):
        found = [
            msgspec.json.decode(sums, type=Measures) for (sums,) in evidence.world.rows(f"SELECT sums FROM {table}")
        ]
        jobs = sum(each.completed + sum(each.failures.values()) for each in found)
        counted = jobs, sum(each.completion_tokens for each in found)
        if counted != ended:
            yield f"{table} count {counted} jobs and tokens, of {ended}"
    spent = sum(spent for (spent,) in evidence.world.rows("SELECT spent FROM budgets"))
    settled = sum(value for (value,) in evidence.world.rows(f"SELECT value FROM tallies WHERE name = '{SETTLED}'"))
    if spent != settled:
        yield f"budgets have spent {spent}, and {settled} are counted"


def the_database_is_whole(evidence: Evidence) -> Iterator[str]:
    """Its file, and that ended jobs, usage, sums of days, reservations and budgets agree."""
    yield from inspect(evidence.world.settings.database).faults


def failures_have_a_reason(evidence: Evidence) -> Iterator[str]:
    """A job fails as its client or the plan wanted it to, and not otherwise."""
    for client, row in evidence.read:
        reasons = set()
        if client.asked_to_cancel:
            reasons.add(JobCancelled.code)
        if client.story.time_limit_s is not None:
            reasons.add(JobTimeout.code)
        if any("fail_at_token" in switches for switches in evidence.world.plan.failing.values()):
            reasons.add(EngineFailed.code)
        if row.error is not None and row.error not in reasons:
            yield f"{row.id} failed with {row.error} in attempt {row.attempt}"


def engines_are_kept(evidence: Evidence) -> Iterator[str]:
    """No call that fails, and no loss of another process, costs a loaded engine."""
    plan = evidence.world.plan
    if plan.elastic or plan.failing or any(map(_may_cost_an_engine, plan.faults)):
        return
    if len(evidence.world.engines) > plan.replicas:
        yield f"{len(evidence.world.engines)} engines were started, of {plan.replicas}"


def budgets_are_settled(evidence: Evidence) -> Iterator[str]:
    """Nothing is reserved, no more is spent than there is, and what is spent is what was used."""
    for (reserved,) in evidence.world.rows("SELECT count(*) FROM reservations"):
        if reserved:
            yield f"{reserved} reservations are left"
    for owner, spent, reserved in evidence.world.rows("SELECT owner_id, spent, reserved FROM budgets"):
        used = sum(
            (row.prompt_tokens or 0) + (row.completion_tokens or 0)
            for row in evidence.rows.values()
            if row.key_id == owner
        )
        if reserved or spent != used or spent > BUDGET_TOKENS:
            yield f"{owner} has spent {spent} of {BUDGET_TOKENS}, used {used}, and {reserved} are reserved"


def limits_are_kept(evidence: Evidence) -> Iterator[str]:
    """No more is let in than two keys may submit in a minute."""
    for minute, admitted in evidence.world.admitted.items():
        if admitted > 2 * SUBMISSIONS_PER_MINUTE:
            yield f"{admitted} submissions were let in before {minute}"


def ends_are_told_under_one_id(evidence: Evidence) -> Iterator[str]:
    """However often an end is told, its id and what it says are the same; of a job that runs nothing is told."""
    receiver = evidence.world.receiver
    for job_id, events in receiver.events.items():
        row = evidence.rows.get(job_id)
        state = "none" if row is None else row.state
        if events != {f"job.{state}"} or len(receiver.taken[job_id]) > 1:
            yield f"{job_id} is {state}, and was told as {sorted(events)} under {sorted(receiver.taken[job_id])}"
    for delivery, status in evidence.world.rows("SELECT id, status FROM deliveries WHERE status = 'failed'"):
        yield f"{delivery} is {status}"


RULES: tuple[Rule, ...] = (
    every_job_ends,
    submitted_once,
    readers_have_the_result,
    the_text_is_whole,
    billed_once,
    measured_once,
    failures_have_a_reason,
    engines_are_kept,
    budgets_are_settled,
    the_database_is_whole,
    ends_are_told_under_one_id,
    limits_are_kept,
)


async def still_held(world: World) -> AsyncIterator[str]:
    """What actors keep although nobody needs it: nothing, when all is over and has been forgotten."""
    leases = world.scheduler.leases
    if len(leases.places) or len(leases.places.queue) or not leases.idle:
        yield f"the Scheduler: {[f'{job_id}: {place}' for job_id, place in leases.places][:3]}"
    for replica in world.scheduler.fleet.replicas:
        if replica.tokens_of or replica.assigned_tokens:
            yield f"the Scheduler, of {replica.id}: {list(replica.tokens_of)}"
    jobs, _ = await world.journal.held()
    if jobs:
        yield f"the Journal: {sorted(jobs)}"
    for engine_id in world.known_engines():
        with suppress(Unreachable):  # it has just died
            if running := (await world.engine(engine_id).describe()).running:
                yield f"{engine_id}: {running}"
    for (count,) in world.rows("SELECT count(*) FROM jobs WHERE ended_ms IS NULL"):
        if count:
            yield f"the Ledger: {count} jobs that have not ended"
    for model, account_id in world.rows("SELECT model, account_id FROM shares"):
        yield f"the Ledger: what {account_id} had of {model}, though nobody waits"


async def untold_ends(world: World) -> AsyncIterator[str]:
    """Jobs that have ended, and of which their account's endpoint has not been told."""
    for job_id, state in world.rows("SELECT id, state FROM jobs WHERE ended_ms IS NOT NULL"):
        if not world.receiver.taken[job_id]:
            yield f"{job_id}, which has {state}"


async def readers_that_are_gone(world: World) -> AsyncIterator[str]:
    """Streams that the Journal keeps for replicas which are not there any more."""
    _, readers = await world.journal.held()
    if len(readers) > GATEWAYS + 1:
        yield f"the Journal has {len(readers)} readers, of {GATEWAYS + 1} replicas"


async def late_readers(evidence: Evidence, chance: Random) -> AsyncIterator[str]:
    """Whoever reads when all is over is told the rest of the result, from wherever."""
    for client, row in evidence.read:
        reading = await client.read_late(chance.randint(0, len(row.content)), row.epoch)
        if reading.text != row.content[reading.after :]:
            yield f"{row.id} from {reading.after}: {_difference(reading.text, row.content[reading.after :])}"


def _may_cost_an_engine(fault: Fault) -> bool:
    """Whether an engine, or the node that looks after it, may seem to be gone, or is not to have one."""
    if fault.kind in PROCESS_FAULTS:
        return fault.target.partition("/")[0] in ("engine", "node", "scheduler", SYSTEM)
    return fault.kind in ("cut", "drain") or (fault.target.startswith("node>") and fault.for_s > 1.0)


def _jobs(world: World) -> Iterator[Row]:
    query = "SELECT id, key_id, state, content, prompt_tokens, completion_tokens, error, attempt, epoch FROM jobs"
    for job_id, key_id, state, content, *rest in world.rows(query):
        yield Row(job_id, key_id, state, (content or b"").decode(), *rest)


def _difference(told: str, kept: str) -> str:
    """Where two texts part."""
    at = next((n for n, (a, b) in enumerate(zip(told, kept, strict=False)) if a != b), min(len(told), len(kept)))
    return (
        f"{len(told)} characters instead of {len(kept)}; from {at} on {told[at : at + 20]!r} for {kept[at : at + 20]!r}"
    )
