"""Which engine a job goes to."""

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from cluster.ids import AccountId, EngineId, JobId, KeyId, NodeId
from cluster.messages.placements import Verdict
from cluster.messages.work import ChatMessage, Job, Sampling
from cluster.placement import (
    FAILURE_COST_TOKENS,
    LOADING_COST_TOKENS,
    NOTHING,
    NOWHERE,
    Answers,
    Cached,
    Candidate,
    Loaded,
    Ranking,
    prompt_tokens,
    ruled_out_by,
    score,
)

IDLE = Candidate(
    engine_id=EngineId("engine/m/1"),
    node_id=NodeId("node_1"),
    ready=True,
    online=True,
    draining=False,
    running=0,
    slots=4,
    assigned_tokens=0,
    recent_failures=0,
)

# Few, so that some come twice.
numbers = st.integers(0, 19)

candidates = st.builds(
    Candidate,
    engine_id=numbers.map(lambda number: EngineId(f"engine/{number}")),
    node_id=st.sampled_from([NodeId("node_1"), NodeId("node_2")]),
    ready=st.booleans(),
    online=st.booleans(),
    draining=st.booleans(),
    running=st.integers(0, 3),
    slots=st.integers(0, 3),
    assigned_tokens=st.sampled_from([0, 1, FAILURE_COST_TOKENS]),
    recent_failures=st.integers(0, 2),
)


def engine(number: int, **changes: object) -> Candidate:
    return replace(IDLE, engine_id=EngineId(f"engine/m/{number}"), **changes)


def ranking(*engines: Candidate) -> Ranking:
    subject = Ranking()
    for candidate in engines:
        subject.put(candidate)
    return subject


def best(subject: Ranking, pin: NodeId | None = None) -> str | None:
    verdict = subject.best(pin)
    return None if verdict is None else str(verdict.engine_id)


def by_hand(
    engines: Iterable[Candidate], pin: NodeId | None, cached: Cached = NOTHING, loaded: Loaded = NOWHERE
) -> list[Verdict]:
    """Filter, sort, and nothing kept: what every ranking has to agree with."""
    verdicts = []
    for e in engines:
        tokens, has_adapter = cached.get(e.engine_id, 0), e.engine_id in loaded
        cost = score(e) - tokens - has_adapter * LOADING_COST_TOKENS
        verdicts.append(Verdict(e.engine_id, e.node_id, ruled_out_by(e, pin), cost, tokens, has_adapter))
    return sorted(verdicts, key=lambda verdict: (verdict.ruled_out_by is not None, verdict.score, verdict.engine_id))


def test_the_least_loaded_engine_is_chosen() -> None:
    subject = ranking(engine(1, assigned_tokens=50), engine(2, assigned_tokens=10), engine(3, assigned_tokens=90))
    assert best(subject) == "engine/m/2"


def test_an_engine_has_the_place_that_it_was_given_last() -> None:
    subject = ranking(engine(1, assigned_tokens=50), engine(2, assigned_tokens=60))
    subject.put(engine(1, assigned_tokens=70))
    assert best(subject) == "engine/m/2"
    assert len(subject.considered(None)) == 2
    subject.put(engine(2, assigned_tokens=60, node_id=NodeId("node_2")))
    assert (best(subject, NodeId("node_1")), best(subject, NodeId("node_2"))) == ("engine/m/1", "engine/m/2")


def test_ties_go_to_the_first_id_in_any_order() -> None:
    assert best(ranking(engine(3), engine(1), engine(2))) == "engine/m/1"


def test_an_engine_that_fails_at_once_does_not_attract_every_job() -> None:
    assert best(ranking(engine(1, recent_failures=1), engine(2, assigned_tokens=5000))) == "engine/m/2"


def test_an_engine_that_has_the_adapter_is_preferred_until_it_has_that_much_more_to_do() -> None:
    loaded = {EngineId("engine/m/2")}
    for more, chosen in ((0, 2), (LOADING_COST_TOKENS, 2), (LOADING_COST_TOKENS + 1, 1)):
        subject = ranking(engine(1, assigned_tokens=50), engine(2, assigned_tokens=50 + more))
        verdict = subject.best(None, loaded=loaded)
        assert verdict is not None
        assert (verdict.engine_id, verdict.has_adapter) == (f"engine/m/{chosen}", chosen == 2)


