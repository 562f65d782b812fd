"""Which attempt may add to a job's output: the rules by example, and against a plain model of them."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from cluster.ids import EngineId
from cluster.messages.money import Usage
from cluster.messages.work import End, Failed, Finished
from cluster.text.attempts import Attempts, Ruling

E0, E1 = EngineId("sim/0"), EngineId("sim/1")
DONE = Finished(Usage(3, 2), "stop")
LATE = Failed(Usage(3, 2), "timeout", "Too late")

TAKEN = (Ruling.BEGIN, Ruling.TAKE)
attempts = st.integers(1, 6)
engines = st.sampled_from([E0, E1, EngineId("sim/2")])


class AnyOrder(RuleBasedStateMachine):
    """Whatever is heard, shut out and ended, in any order. The model is the list of what was taken."""

    def __init__(self) -> None:
        super().__init__()
        self.subject = Attempts()
        self.taken: list[tuple[int, EngineId]] = []
        self.shut_out = 0
        self.given = 0
        self.end: End | None = None
        self.durable = False
        self.highest = 0

    @rule(attempt=attempts, engine_id=engines, end=st.sampled_from([None, DONE]))
    def hear(self, attempt: int, engine_id: EngineId, end: End | None) -> None:
        ruling = self.subject.heard(attempt, engine_id)
        assert ruling is self.expected(attempt, engine_id)
        if ruling not in TAKEN:
            return
        assert self.end is None, "nothing is taken after an end"
        assert attempt > self.shut_out, "an attempt that was shut out is not taken"
        self.taken.append((attempt, engine_id))
        if end is not None:
            assert self.subject.finish(end)
            self.end = end

    def expected(self, attempt: int, engine_id: EngineId) -> Ruling:
        if self.end is not None:
            return Ruling.STALE if self.durable else Ruling.IGNORE
        if attempt <= self.shut_out or any(attempt < other for other, _ in self.taken):
            return Ruling.STALE
        speakers = {engine for other, engine in self.taken if other == attempt}
        if not speakers:
            return Ruling.BEGIN
        return Ruling.TAKE if speakers == {engine_id} else Ruling.STALE

    @rule(attempt=st.integers(0, 6))
    def fence(self, attempt: int) -> None:
        number = self.subject.fence(attempt)
        if self.end is not None and not self.durable:
            assert number is None
            return
        assert number is not None
        if attempt == 0 and not self.taken and not self.given and self.end is None:
            assert number == 1
            return
        tried = max([attempt, self.given, *(other for other, _ in self.taken)])
        assert number == tried + 1
        self.given, self.shut_out = number, number - 1

    @rule(attempt=attempts)
    def overtake(self, attempt: int) -> None:
        self.subject.overtake(attempt)
        self.shut_out = max(self.shut_out, attempt - 1)
        self.given = max(self.given, attempt)

    @rule()
    def fail_from_outside(self) -> None:
        assert self.subject.finish(LATE) is (self.end is None)
        self.end = self.end or LATE

    @precondition(lambda self: self.end is not None)
    @rule()
    def end_durably(self) -> None:
        self.subject.settle()
        self.durable = True

    @invariant()
    def what_holds_at_any_moment(self) -> None:
        job, numbers = self.subject, [attempt for attempt, _ in self.taken]
        assert job.current >= self.highest, "attempts only grow"
        self.highest = job.current
        assert numbers == sorted(numbers)
        assert len(set(numbers)) == len(set(self.taken)), "an attempt is heard from one engine"
        assert (job.ending, job.ended) == (self.end, self.durable), "the first end stays"
        assert job.silent == (not self.taken and self.end is None)
        assert job.empty == (job.silent and job.current == 0)


AnyOrder.TestCase.settings = settings(max_examples=200, stateful_step_count=50, deadline=None)
TestAnyOrder = AnyOrder.TestCase


def test_the_first_news_of_an_attempt_begin_it() -> None:
    job = Attempts()
    assert [job.heard(1, E0), job.heard(1, E0), job.heard(2, E1)] == [
        Ruling.BEGIN,
        Ruling.TAKE,
        Ruling.BEGIN,
    ]
    assert job.current == 2


def test_an_attempt_that_was_shut_out_is_stale_and_the_next_is_taken() -> None:
    job = Attempts()
    job.heard(1, E0)
    assert job.fence(1) == 2
    assert job.heard(1, E0) is Ruling.STALE
    assert job.heard(2, E1) is Ruling.BEGIN


def test_a_job_of_which_nothing_is_known_has_no_attempt_to_shut_out() -> None:
    job = Attempts()
    assert (job.fence(0), job.fence(0), job.empty) == (1, 1, True)
    assert (job.fence(3), job.fence(3), job.empty) == (4, 5, False)


def test_a_job_that_is_ending_is_not_fenced_until_its_end_is_durable() -> None:
    job = Attempts()
    job.heard(1, E0)
    job.finish(DONE)
    assert job.fence(1) is None
    assert [job.heard(attempt, engine) for attempt, engine in ((1, E0), (1, E1), (2, E1))] == [Ruling.IGNORE] * 3
    job.settle()
    assert job.heard(1, E0) is Ruling.STALE
    assert job.fence(1) == 2
