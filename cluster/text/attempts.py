"""Which attempt at a job may add to its output. Decided from what is heard, without a clock."""

from enum import Enum

from cluster.ids import EngineId
from cluster.messages.work import End


class Ruling(Enum):
    """What to do with news of a job."""

    BEGIN = "take it: it is the first of its attempt"
    TAKE = "take it"
    IGNORE = "ignore it: the job is ending. Its engine keeps what it has until that is durable"
    STALE = "drop it: its engine may forget the attempt"


class Attempts:
    """The attempts at one job: the current one, the engine that runs it, and the end.

    An attempt is heard from one engine only. A job that has an end takes nothing more. `ended` becomes true once that
    end is durable.
    """

    __slots__ = ("_begun", "_engine_id", "current", "ended", "ending")

    def __init__(self) -> None:
        # The highest attempt that was heard of or shut out; 0 when there is none.
        self.current = 0
        self.ending: End | None = None
        self.ended = False
        self._begun = 0
        self._engine_id: EngineId | None = None

    @property
    def silent(self) -> bool:
        """Nothing was heard of the job: neither output nor an end."""
        return self._engine_id is None and self.ending is None

    @property
    def empty(self) -> bool:
        """Nothing is known of the job: no attempt was heard of or shut out."""
        return self.silent and self.current == 0

    def heard(self, attempt: int, engine_id: EngineId) -> Ruling:
        """Rule on news of `attempt` from this engine.

        An end that is taken is not the job's end before `finish`: the text before it may be missing.
        """
        if self.ending is not None:
            # Until then the engines' logs are what the job goes on from, should this process die.
            return Ruling.STALE if self.ended else Ruling.IGNORE
        is_begun = attempt == self._begun and self._engine_id is not None
        # Two engines can have begun the same attempt, when the Scheduler died before it told anybody of the first.
        if attempt < self.current or (is_begun and self._engine_id != engine_id):
            return Ruling.STALE
        if is_begun:
            return Ruling.TAKE
        self.current = self._begun = attempt
        self._engine_id = engine_id
        return Ruling.BEGIN

    def fence(self, attempt: int) -> int | None:
        """Shut out `attempt` and all before it, and return the number of the next one.

        None when the job's end is not durable yet: nothing is shut out. Attempt 0 of an empty job shuts out nothing,
        and the next attempt is 1.
        """
        if self.ending is not None and not self.ended:
            return None
        if attempt == 0 and self.empty:
            return 1
        self.current = max(self.current, attempt) + 1
        return self.current

    def overtake(self, attempt: int) -> None:
        """`attempt` has been made somewhere: those before it are shut out."""
        self.current = max(self.current, attempt)

    def finish(self, end: End) -> bool:
        """Note how the job ends. False when it has an end already: the first one stays."""
        if self.ending is not None:
            return False
        self.ending = end
        return True

    def settle(self) -> None:
        """The end is durable."""
        self.ended = True
