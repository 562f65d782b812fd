"""However settings change, and whatever else happens, a model keeps its ready replicas, and all end up new."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from cluster.catalogue import Model, Replicas
from cluster.ids import JobId
from tests.support.rolling import RollingStage

GOOD, BAD = range(3), range(3, 5)


class Changes(RuleBasedStateMachine):
    """One model on machines with room for one replica more, or for none. No engine dies by itself."""

    @initialize(wanted=st.integers(1, 3), spare=st.booleans(), apart=st.booleans())
    def serve(self, wanted: int, spare: bool, apart: bool) -> None:
        self.wanted, self.spare = wanted, spare
        gpus = wanted + spare
        model = Model(
            id="m", source="s", gpus=1, cpus=1.0, replicas=Replicas(wanted, wanted), engine={"max_num_seqs": 0}
        )
        self.stage = RollingStage(model, *([1] * gpus if apart else [gpus]))
        self.stage.settle()
        self.names = 0
        self.has_heard = True

    @rule(option=st.sampled_from([*GOOD, *BAD]))
    def change(self, option: int) -> None:
        self.stage.change(engine={"max_num_seqs": option})
        if option in BAD:
            self.stage.fails.add(self.stage.make.fingerprint)
        self.has_heard = False

    @rule()
    def restart(self) -> None:
        self.stage.restart()
        self.has_heard = False

    @rule(after_s=st.sampled_from([0.1, 1.0, 5.0, 60.0]))
    def beat(self, after_s: float) -> None:
        self.stage.beat(after_s)
        self.has_heard = True

    @precondition(lambda self: self.stage.starting())
    @rule(data=st.data())
    def load(self, data: st.DataObject) -> None:
        self.stage.load_one(data.draw(st.sampled_from(self.stage.starting())))

    @precondition(lambda self: self.has_heard)
    @rule()
    def begin_jobs(self) -> None:
        for engine_id in self.stage.ready():
            replica = self.stage.fleet.replica(engine_id)
            assert replica is not None
            self.names += 1
            replica.assign(JobId(f"job_{self.names}"), 10)

    @precondition(lambda self: self.has_heard)
    @rule()
    def end_a_job(self) -> None:
        for replica in self.stage.fleet.replicas:
            for job_id in list(replica.tokens_of)[:1]:
                replica.release(job_id)
                return

    @precondition(lambda self: self.has_heard)
    @rule()
    def come_to_rest(self) -> None:
        for replica in self.stage.fleet.replicas:
            for job_id in list(replica.tokens_of):
                replica.release(job_id)
        self.stage.settle(60)
        if self.stage.make.fingerprint not in self.stage.fails:
            assert len(self.stage.new()) == len(self.stage.engines) == self.wanted, self.stage.engines
            assert (self.stage.view.fits, self.stage.view.message) == (True, "")
        else:
            assert self.stage.view.message

    @invariant()
    def as_many_serve_as_there_is_room_for(self) -> None:
        if self.has_heard:
            least = self.wanted if self.spare else self.wanted - 1
            assert len(self.stage.ready()) >= least, (self.stage.ready(), self.stage.engines)

    @invariant()
    def nothing_is_booked_twice(self) -> None:
        for node, gpus in self.stage.gpus.items():
            assert len([e for e in self.stage.engines.values() if e.node_id == node]) <= gpus


Changes.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestChanges = Changes.TestCase
