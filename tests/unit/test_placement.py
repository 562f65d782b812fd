"""Which engine a job goes to."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from cluster.ids import AccountId, EngineId, JobId, KeyId, NodeId
from cluster.messages import ChatMessage, Job, Sampling
from cluster.placement import FAILURE_COST_TOKENS, Candidate, choose, estimate_tokens

IDLE = Candidate(
    engine_id=EngineId("engine/m/1"),
    node_id=NodeId("node_1"),
    model="m",
    ready=True,
    online=True,
    draining=False,
    running=0,
    slots=4,
    outstanding_tokens=0,
    recent_failures=0,
)

candidates = st.builds(
    Candidate,
    engine_id=st.integers(0, 99).map(lambda number: EngineId(f"engine/{number}")),
    node_id=st.sampled_from([NodeId("node_1"), NodeId("node_2")]),
    model=st.sampled_from(["m", "other"]),
    ready=st.booleans(),
    online=st.booleans(),
    draining=st.booleans(),
    running=st.integers(0, 3),
    slots=st.integers(0, 3),
    outstanding_tokens=st.sampled_from([0, 1, FAILURE_COST_TOKENS]),
    recent_failures=st.integers(0, 2),
)


def engine(number: int, **changes: object) -> Candidate:
    return replace(IDLE, engine_id=EngineId(f"engine/m/{number}"), **changes)


def test_the_least_loaded_engine_is_chosen() -> None:
    engines = [
        engine(1, outstanding_tokens=50),
        engine(2, outstanding_tokens=10),
        engine(3, outstanding_tokens=90),
    ]
    assert choose("m", None, engines).engine_id == "engine/m/2"


def test_ties_go_to_the_first_id_in_any_order() -> None:
    assert choose("m", None, [engine(3), engine(1), engine(2)]).engine_id == "engine/m/1"


def test_an_engine_that_fails_at_once_does_not_attract_every_job() -> None:
    engines = [engine(1, recent_failures=1), engine(2, outstanding_tokens=5000)]
    assert choose("m", None, engines).engine_id == "engine/m/2"


def test_every_engine_that_was_not_chosen_has_its_reason() -> None:
    engines = [
        engine(1, online=False),
        engine(2, model="other"),
        engine(3, draining=True),
        engine(4, running=4),
        engine(5, node_id=NodeId("node_2")),
        engine(6, outstanding_tokens=7, recent_failures=1),
        engine(7, ready=False),
    ]
    choice = choose("m", NodeId("node_1"), engines)
    assert choice.engine_id == "engine/m/6"
    assert [verdict.ruled_out_by for verdict in choice.considered] == [
        None,
        "offline",
        "serves another model",
        "draining",
        "no room",
        "not the pinned node",
        "not ready",
    ]
    assert choice.considered[0].score == 7 + FAILURE_COST_TOKENS
    assert choice.considered[5].node_id == "node_2"


def test_without_anything_that_can_take_the_job_nothing_is_chosen() -> None:
    assert choose("m", None, []).engine_id is None
    assert choose("m", None, [engine(1, running=4)]).engine_id is None


@given(
    st.lists(candidates, unique_by=lambda candidate: candidate.engine_id),
    st.sampled_from([None, NodeId("node_1"), NodeId("node_3")]),
)
def test_the_best_of_those_that_may_is_chosen_and_told_first(engines: list[Candidate], pin: NodeId | None) -> None:
    choice = choose("m", pin, engines)
    assert {verdict.engine_id for verdict in choice.considered} == {e.engine_id for e in engines}
    left = [verdict for verdict in choice.considered if verdict.ruled_out_by is None]
    assert list(choice.considered[: len(left)]) == left
    assert [verdict.score for verdict in left] == sorted(verdict.score for verdict in left)
    assert choice.engine_id == (left[0].engine_id if left else None)


def test_work_is_estimated_from_the_prompts_characters_and_max_tokens() -> None:
    job = Job(
        id=JobId("job_1"),
        account_id=AccountId("acct_1"),
        key_id=KeyId("key_1"),
        model="m",
        messages=(ChatMessage("system", "x" * 10), ChatMessage("user", "y" * 31)),
        sampling=Sampling(max_tokens=100),
        created_ms=0,
        deadline_ms=1,
    )
    assert estimate_tokens(job) == 110
