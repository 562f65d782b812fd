"""Where jobs go whose prompts have been read before, and what the engines' work is taken to be."""

from collections.abc import Iterable

from msgspec.structs import replace

from cluster.catalogue import Catalogue, Model, Replicas
from cluster.fleet.fleet import Fleet
from cluster.ids import AccountId, EngineId, JobId, KeyId, NodeId
from cluster.leases.actions import Action, Record
from cluster.leases.leases import Leases
from cluster.leases.places import Begun, Leased
from cluster.leases.standings import standing
from cluster.messages.machines import CacheTotals, EngineReport, Hardware, NodeReport
from cluster.messages.placements import Placed, Verdict
from cluster.messages.work import Fenced, Job, JobAttempt, Output, Released, Sampling, Submission
from cluster.prefixes.chain import chain
from cluster.timing import Timing

N0 = NodeId("node_0")
E0, E1 = EngineId("m/0"), EngineId("m/1")
NOW_S, NOW_MS = 100.0, 1_700_000_000_000
BLOCK = 64
PROMPT_TOKENS, ANSWER_TOKENS = 400, 200


def prefix(*blocks: int) -> bytes:
    return chain(b"".join(number.to_bytes(BLOCK) for number in blocks), BLOCK)


def submission(name: str, *blocks: int) -> Submission:
    """A job whose prompt begins with these blocks."""
    sampling = Sampling(max_tokens=ANSWER_TOKENS)
    account, key = AccountId("acct"), KeyId("key")
    job = Job(JobId(name), account, key, "m", (), sampling, NOW_MS, NOW_MS + 60_000, prompt_tokens=PROMPT_TOKENS)
    return Submission(job, prefix=prefix(*blocks))


class Stage:
    """Leases of a model with two engines that keep prompts, of so many slots each."""

    def __init__(self, slots: int = 4) -> None:
        model = Model(id="m", backend="simulated", gpus=0, cpus=0.0, replicas=Replicas(2, 2))
        self.fleet = Fleet(Catalogue((model,)), (), NOW_S)
        self.leases = Leases(self.fleet, Timing())
        self.slots = slots
        self.report()

    def report(self, running: Iterable[JobAttempt] = (), tokens: Iterable[int] = ()) -> list[Action]:
        """Both engines are ready, and the first runs these."""
        cache = {"cache_tokens": 10_000, "block_tokens": BLOCK, "slots": self.slots}
        first = EngineReport(E0, "m", N0, "ready", running=tuple(running), tokens=tuple(tokens), **cache)
        engines = (first, EngineReport(E1, "m", N0, "ready", **cache))
        return self.leases.reported(NodeReport(N0, Hardware("host", 8.0, 1 << 30), engines), NOW_S, NOW_MS)

    def accept(self, *submissions: Submission) -> list[Placed]:
        placed = self.leases.submitted(submissions, NOW_MS).placed
        self.leases.confirmed([each.job for each in submissions])
        self.leases.answered(submissions)
        return placed

    def end(self, name: str, cached_tokens: int | None = 0, tokens: int = ANSWER_TOKENS) -> list[Placed]:
        """This job has ended. Returns what took its place."""
        released = [Released(JobId(name), 1, tokens=tokens, cached_tokens=cached_tokens)]
        actions = self.leases.released(released, NOW_S, NOW_MS)
        return [placed for action in actions if isinstance(action, Record) for placed in action.placed]

    def verdicts(self, name: str) -> tuple[Verdict, ...]:
        """What is made of the engines for this job now."""
        stands = standing(JobId(name), self.leases.places, self.fleet, NOW_S)
        assert stands is not None
        return stands.verdicts

    def engine_of(self, name: str) -> EngineId | None:
        place = self.leases.places.get(JobId(name))
        return place.engine_id if isinstance(place, Begun | Leased) else None

    def work(self, engine_id: EngineId = E0) -> int:
        replica = self.fleet.replica(engine_id)
        assert replica is not None
        return replica.assigned_tokens


def test_a_prompt_goes_where_its_beginning_has_been_read_and_the_placement_says_so() -> None:
    stage = Stage()
    stage.accept(submission("other", 9), submission("first", 1, 2, 3))
    assert (stage.engine_of("other"), stage.engine_of("first")) == (E0, E1)
    stage.end("other")
    stage.end("first")
    (placed,) = stage.accept(submission("again", 1, 2, 4))
    assert placed.engine_id == E1
    assert [(v.engine_id, v.score, v.cached_tokens) for v in placed.considered] == [(E1, -128, 128), (E0, 0, 0)]