def test_an_engine_that_has_the_adapter_and_no_room_holds_nobody_up() -> None:
    subject = ranking(engine(1, assigned_tokens=5000), engine(2, running=4))
    verdict = subject.best(None, loaded={EngineId("engine/m/2")})
    assert verdict is not None
    assert verdict.engine_id == "engine/m/1"
    considered = subject.considered(None, loaded={EngineId("engine/m/2"), EngineId("gone")})
    assert [(each.engine_id, each.has_adapter) for each in considered] == [
        ("engine/m/1", False),
        ("engine/m/2", True),
    ]


@given(
    st.lists(candidates, max_size=12, unique_by=lambda candidate: candidate.engine_id),
    st.dictionaries(numbers.map(lambda number: EngineId(f"engine/{number}")), st.sampled_from([0, 1, 900, 1100])),
    st.frozensets(numbers.map(lambda number: EngineId(f"engine/{number}"))),
    st.sampled_from([None, NodeId("node_1")]),
)
def test_what_engines_have_counts_as_if_all_were_looked_at(
    engines: list[Candidate], cached: dict[EngineId, int], loaded: frozenset[EngineId], pin: NodeId | None
) -> None:
    subject = ranking(*engines)
    free = [verdict for verdict in by_hand(engines, pin, cached, loaded) if verdict.ruled_out_by is None]
    chosen = subject.best(pin, cached=cached, loaded=loaded)
    assert (chosen is None) == (not free)
    if chosen is not None:
        assert chosen.score == free[0].score
        assert chosen in free
        assert chosen in subject.considered(pin, cached=cached, loaded=loaded)


def test_a_pin_looks_at_one_node_only() -> None:
    subject = ranking(engine(1), engine(2, node_id=NodeId("node_2"), assigned_tokens=9))
    assert best(subject, NodeId("node_2")) == "engine/m/2"
    assert best(subject, NodeId("node_3")) is None


def test_every_engine_that_was_not_chosen_has_its_reason() -> None:
    subject = ranking(
        engine(1, online=False),
        engine(3, draining=True),
        engine(4, running=4),
        engine(5, node_id=NodeId("node_2")),
        engine(6, assigned_tokens=7, recent_failures=1),
        engine(7, ready=False),
    )
    assert best(subject, NodeId("node_1")) == "engine/m/6"
    considered = subject.considered(NodeId("node_1"))
    assert [verdict.ruled_out_by for verdict in considered] == [
        None,
        "offline",
        "draining",
        "no room",
        "not the pinned node",
        "not ready",
    ]
    assert considered[0].score == 7 + FAILURE_COST_TOKENS
    assert considered[4].node_id == "node_2"


def test_without_anything_that_can_take_the_job_nothing_is_chosen() -> None:
    assert best(ranking()) is None
    assert best(ranking(engine(1, running=4))) is None


def test_an_engine_that_is_removed_is_not_considered_and_an_unknown_one_is_ignored() -> None:
    subject = ranking(engine(1), engine(2))
    subject.remove(EngineId("engine/m/1"))
    subject.remove(EngineId("engine/m/1"))
    subject.remove(EngineId("unknown"))
    assert [verdict.engine_id for verdict in subject.considered(None)] == ["engine/m/2"]
    assert best(subject, NodeId("node_1")) == "engine/m/2"
    subject.remove(EngineId("engine/m/2"))
    assert best(subject) is None


@given(
    st.lists(candidates, max_size=30),
    st.sets(numbers.map(lambda number: EngineId(f"engine/{number}"))),
    st.sampled_from([None, NodeId("node_1"), NodeId("node_2"), NodeId("node_3")]),
    st.integers(1, 8),
)
def test_it_agrees_with_sorting_everything_anew(
    puts: list[Candidate], removed: set[EngineId], pin: NodeId | None, most: int
) -> None:
    subject = ranking(*puts)
    for engine_id in removed:
        subject.remove(engine_id)
    last = {candidate.engine_id: candidate for candidate in puts if candidate.engine_id not in removed}
    expected = by_hand(last.values(), pin)
    assert list(subject.considered(pin)) == expected
    assert list(subject.considered(pin, most)) == expected[:most]
    chosen = [verdict for verdict in expected if verdict.ruled_out_by is None]
    assert subject.best(pin) == (chosen[0] if chosen else None)


def test_a_prompt_that_was_not_counted_is_estimated_from_its_characters() -> None:
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
    assert prompt_tokens(job) == 10
    assert prompt_tokens(replace(job, prompt_tokens=7)) == 7
    assert prompt_tokens(replace(job, prompt_tokens=0)) == 0


