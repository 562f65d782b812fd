"""What prompts have in common, which engines have had it, and what is expected of them."""

from collections.abc import Sequence
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from cluster.ids import EngineId, JobId
from cluster.messages.machines import CacheTotals
from cluster.prefixes.chain import CUTS, HASH_BYTES, chain, hashes, of_adapter
from cluster.prefixes.index import CROWD, PrefixIndex
from cluster.prefixes.predictions import Predictions

BLOCK = 16
TOKEN_BYTES = 4
A, B, C = (EngineId(name) for name in "ABC")
PROMPT_TOKENS = 1000


def prefix(*blocks: int) -> bytes:
    """The chain of a prompt whose blocks are these, and a token more."""
    return chain(b"".join(number.to_bytes(BLOCK * TOKEN_BYTES) for number in (*blocks, 0))[:-1], BLOCK * TOKEN_BYTES)


prompts = st.lists(st.integers(0, 1), max_size=12)

# The chain -------------------------------------------------------------------------------------------------------


def test_there_is_a_hash_for_every_whole_block_of_a_short_prompt() -> None:
    assert prefix() == b""
    assert [len(prefix(*range(blocks))) // HASH_BYTES for blocks in (1, 2, 8)] == [1, 2, 8]


def test_a_long_prompt_has_few_hashes_and_the_distance_to_the_next_is_a_quarter_at_most() -> None:
    assert len(CUTS) < 100
    assert CUTS[:12] == (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16)
    assert all(after - before <= max(1, before // 4) for before, after in pairwise(CUTS))


def test_a_chain_is_the_same_in_every_process_and_version() -> None:
    assert prefix(1, 2).hex() == "4dacf3e346f8d641cfd5d92b304a845e"


@given(prompts, prompts, st.text(min_size=1), st.text(min_size=1))
def test_a_prompt_has_nothing_in_common_with_itself_under_another_adapter(
    one: Sequence[int], other: Sequence[int], adapter: str, rival: str
) -> None:
    plain = prefix(*one)
    assert of_adapter(plain, "") == plain
    under, also = of_adapter(plain, adapter), of_adapter(prefix(*other), adapter)
    assert len(under) == len(plain)
    assert set(hashes(under)).isdisjoint(hashes(plain))
    if rival != adapter:
        assert set(hashes(under)).isdisjoint(hashes(of_adapter(plain, rival)))
    shared = set(hashes(plain)) & set(hashes(prefix(*other)))
    assert len(set(hashes(under)) & set(hashes(also))) == len(shared)


@given(prompts, prompts)
def test_two_prompts_have_as_many_hashes_in_common_as_blocks(one: Sequence[int], other: Sequence[int]) -> None:
    common = _common(one, other)
    mine, others = hashes(prefix(*one)), hashes(prefix(*other))
    expected = sum(1 for cut in CUTS if cut <= common)
    assert list(mine[:expected]) == list(others[:expected])
    assert not set(mine[expected:]) & set(others[expected:])


# The index --------------------------------------------------------------------------------------------------------


def index(*engines: EngineId, blocks: int = 100, most: int = 1000) -> PrefixIndex:
    subject = PrefixIndex(most)
    for engine_id in engines:
        subject.join(engine_id, blocks)
    return subject


def test_an_engine_has_what_it_was_given_as_far_as_another_prompt_is_the_same() -> None:
    subject = index(A, B)
    subject.use(A, prefix(1, 2, 3, 4))
    subject.use(B, prefix(1, 2, 9))
    assert subject.holders(prefix(1, 2, 3, 7)) == {A: 3, B: 2}
    assert subject.holders(prefix(7, 2, 3)) == {}
    assert subject.holders(prefix()) == {}


def test_an_engine_without_a_cache_has_nothing() -> None:
    subject = index()
    subject.join(A, 0)
    assert subject.use(A, prefix(1)) is None
    assert subject.holders(prefix(1)) == {}
    assert not subject


def test_what_was_used_least_recently_goes_first() -> None:
    subject = index(A, blocks=6)
    for first in (1, 2, 3):
        subject.use(A, prefix(first, 0))
    subject.use(A, prefix(1, 0))
    subject.use(A, prefix(4, 0))
    assert [bool(subject.holders(prefix(first, 0))) for first in (1, 2, 3, 4)] == [True, False, True, True]


def test_a_prompt_that_is_larger_than_the_cache_is_not_remembered() -> None:
    subject = index(A, blocks=2)
    subject.use(A, prefix(1, 2, 3))
    assert len(subject) == 0


def test_of_what_a_crowd_has_only_the_likely_engines_are_told() -> None:
    engines = [EngineId(str(number)) for number in range(20)]
    subject = index(*engines)
    for engine_id in engines:
        subject.use(engine_id, prefix(1, 2))
    subject.use(engines[7], prefix(1, 2, 3))
    assert subject.holders(prefix(1, 2, 3, 4), engines[:2]) == {engines[7]: 3, engines[0]: 2, engines[1]: 2}


def fullest(subject: PrefixIndex, prompt: bytes, *suits: EngineId) -> tuple[EngineId, int] | None:
    """The engine that has the most of one prompt, and how many blocks."""
    found = list(subject.fullest([hashes(prompt)], set(suits)))
    return found[0][1:] if found else None


def test_the_engine_that_has_the_most_of_those_that_suit() -> None:
    subject = index(A, B)
    subject.use(A, prefix(1, 2, 3, 4))
    subject.use(B, prefix(1, 2, 9))
    assert fullest(subject, prefix(1, 2, 3), A, B) == (A, 3)
    assert fullest(subject, prefix(1, 2, 3), B) == (B, 2)
    assert fullest(subject, prefix(1, 2, 3)) is None
    assert fullest(subject, prefix(7), A, B) is None
    assert fullest(subject, prefix(), A, B) is None


def test_of_several_prompts_those_are_told_that_an_engine_has() -> None:
    subject = index(A, B)
    subject.use(A, prefix(1, 2))
    subject.use(B, prefix(3))
    prompts = [hashes(each) for each in (prefix(7), prefix(1, 2), prefix(), prefix(3, 4))]
    assert list(subject.fullest(prompts, {A, B})) == [(1, A, 2), (3, B, 1)]


def test_what_a_crowd_has_says_nothing_of_any_of_them() -> None:
    subject = index(*(engines := [EngineId(str(number)) for number in range(20)]))
    for engine_id in engines:
        subject.use(engine_id, prefix(1, 2))
    subject.use(engines[7], prefix(1, 2, 3))
    assert fullest(subject, prefix(1, 2, 3), *engines) == (engines[7], 3)
    assert fullest(subject, prefix(1, 2, 3), *engines[:7]) is None


def test_a_crowd_that_has_gone_is_none_any_more() -> None:
    subject = index(*(engines := [EngineId(str(number)) for number in range(CROWD + 1)]))
    for engine_id in engines:
        subject.use(engine_id, prefix(1, 2))
    assert subject.holders(prefix(1, 2)) == {}
    subject.leave(engines[0])
    assert subject.holders(prefix(1, 2)) == dict.fromkeys(engines[1:], 2)
    assert fullest(subject, prefix(1, 2), engines[1]) == (engines[1], 2)
    subject.join(engines[0], 100)
    subject.use(engines[0], prefix(1, 2))
    assert subject.holders(prefix(1, 2)) == {}


def test_an_engine_that_has_left_has_nothing_and_may_come_back_with_nothing() -> None:
    subject = index(A, B)
    for engine_id in (A, B):
        subject.use(engine_id, prefix(1, 2))
    subject.leave(A)
    subject.leave(A)
    assert subject.holders(prefix(1, 2)) == {B: 2}
    subject.join(A, 100)
    assert subject.holders(prefix(1, 2)) == {B: 2}


def test_a_use_tells_what_there_was_and_of_which_use() -> None:
    subject = index(A)
    first = subject.use(A, prefix(1, 2))
    assert first is not None
    assert (first.blocks, first.before) == (0, None)
    second = subject.use(A, prefix(1, 2, 3))
    assert second is not None
    assert (second.blocks, second.before) == (2, first.number)


def test_what_was_used_last_then_or_before_can_be_forgotten() -> None:
    subject = index(A)
    subject.use(A, prefix(1))
    second = subject.use(A, prefix(2))
    assert second is not None
    subject.use(A, prefix(3))
    subject.forget(A, second.number)
    assert [bool(subject.holders(prefix(first))) for first in (1, 2, 3)] == [False, False, True]


def test_the_same_prompt_again_and_again_takes_no_more_room() -> None:
    subject = index(A, most=20)
    for _ in range(1000):
        subject.use(A, prefix(*range(10)))
    assert len(subject) == 9


class Model:
    """What a cache has that forgets whole uses, the oldest first: all as it was used last, in a list."""

    def __init__(self) -> None:
        self.uses: list[tuple[int, ...]] = []

    def held(self, blocks: Sequence[int]) -> int:
        """Of a short prompt."""
        return max((_common(blocks, used) for used in self.uses), default=0)


def _common(one: Sequence[int], other: Sequence[int]) -> int:
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


short = st.lists(st.integers(0, 2), max_size=6).map(tuple)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("use"), st.sampled_from([A, B, C]), short),
        st.tuples(st.just("leave"), st.sampled_from([A, B, C]), st.just(())),
        st.tuples(st.just("join"), st.sampled_from([A, B, C]), st.just(())),
    ),
    max_size=30,
)