def test_it_goes_elsewhere_when_there_is_less_to_do_than_is_saved() -> None:
    stage = Stage()
    stage.accept(submission("first", 1, 2, 3))
    (placed,) = stage.accept(submission("again", 1, 2, 3))
    assert placed.engine_id == E1


def test_work_is_what_is_left_to_read_and_the_answers() -> None:
    stage = Stage()
    stage.accept(submission("first", 1, 2, 3))
    assert stage.work() == PROMPT_TOKENS + ANSWER_TOKENS
    stage.report([(JobId("first"), 1)], [0])
    assert stage.work() == PROMPT_TOKENS + ANSWER_TOKENS
    stage.report([(JobId("first"), 1)], [1])
    assert stage.work() == ANSWER_TOKENS
    stage.report([(JobId("first"), 1)], [2])
    assert stage.work() == ANSWER_TOKENS
    stage.end("first")
    assert stage.work() == 0
    stage.accept(submission("again", 1, 2, 3))
    assert stage.work() == PROMPT_TOKENS - 3 * BLOCK + ANSWER_TOKENS


def test_answers_count_as_long_as_those_before() -> None:
    stage = Stage()
    stage.accept(submission("first"))
    stage.end("first", tokens=20)
    stage.accept(submission("next"))
    assert stage.work() == PROMPT_TOKENS + 20


def test_an_answer_of_a_job_that_its_engine_failed_says_nothing_of_others() -> None:
    stage = Stage()
    stage.accept(submission("first"))
    stage.leases.released([Released(JobId("first"), 1, failed=True, tokens=1)], NOW_S, NOW_MS)
    stage.accept(submission("next"))
    assert stage.work(E1) == PROMPT_TOKENS + ANSWER_TOKENS


def test_what_engines_found_is_added_up() -> None:
    stage = Stage()
    stage.accept(submission("first", 1, 2, 3))
    stage.end("first")
    stage.accept(submission("again", 1, 2, 3))
    stage.end("again", cached_tokens=40)
    stage.accept(submission("silent", 1, 2, 3))
    stage.end("silent", cached_tokens=None)
    (view,) = stage.fleet.models.views({}, NOW_S)
    assert view.cache == CacheTotals(prompt=2 * PROMPT_TOKENS, predicted=3 * BLOCK, actual=40)


def test_of_an_accounts_next_jobs_the_one_goes_that_has_the_most_where_there_is_room() -> None:
    stage = Stage(slots=1)
    stage.accept(submission("first", 1, 2, 3), submission("second", 5))
    stage.accept(submission("new", 7), submission("later", 1, 8), submission("again", 1, 2, 3))
    (placed,) = stage.end("first")
    assert (placed.job_id, placed.engine_id, placed.passed) == ("again", E0, 2)
    (placed,) = stage.end("second")
    assert (placed.job_id, placed.engine_id, placed.passed) == ("new", E1, 0)


def test_a_job_that_lost_its_engine_goes_where_its_prompt_has_been_read() -> None:
    stage = Stage()
    stage.accept(submission("first", 9), submission("second", 1, 2, 3))
    assert stage.engine_of("second") == E1
    stage.end("first")
    stage.accept(submission("moved", 1, 2, 3))
    assert stage.engine_of("moved") == E0
    stage.leases.engine_lost(E0, NOW_S)
    fenced = Fenced(JobId("moved"), 2, Output("Hi", (1,), (2,), 1), ended=False)
    stage.leases.fenced([(JobId("moved"), 1)], [fenced], NOW_MS)
    considered = stage.leases.places.get(JobId("moved"))
    assert isinstance(considered, Leased)
    assert (considered.engine_id, considered.waiting.prefix) == (E1, prefix(1, 2, 3))
    assert stage.work(E1) == 2 * (PROMPT_TOKENS + ANSWER_TOKENS) - 3 * BLOCK


def test_a_waiting_job_is_told_who_has_its_prompt_and_others_nothing() -> None:
    stage = Stage(slots=1)
    stage.accept(submission("first", 1, 2, 3), submission("second", 5), submission("waiting", 1, 2))
    told = stage.verdicts("waiting")
    assert {(v.engine_id, v.ruled_out_by, v.cached_tokens) for v in told} == {(E0, "no room", 128), (E1, "no room", 0)}
    assert stage.verdicts("first") == ()


def test_prompts_of_which_nothing_is_known_are_placed_by_work_alone() -> None:
    stage = Stage()
    stage.accept(submission("first", 1, 2, 3))
    stage.end("first")
    unknown = replace(submission("unknown", 1, 2, 3), prefix=b"")
    (placed,) = stage.accept(unknown)
    assert {verdict.cached_tokens for verdict in placed.considered} == {0}
