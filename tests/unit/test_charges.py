"""What accounts pay while somebody waits: prompts when jobs are placed, tokens when engines tell of them."""

from cluster.catalogue import Catalogue, Model
from cluster.ids import AccountId, EngineId, JobId, NodeId
from cluster.leases.leases import Leases
from cluster.messages.machines import EngineReport, Hardware, NodeReport
from cluster.messages.work import Fenced, Output, Released, Submission
from cluster.timing import Timing
from tests.support.jobs import a_job
from tests.support.seats import SeatedFleet

N0, E0 = NodeId("node_0"), EngineId("m/0")
M = Model(id="m", source="s", gpus=0, cpus=1.0)


class Stage:
    """One engine of two slots. A job is named by its account and a number."""

    def __init__(self) -> None:
        self.fleet = SeatedFleet(Catalogue((M,)), [E0], 0.0)
        self.leases = Leases(self.fleet, Timing())
        self.attempts: dict[str, int] = {}
        self.tell()

    def tell(self, **tokens: int) -> None:
        """The engine reports how many tokens it has made of these jobs."""
        running = tuple((JobId(name), self.attempts.get(name, 1)) for name in tokens)
        report = EngineReport(E0, "m", N0, "ready", slots=2, running=running, tokens=tuple(tokens.values()))
        self.leases.reported(NodeReport(N0, Hardware("host", 8.0, 1 << 30), (report,)), 0.0, 0)

    def submit(self, *names: str, prompt_tokens: int = 0) -> None:
        jobs = [a_job(name, account_id=AccountId(name[0]), prompt_tokens=prompt_tokens) for name in names]
        submissions = [Submission(job) for job in jobs]
        self.leases.submitted(submissions, 0)
        self.leases.confirmed(jobs)
        self.leases.answered(submissions)

    def end(self, name: str, tokens: int = 0) -> set[JobId]:
        """This job ends. Returns what has come in its place."""
        before = self.running
        self.leases.released([Released(JobId(name), self.attempts.get(name, 1), tokens=tokens)], 0.0, 0)
        return self.running - before

    @property
    def running(self) -> set[JobId]:
        replica = self.fleet.replica(E0)
        assert replica is not None
        return set(replica.tokens_of)


def test_a_prompt_is_charged_when_its_job_is_placed() -> None:
    stage = Stage()
    stage.submit("x1", "x2")
    stage.submit("a1", "a2", prompt_tokens=100)
    stage.submit("b1", "b2", "b3", prompt_tokens=3)
    assert stage.end("x1") == {"a1"}
    assert stage.end("x2") == {"b1"}
    assert stage.end("b1") == {"b2"}
    assert stage.end("b2") == {"b3"}
    assert stage.end("b3") == {"a2"}


def test_a_token_is_charged_once_and_counts_twice_a_prompts() -> None:
    stage = Stage()
    stage.submit("a1", "b1")
    stage.submit("a2", "a3", "b2", "b3")
    stage.tell(a1=10, b1=4)
    stage.tell(a1=10, b1=9)  # twenty for one and eighteen for the other
    assert stage.end("a1", tokens=10) == {"b2"}
    stage.tell(b1=9, b2=2)  # now it has had more than the other
    assert stage.end("b2", tokens=2) == {"a2"}


def test_what_an_engine_had_not_told_of_is_charged_at_the_end() -> None:
    stage = Stage()
    stage.submit("a1", "b1")
    stage.submit("a2", "b2")
    stage.tell(a1=5, b1=6)
    assert stage.end("a1", tokens=7) == {"b2"}


def test_a_job_that_goes_on_is_charged_for_nothing_twice() -> None:
    stage = Stage()
    stage.submit("a1", prompt_tokens=50)
    stage.submit("b1")
    stage.submit("a2", "b2")
    stage.tell(a1=5, b1=6)
    stage.leases.unreached(E0, [(JobId("a1"), 1)], 0.0, 0)
    stage.leases.reached(E0, 0)
    output = Output("text", (1, 2, 3, 4, 5), (1, 2, 3, 4, 4))
    stage.leases.fenced([(JobId("a1"), 1)], [Fenced(JobId("a1"), 2, output, False)], 0)
    stage.attempts["a1"] = 2
    assert "a1" not in stage.running  # its place was taken meanwhile; it comes first
    taken = (stage.running - {JobId("b1")}).pop()
    assert stage.end(taken) == {"a1"}
    stage.tell(a1=5, b1=6)
    assert "a1" in stage.running