@given(steps)
def test_while_there_is_room_an_engine_has_the_longest_beginning_that_any_of_its_prompts_shares(
    steps: list[tuple[str, EngineId, tuple[int, ...]]],
) -> None:
    subject, models = index(), dict[EngineId, Model]()
    for step, engine_id, blocks in steps:
        match step:
            case "join":
                subject.join(engine_id, 10_000)
                models.setdefault(engine_id, Model())
            case "leave":
                subject.leave(engine_id)
                models.pop(engine_id, None)
            case "use":
                use = subject.use(engine_id, prefix(*blocks))
                if use is not None:
                    assert use.blocks == models[engine_id].held(blocks)
                    models[engine_id].uses.append(blocks)
        expected = {engine_id: held for engine_id, model in models.items() if (held := model.held(blocks))}
        assert subject.holders(prefix(*blocks)) == expected


@given(steps, st.integers(1, 12), st.integers(1, 30))
def test_it_is_never_larger_than_it_may_be(
    steps: list[tuple[str, EngineId, tuple[int, ...]]], blocks: int, most: int
) -> None:
    subject = index(most=most)
    for step, engine_id, used in steps:
        match step:
            case "join":
                subject.join(engine_id, blocks)
            case "leave":
                subject.leave(engine_id)
            case "use":
                subject.use(engine_id, prefix(*used))
                assert subject.held_blocks(engine_id) <= blocks
    for engine_id in (A, B, C):
        subject.use(engine_id, prefix(9))
    assert len(subject) <= most
    for engine_id in (A, B, C):
        subject.leave(engine_id)
    assert len(subject) == 0
    assert subject.holders(prefix(9)) == {}


