"""What is to be done about jobs: `cluster/leases/leases.py` decides it, the Scheduler carries it out."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import TypeVar

from msgspec import Struct

from cluster.errors import InfernetError
from cluster.ids import EngineId, JobId
from cluster.messages.people import ShareMark
from cluster.messages.placements import Placed
from cluster.messages.work import Dispatch, Failure, JobAttempt


class Order(Struct, frozen=True):
    """Have this engine generate these."""

    engine_id: EngineId
    dispatches: list[Dispatch]


class Confirm(Struct, frozen=True):
    """Tell this engine that these are durable, once it has its order."""

    engine_id: EngineId
    attempts: list[JobAttempt]


class Abort(Struct, frozen=True):
    """Have this engine stop these, and keep what they have: the ends of their jobs are not durable yet."""

    engine_id: EngineId
    attempts: list[JobAttempt]


class Forget(Struct, frozen=True):
    """Have this engine stop these, and forget them: nobody will ask for what they have."""

    engine_id: EngineId
    attempts: list[JobAttempt]


class Ask(Struct, frozen=True):
    """Ask this engine whether it can be reached again."""

    engine_id: EngineId


class Attach(Struct, frozen=True):
    """Have the Journal read these engines."""

    engine_ids: list[EngineId]


class Fence(Struct, frozen=True):
    """Have the Journal shut out these attempts, and tell what the jobs have."""

    attempts: list[JobAttempt]


class Fail(Struct, frozen=True):
    """Have the Journal end these jobs with an error, and tell when that is durable or has failed."""

    failures: list[Failure]


class Record(Struct, frozen=True):
    """Have the Ledger write down where these jobs were placed."""

    placed: list[Placed]


class Mark(Struct, frozen=True):
    """Have the Ledger write down what accounts have had, and tell when that is durable or has failed."""

    marks: list[ShareMark]


Action = Order | Confirm | Abort | Forget | Ask | Attach | Fence | Fail | Record | Mark


class Beginning(Struct, frozen=True):
    """What was begun for jobs that were submitted together: where some of them were placed, and the orders.

    `refused` may not wait.
    """

    placed: list[Placed]
    orders: list[Order]
    refused: dict[JobId, InfernetError] = {}


T = TypeVar("T")


def per_engine(pairs: Iterable[tuple[EngineId, T]]) -> Iterator[tuple[EngineId, list[T]]]:
    """What concerns each engine, in its order: an action, and a call, for many jobs."""
    gathered: dict[EngineId, list[T]] = defaultdict(list)
    for engine_id, each in pairs:
        gathered[engine_id].append(each)
    yield from gathered.items()
