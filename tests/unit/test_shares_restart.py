"""A Scheduler that begins in the place of another goes by what accounts had had before, but for the last moment."""

from cluster.catalogue import Catalogue, Model
from cluster.fleet.fleet import Fleet
from cluster.ids import AccountId, EngineId, JobId, NodeId
from cluster.job_states import JobState
from cluster.leases.actions import Fence, Mark
from cluster.leases.leases import Leases
from cluster.messages.machines import EngineReport, Hardware, NodeReport
from cluster.messages.people import ShareMark
from cluster.messages.work import UNTOLD, Fenced, Job, OpenJob, Released, Submission
from cluster.queue import LaneId
from cluster.shares import Shares
from cluster.timing import Timing
from tests.support.jobs import a_job

N0, E0 = NodeId("node_0"), EngineId("m/0")
M = Model(id="m", source="s", gpus=0, cpus=1.0)
A, B, C = AccountId("a"), AccountId("b"), AccountId("c")


class Stage:
    """One engine of two slots, and what the Ledger would have. A job is named by its account and a number."""

    def __init__(self) -> None:
        self.written: dict[AccountId, float] = {}
        self.jobs: dict[str, Job] = {}
        self._now_s = 0.0
        self.restart()
        self.tell()
        self.tick()

    def restart(self) -> None:
        open_jobs = [OpenJob(job, self._state(name), int(self._has_run(name))) for name, job in self.jobs.items()]
        self.fleet = Fleet(Catalogue((M,)), [E0], self._now_s)
        marks = [ShareMark("m", *counter) for counter in self.written.items()]
        self.leases = Leases(self.fleet, Timing(), open_jobs, marks)

    def tell(self, **tokens: int) -> None:
        """The engine reports how many tokens it has made of these jobs."""
        self.tokens = tokens
        running = tuple((JobId(name), 1) for name in tokens)
        report = EngineReport(E0, "m", N0, "ready", slots=2, running=running, tokens=tuple(tokens.values()))
        self.leases.reported(NodeReport(N0, Hardware("host", 8.0, 1 << 30), (report,)), self._now_s, 0)

    def tick(self, writes: bool = True) -> list[ShareMark]:
        """What is written down at the next tick. The Journal knows of no attempt but those that run."""
        self._now_s += 0.5
        marks: list[ShareMark] = []
        for action in self.leases.tick(self._now_s, 0):
            match action:
                case Mark(marks) if writes:
                    self.written |= {mark.account_id: mark.counter for mark in marks if mark.counter is not None}
                    for mark in marks:
                        if mark.counter is None:
                            del self.written[mark.account_id]
                    self.leases.marked()
                case Mark(marks):
                    self.leases.not_marked(marks)
                case Fence(attempts):
                    self.leases.fenced(attempts, [Fenced(job_id, 1, UNTOLD, False) for job_id, _ in attempts], 0)
        return marks

    def submit(self, *names: str) -> None:
        jobs = [a_job(name, account_id=AccountId(name[0]), prompt_tokens=0) for name in names]
        self.jobs |= dict(zip(names, jobs, strict=True))
        submissions = [Submission(job) for job in jobs]
        self.leases.submitted(submissions, 0)
        self.leases.confirmed(jobs)
        self.leases.answered(submissions)

    def end(self, name: str) -> set[str]:
        """This job ends. Returns what has come in its place."""
        before = self.running
        del self.jobs[name]
        self.leases.released([Released(JobId(name), 1, tokens=self.tokens[name])], self._now_s, 0)
        return self.running - before

    @property
    def running(self) -> set[str]:
        replica = self.fleet.replica(E0)
        return set(replica.tokens_of) if replica else set()

    def _has_run(self, name: str) -> bool:
        return name in self.tokens

    def _state(self, name: str) -> JobState:
        return JobState.PROCESSING if self._has_run(name) else JobState.PENDING


def waiting() -> Stage:
    """Accounts of which one has had much more than the other, both with jobs waiting. It is written down."""
    stage = Stage()
    stage.submit("a1", "b1", "a2", "a3", "b2", "b3")
    stage.tell(a1=500, b1=20)
    stage.tick()
    assert stage.written == {A: 1000.0, B: 40.0}
    return stage


def test_what_accounts_had_had_is_known_after_a_restart() -> None:
    stage = waiting()
    stage.restart()
    stage.tell(a1=500, b1=20)
    stage.tick()
    assert stage.running == {"a1", "b1"}
    assert stage.end("a1") == {"b2"}
    assert stage.end("b1") == {"b3"}
    stage.tick()
    assert stage.written == {A: 1000.0, B: 40.0}