# Predictions -----------------------------------------------------------------------------------------------------

JOB, NEXT = JobId("job_1"), JobId("job_2")


def predictions(*engines: EngineId, block_tokens: int = BLOCK, cache_tokens: int = 100 * BLOCK) -> Predictions:
    subject = Predictions(BLOCK)
    for engine_id in engines:
        subject.join(engine_id, cache_tokens, block_tokens)
    return subject


def test_what_an_engine_has_been_given_is_expected_there() -> None:
    subject = predictions(A, B)
    assert subject.begin(JOB, A, prefix(1, 2, 3), PROMPT_TOKENS) == 0
    assert subject.expected(prefix(1, 2, 9), PROMPT_TOKENS) == {A: 2 * BLOCK}
    assert subject.begin(NEXT, A, prefix(1, 2, 9), PROMPT_TOKENS) == 2 * BLOCK


def test_the_prompt_of_which_an_engine_that_suits_has_the_most() -> None:
    subject = predictions(A, B)
    subject.begin(JOB, A, prefix(1, 2, 3), PROMPT_TOKENS)
    subject.begin(NEXT, B, prefix(4), PROMPT_TOKENS)
    prompts = [hashes(each) for each in (b"", prefix(1, 9), prefix(4, 9), prefix(1, 2, 9), prefix(1, 2, 8))]
    assert subject.most_expected(prompts, {A, B}) == 3
    assert subject.most_expected(prompts, {B}) == 2
    assert subject.most_expected(prompts, set()) == 0


