"""Why a job waits, or ran where it ran, in sentences. Pure: they are made of what the API tells.

Each fact has a function of its own, in the order in which they are told; a fact that the answer has not is left out.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import datetime

from api.cli.render import age
from api.cli.responses import Json

_MOST_NAMED = 4

_STAGES = {
    "being accepted": "It is being written down, and waits for an engine once that is done.",
    "moving": "It has lost its engine, and is about to go on at another.",
    "looked for": "The scheduler has been restarted: whether an engine has the job is not known yet.",
    "ending": "It is about to end.",
}
_RULED_OUT = {
    "offline": "on a machine that is offline",
    "draining": "on a machine that is being drained, or about to end",
    "not ready": "not ready yet",
    "cannot be reached": "out of reach",
    "no room": "full",
    "not the pinned node": "not on the node that the job is pinned to",
    "has a suspect": "busy with another job that engines died under",
}
_MOVED_BY = {
    "engine died": "its engine had died",
    "node went silent": "nothing had been heard of its node any more",
    "engine cannot be reached": "its engine could not be reached",
    "order was lost": "its engine did not know of it",
    "engine retired": "its engine was one too many or of settings before, or its node was drained",
    "engine failed it": "its engine had failed before the first token",
    "nobody had it": "after a restart of the scheduler no engine had it",
}


def sentences(job: Json, placement: Json, now: datetime) -> list[str]:
    """`job` and `placement` are what the API tells of the job, `now` is the server's time."""
    told = [_state(job, placement, now)]
    for tell in _FACTS:
        told += tell(placement)
    return told


def _state(job: Json, placement: Json, now: datetime) -> str:
    what = f"Job {job.get('id')} of model {job.get('model')}"
    since = age(job.get("created_at"), now)
    match job.get("status"):
        case "completed":
            return (
                f"{what} was completed at node {job.get('node_id')}, {job.get('latency_ms')} ms after it was submitted."
            )
        case "failed":
            return f"{what} failed: {job.get('error_message')} ({job.get('error')})."
        case "processing" if placement.get("stage") in (None, "with an engine"):
            return f"{what} is being worked on at node {job.get('node_id')}, {since} after it was submitted."
        case _:
            return f"{what} waits, {since} after it was submitted."


def _stage(placement: Json) -> Iterator[str]:
    if sentence := _STAGES.get(placement.get("stage", "")):
        yield sentence


def _turn(placement: Json) -> Iterator[str]:
    """Whose turn it is."""
    turn = placement.get("turn")
    if turn is None:
        return
    before = turn["resumed_jobs_before"]
    if turn["resumes"]:
        first = f"{_counted(before, 'other such job')} before it" if before else "it is the next of them"
        yield f"It has lost its engine, and goes on before jobs that have not begun: {first}."
        return
    if before:
        go_on = "job that lost its engine goes on" if before == 1 else "jobs that lost their engine go on"
        yield f"{before} {go_on} before it."
    yield _accounts(turn)
    yield _own_jobs(turn)


def _accounts(turn: Json) -> str:
    before = turn["accounts_before"]
    if not before:
        return "It is your account's turn: no other that waits has had less of this model."
    weight = "" if turn["weight"] == 1 else f", divided by your weight of {turn['weight']}"
    are = "account is" if before == 1 else "accounts are"
    return (
        f"{before} {are} before yours, which has had more of this model while others waited: "
        f"{turn['share']:,.0f} tokens{weight}, and the least of those that wait {turn['least_share']:,.0f}. "
        "A token of an answer counts twice."
    )


def _own_jobs(turn: Json) -> str:
    before, priority = turn["own_jobs_before"], turn["priority"]
    if not before:
        return f"It is the first of your own jobs; its priority is {priority}."
    come = "job of your own comes" if before == 1 else "jobs of your own come"
    return f"{before} {come} before it; its priority is {priority}."


def _limits(placement: Json) -> Iterator[str]:
    """What the job is kept to."""
    if node_id := placement.get("pinned_to"):
        yield f"It may run on node {node_id} only."
    if placement.get("suspect"):
        yield "Engines died under it: it is given to one that runs no other such job."


def _model(placement: Json) -> Iterator[str]:
    """How many replicas there are, and are to be."""
    if model := placement.get("model"):
        waiting = "1 job waits" if model["queued"] == 1 else f"{model['queued']} jobs wait"
        ready = _counted(model["replicas"], "replica")
        yield f"Model {model['id']} is {model['state']}: {ready} ready, {model['wanted']} wanted, {waiting}."
        yield f"Why so many are wanted: {model['scaling']}."
        if starting := model.get("starting"):
            yield f"How far its start is: {starting}."
        if message := model.get("state_message"):
            yield f"What it says: {message}"


def _engines(placement: Json) -> Iterator[str]:
    """What rules each engine out now."""
    candidates = placement.get("waiting")
    if candidates is None:
        return
    if not candidates:
        yield "There is no engine of this model yet."
        return
    by_reason: dict[str, list[str]] = defaultdict(list)
    for candidate in candidates:
        by_reason[candidate.get("ruled_out_by", "")].append(candidate["engine_id"])
    for reason, engines in by_reason.items():
        are = "is" if len(engines) == 1 else "are"
        state = _RULED_OUT.get(reason, reason) if reason else "free to take the next job"
        yield f"{_named(engines)} {are} {state}."


def _attempts(placement: Json) -> Iterator[str]:
    """Each time that it was given to an engine, and why it was that one."""
    for attempt in placement.get("attempts", []):
        moved = attempt.get("moved_by")
        because = f", because {_MOVED_BY.get(moved, moved)}" if moved else ""
        yield (
            f"Attempt {attempt['attempt']} went to engine {attempt['engine_id']} at node {attempt['node_id']}, "
            f"{attempt['placed_at']}{because}{_why_there(attempt)}."
        )


def _why_there(attempt: Json) -> str:
    free = [candidate for candidate in attempt["candidates"] if "ruled_out_by" not in candidate]
    chosen = next((c for c in free if c["engine_id"] == attempt["engine_id"]), None)
    if chosen is None:
        return ""  # nobody wrote down what was considered
    work = f"{chosen['score']:,} tokens of work before it"
    if len(free) == 1:
        return f": the only one that could take it, with {work}"
    return f": the one of {len(free)} that could take it with the least to do, {work}"


def _named(engines: list[str]) -> str:
    if len(engines) == 1:
        return f"Engine {engines[0]}"
    named, more = engines[:_MOST_NAMED], len(engines) - _MOST_NAMED
    return f"{len(engines)} engines ({', '.join(named)}{f' and {more} more' if more > 0 else ''})"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


_FACTS: tuple[Callable[[Json], Iterator[str]], ...] = (_stage, _turn, _limits, _model, _engines, _attempts)