def test_only_what_was_made_since_it_was_written_down_last_is_not_charged() -> None:
    stage = waiting()
    stage.tell(a1=510, b1=25)  # and the Scheduler dies before it is written down
    stage.restart()
    stage.tell(a1=530, b1=30)  # nor is what was made until the next one heard of it
    stage.tick()
    stage.tell(a1=531, b1=40)
    stage.tick()
    assert stage.written == {A: 1002.0, B: 60.0}


def test_jobs_that_waited_come_back_to_their_turns_and_in_their_order() -> None:
    """They were in the queue, and no engine had them: that the Scheduler was lost gives them nothing."""
    stage = waiting()
    stage.restart()
    stage.tell(a1=500, b1=20)
    stage.tick()
    assert stage.leases.places.queue.order(LaneId("m")) == ["b2", "b3", "a2", "a3"]


def test_who_comes_before_the_others_are_back_has_earned_nothing() -> None:
    stage = waiting()
    stage.restart()
    stage.tell(a1=500, b1=20)
    stage.submit("c1", "c2")  # nobody else waits yet, as far as is known
    stage.tick()
    assert stage.written == {A: 1000.0, B: 40.0, C: 40.0}


def test_one_that_waits_alone_before_the_others_are_back_does_not_make_all_begin_anew() -> None:
    stage = waiting()
    stage.restart()
    stage.submit("c1")
    stage.tell(a1=500, b1=20)
    stage.leases.cancelled(JobId("c1"), 0)
    del stage.jobs["c1"]
    stage.tick()
    assert (stage.written[A], stage.written[B]) == (1000.0, 40.0)


def test_when_nobody_waits_nothing_is_kept() -> None:
    stage = waiting()
    for name in ("a2", "a3", "b2", "b3"):
        stage.leases.cancelled(JobId(name), 0)
    stage.tick()
    assert stage.written == {}


def test_what_was_kept_is_taken_out_where_nobody_waits_after_a_restart() -> None:
    stage = waiting()
    for name in ("a2", "a3", "b2", "b3"):
        stage.leases.cancelled(JobId(name), 0)
        del stage.jobs[name]
    stage.restart()  # before that was written down
    stage.tell(a1=500, b1=20)
    stage.tick()
    assert stage.written == {}


def test_what_waited_and_is_wanted_no_more_is_not_waited_for() -> None:
    stage = waiting()
    stage.restart()
    for name in ("a2", "a3", "b2", "b3"):
        stage.leases.ended([JobId(name)], 0)
    stage.tell(a1=500, b1=20)
    stage.tick()
    assert stage.written == {}


def test_what_could_not_be_written_is_written_at_the_next_tick() -> None:
    stage = waiting()
    stage.tell(a1=600, b1=20)
    assert stage.tick(writes=False) == [ShareMark("m", A, 1200.0)]
    stage.tell(a1=601, b1=20)
    stage.tick()
    assert stage.written == {A: 1202.0, B: 40.0}


def test_one_call_writes_at_a_time_and_only_what_has_changed() -> None:
    stage = waiting()
    assert stage.tick() == []
    stage.tell(a1=600, b1=20)
    (action,) = (each for each in stage.leases.tick(2.0, 0) if isinstance(each, Mark))
    stage.tell(a1=601, b1=20)
    assert not any(isinstance(each, Mark) for each in stage.leases.tick(2.5, 0))
    stage.leases.marked()
    assert action.marks == [ShareMark("m", A, 1200.0)]
    assert stage.tick() == [ShareMark("m", A, 1202.0)]


def test_a_late_repeat_of_what_was_written_before_is_put_right_when_it_is_compared() -> None:
    stage = waiting()
    stage.tell(a1=600, b1=20)
    stage.tick()
    stage.written |= {A: 1000.0, C: 5.0}  # a call from before comes once more
    del stage.written[B]
    stage.tick()
    assert stage.written == {A: 1000.0, C: 5.0}
    stage.leases.places.queue.compare_shares([ShareMark("m", *each) for each in stage.written.items()])
    assert len(stage.tick()) == 3
    assert stage.written == {A: 1200.0, B: 40.0}


def test_what_was_never_written_need_not_be_taken_out() -> None:
    shares = Shares({})
    shares.lift(A, 0.0)
    shares.begin_anew()
    assert shares.changes() == {}
    shares.lift(A, 3.0)
    assert shares.changes() == {A: 3.0}
    shares.begin_anew()
    assert shares.changes() == {A: None}
    shares.not_written([A])
    assert shares.changes() == {A: None}