def test_answers_are_expected_to_be_as_long_as_those_before_and_no_longer_than_they_may_be() -> None:
    answers = Answers()
    assert answers.expected_tokens(500) == 500
    answers.tell(100)
    assert answers.expected_tokens(500) == 100
    answers.tell(200)
    assert answers.expected_tokens(500) == 150
    assert answers.expected_tokens(20) == 20
    for _ in range(1000):
        answers.tell(300)
    assert 295 <= answers.expected_tokens(500) <= 300


# What engines have of the prompt ------------------------------------------------------------------------------------


def chosen(subject: Ranking, cached: Cached, pin: NodeId | None = None, suspect: bool = False) -> str | None:
    verdict = subject.best(pin, suspect, cached)
    return None if verdict is None else str(verdict.engine_id).removeprefix("engine/m/")


def having(*tokens: int) -> Cached:
    """So many tokens of the prompt are cached, engine by engine from the first."""
    return {EngineId(f"engine/m/{number}"): each for number, each in enumerate(tokens, start=1)}


def test_what_an_engine_has_of_the_prompt_weighs_as_much_as_work() -> None:
    subject = ranking(engine(1, assigned_tokens=100), engine(2, assigned_tokens=150), engine(3))
    assert chosen(subject, having(0, 0, 0)) == "3"
    assert chosen(subject, having(99, 149)) == "3"
    assert chosen(subject, having(101, 150)) == "1"
    assert chosen(subject, having(101, 152)) == "2"


def test_of_two_that_cost_the_same_the_one_is_chosen_that_has_more_of_the_prompt() -> None:
    assert chosen(ranking(engine(1), engine(2, assigned_tokens=64)), having(0, 64)) == "2"


def test_an_engine_that_cannot_take_the_job_is_not_chosen_for_what_it_has() -> None:
    subject = ranking(engine(1, running=4), engine(2, has_suspect=True), engine(3, assigned_tokens=50))
    assert chosen(subject, having(1000)) == "2"
    assert chosen(subject, having(0, 1000), suspect=True) == "3"
    assert chosen(subject, {EngineId("engine/m/9"): 1000}) == "2"
    elsewhere = ranking(engine(1, node_id=NodeId("node_2")), engine(2))
    assert chosen(elsewhere, having(1000), NodeId("node_1")) == "2"


def test_whether_an_engine_can_take_a_job() -> None:
    one, two, other = (EngineId(f"engine/m/{number}") for number in (1, 2, 3))
    subject = ranking(engine(1, running=4), engine(2, has_suspect=True))
    assert [engine_id in subject.takers(None) for engine_id in (one, two, other)] == [False, True, False]
    assert two not in subject.takers(None, suspect=True)
    assert [two in subject.takers(NodeId(f"node_{number}")) for number in (1, 2)] == [True, False]


def test_an_engine_that_has_the_prompt_is_among_those_considered_though_it_comes_late() -> None:
    engines = [engine(number, assigned_tokens=number) for number in range(1, 40)]
    subject = ranking(*engines, engine(50, running=4))
    cached = {EngineId("engine/m/39"): 64, EngineId("engine/m/50"): 128}
    considered = subject.considered(None, 5, cached=cached)
    assert len(considered) == 5
    assert considered[0] == Verdict(EngineId("engine/m/39"), NodeId("node_1"), None, 39 - 64, 64)
    assert considered[-1] == Verdict(EngineId("engine/m/50"), NodeId("node_1"), "no room", -128, 128)


caches = st.dictionaries(numbers.map(lambda number: EngineId(f"engine/{number}")), st.integers(0, 100), max_size=8)


@given(
    st.lists(candidates, max_size=12, unique_by=lambda candidate: candidate.engine_id),
    caches,
    st.sampled_from([None, NodeId("node_1"), NodeId("node_2")]),
)
def test_no_engine_that_can_take_the_job_costs_less_than_the_one_chosen(
    engines: list[Candidate], cached: Cached, pin: NodeId | None
) -> None:
    subject = ranking(*engines)
    verdicts = by_hand(engines, pin, cached)
    free = [verdict for verdict in verdicts if verdict.ruled_out_by is None]
    best = subject.best(pin, cached=cached)
    assert (best is None) == (not free)
    assert best is None or (best in free and best.score == min(verdict.score for verdict in free))
    assert list(subject.considered(pin, cached=cached)) == verdicts
