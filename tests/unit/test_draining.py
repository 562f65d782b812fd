"""Jobs move from engines that retire as far as there is room elsewhere, and those of a node that is drained, too."""

from cluster.catalogue import Catalogue, Model, Replicas
from cluster.ids import EngineId, JobId, NodeId
from cluster.leases.actions import Action, Fence
from cluster.leases.leases import Leases
from cluster.messages.machines import EngineReport, Hardware, NodeReport
from cluster.messages.work import Job, Submission
from cluster.timing import Timing
from tests.support.jobs import a_job
from tests.support.seats import SeatedFleet

NODES = [NodeId(f"node_{number}") for number in range(3)]
DRAIN_S, SLOTS = 30, 4
M = Model(id="m", source="s", gpus=1, cpus=1.0, replicas=Replicas(3, 3, drain_s=DRAIN_S))


def job(name: str, node_id: NodeId | None = None) -> Job:
    return a_job(name, node_id=node_id)


class Stage:
    """Three machines with an engine each. Whatever they are given runs until it is taken from them."""

    def __init__(self) -> None:
        self.fleet = SeatedFleet(Catalogue((M,)), [EngineId(f"m/{number}") for number in range(3)], 0.0)
        self.leases = Leases(self.fleet, Timing())
        self.beat(0.0)

    def beat(self, now_s: float) -> None:
        for number, node_id in enumerate(NODES):
            running = tuple((name, 1) for name in self.on(number))
            engine = EngineReport(EngineId(f"m/{number}"), "m", node_id, "ready", slots=SLOTS, running=running)
            report = NodeReport(node_id, Hardware("host", 8.0, 1 << 30, 1), (engine,))
            self.leases.reported(report, now_s, 0)

    def on(self, number: int) -> list[JobId]:
        replica = self.fleet.replica(EngineId(f"m/{number}"))
        return [] if replica is None else list(replica.tokens_of)

    def submit(self, *jobs: Job) -> None:
        submissions = [Submission(each) for each in jobs]
        self.leases.submitted(submissions, 0)
        self.leases.confirmed(jobs)
        self.leases.answered(submissions)

    def wait(self, until_s: float) -> list[Action]:
        self.beat(until_s)
        return self.leases.tick(until_s, 0)


def moved(actions: list[Action]) -> set[JobId]:
    return {job_id for action in actions if isinstance(action, Fence) for job_id, _ in action.attempts}


def test_what_two_nodes_that_are_drained_have_goes_where_there_is_room_for_both() -> None:
    stage = Stage()
    stage.submit(*(job(f"job {number}") for number in range(9)))
    assert [len(stage.on(number)) for number in range(3)] == [3, 3, 3]
    aboard = {*stage.on(0), *stage.on(1)}
    for node_id in NODES[:2]:
        stage.leases.drained(node_id, True, 0.0, 0)
    assert moved(stage.wait(DRAIN_S - 0.5)) == set()
    gone = moved(stage.wait(DRAIN_S))
    assert len(gone) == 1 and gone <= aboard  # the third machine has room for one more


def test_pinned_jobs_end_where_they_are() -> None:
    stage = Stage()
    stage.submit(job("free"), job("pinned", NODES[0]), job("pinned too", NODES[0]))
    stage.leases.drained(NODES[0], True, 0.0, 0)
    there = set(stage.on(0))
    assert {"pinned", "pinned too"} <= there
    assert moved(stage.wait(DRAIN_S)) == there - {"pinned", "pinned too"}


def test_a_node_that_is_taken_back_in_time_keeps_its_jobs() -> None:
    stage = Stage()
    stage.submit(*(job(f"job {number}") for number in range(3)))
    stage.leases.drained(NODES[0], True, 0.0, 0)
    stage.wait(DRAIN_S / 2)
    stage.leases.drained(NODES[0], False, DRAIN_S / 2, 0)
    assert moved(stage.wait(DRAIN_S)) == set()
    assert stage.on(0) != []