def test_an_engine_that_keeps_larger_blocks_has_only_whole_ones() -> None:
    subject = predictions(A, block_tokens=2 * BLOCK)
    subject.begin(JOB, A, prefix(1, 2, 3), PROMPT_TOKENS)
    assert subject.expected(prefix(1, 2, 3), PROMPT_TOKENS) == {A: 2 * BLOCK}
    assert subject.expected(prefix(1), PROMPT_TOKENS) == {A: 0}


def test_the_last_token_of_a_prompt_is_read_in_any_case() -> None:
    subject = predictions(A)
    subject.begin(JOB, A, prefix(1, 2), 2 * BLOCK)
    assert subject.expected(prefix(1, 2), 2 * BLOCK) == {A: BLOCK}
    assert subject.expected(prefix(1, 2), 2 * BLOCK + 1) == {A: 2 * BLOCK}


def test_all_that_is_told_is_added_up() -> None:
    subject = predictions(A)
    subject.begin(JOB, A, prefix(1, 2), 40)
    subject.found(JOB, 0)
    subject.begin(NEXT, A, prefix(1, 2), 50)
    subject.found(NEXT, 48)
    subject.found(NEXT, 48)  # once
    assert subject.totals == CacheTotals(prompt=90, predicted=32, actual=48)


def test_a_job_that_never_told_counts_nothing() -> None:
    subject = predictions(A)
    subject.begin(JOB, A, prefix(1, 2), 40)
    subject.end(JOB)
    subject.found(JOB, 0)
    assert subject.totals == CacheTotals()


def test_what_was_expected_in_vain_is_forgotten_with_all_that_is_older() -> None:
    subject = predictions(A)
    for number in range(4):
        subject.begin(JobId(f"job_{number}"), A, prefix(number), PROMPT_TOKENS)
        subject.found(JobId(f"job_{number}"), 0)
    subject.begin(JOB, A, prefix(2), PROMPT_TOKENS)
    subject.found(JOB, 0)
    expected = [subject.expected(prefix(number), PROMPT_TOKENS).get(A, 0) for number in range(4)]
    assert expected == [0, 0, BLOCK, BLOCK]  # of the third it has just read the prompt


def test_what_another_job_is_only_about_to_read_may_be_missing_without_a_consequence() -> None:
    subject = predictions(A)
    subject.begin(JobId("job_old"), A, prefix(7), PROMPT_TOKENS)
    subject.found(JobId("job_old"), 0)
    subject.begin(JOB, A, prefix(1), PROMPT_TOKENS)
    assert subject.begin(NEXT, A, prefix(1), PROMPT_TOKENS) == BLOCK
    subject.found(NEXT, 0)
    assert subject.expected(prefix(7), PROMPT_TOKENS) == {A: BLOCK}


def test_engines_without_a_cache_are_not_counted() -> None:
    subject = predictions(B)
    subject.join(A, 0, 0)
    assert subject.begin(JOB, A, prefix(1), PROMPT_TOKENS) == 0
    subject.found(JOB, 0)
    assert subject.totals == CacheTotals()


def test_jobs_of_an_engine_that_has_left_end_like_others() -> None:
    subject = predictions(A)
    subject.begin(JOB, A, prefix(1), PROMPT_TOKENS)
    subject.leave(A)
    subject.found(JOB, 0)
    assert not subject
    assert subject.expected(prefix(1), PROMPT_TOKENS) == {}
