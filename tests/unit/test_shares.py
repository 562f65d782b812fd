"""Whose turn it is: the scenarios of the paper that the rule is from (Sheng et al., OSDI 2024), and its counters."""

from hypothesis import given
from hypothesis import strategies as st

from cluster.ids import AccountId
from cluster.shares import OUTPUT_WEIGHT, Shares, Turns
from tests.support.sharing import Arrival, Engine, jain

A, B, C = AccountId("a"), AccountId("b"), AccountId("c")
SLOTS = 8


def flood(account: str, output_tokens: int = 100, jobs: int = 1_000, step: int = 0) -> list[Arrival]:
    return [Arrival(step, account, output_tokens) for _ in range(jobs)]


def trickle(account: str, every: int, until: int, output_tokens: int = 100, begin: int = 0) -> list[Arrival]:
    return [Arrival(step, account, output_tokens) for step in range(begin, until, every)]


# The scenarios of the paper ---------------------------------------------------------------------------------------


def test_who_trickles_beside_a_flood_takes_less_than_twice_what_it_takes_alone() -> None:
    trickling = trickle("few", every=150, until=3_000)
    took = [done.took for done in Engine([*flood("many"), *trickling], SLOTS).run(3_500).done if done.account == "few"]
    alone = [done.took for done in Engine(trickling, SLOTS).run(3_500).done]
    assert len(took) == len(alone) == 20
    assert max(took) < 2 * max(alone)
    in_order = Engine([*flood("many"), *trickling], SLOTS, in_order_of_arrival=True).run(3_500)
    assert [done for done in in_order.done if done.account == "few"] == []  # what it is without turns


def test_those_who_all_want_more_get_the_same_however_many_and_long_their_jobs_are() -> None:
    floods = [*flood("long", 400, jobs=200), *flood("short", 25, jobs=4_000), *flood("many", 100, jobs=9_000)]
    served = Engine(floods, SLOTS).run(4_000).between(500, 4_000)
    # As the paper says, they differ by no more than the longest jobs of an engine full of them.
    assert max(served.values()) - min(served.values()) < SLOTS * OUTPUT_WEIGHT * 400
    assert jain(served.values()) > 0.99
    in_order = Engine(floods, SLOTS, in_order_of_arrival=True).run(4_000).between(500, 4_000)
    assert jain(in_order[name] for name in ("long", "short", "many")) < 0.4


def test_with_weights_of_1_2_and_4_each_gets_so_much_of_what_there_is() -> None:
    floods = [*flood("one"), *flood("two"), *flood("four")]
    engine = Engine(floods, SLOTS, weights={AccountId("two"): 2, AccountId("four"): 4}).run(6_000)
    served = engine.between(500, 6_000)
    assert jain((served["one"], served["two"] / 2, served["four"] / 4)) > 0.99


def test_who_comes_late_has_earned_nothing_by_that() -> None:
    engine = Engine([*flood("early"), *flood("late", step=2_000)], SLOTS).run(4_000)
    assert engine.between(0, 2_000)["late"] == 0
    after = engine.between(2_200, 4_000)
    assert jain(after.values()) > 0.999
    # Nor does it get ahead at once: the first slots that are free are shared, too.
    assert engine.between(2_000, 2_200)["late"] <= 200 * SLOTS * OUTPUT_WEIGHT * 0.55 + 10 * SLOTS


def test_what_one_does_not_ask_for_is_lent_to_who_does() -> None:
    engine = Engine([*flood("many"), *trickle("few", every=500, until=4_000)], SLOTS).run(4_000)
    served = engine.between(1_000, 4_000)
    assert sum(served.values()) >= 3_000 * SLOTS * OUTPUT_WEIGHT  # no slot was empty
    assert served["many"] > 5 * served["few"]


def test_who_was_lent_the_share_of_others_does_not_pay_for_it_later() -> None:
    engine = Engine(
        [*flood("always", jobs=3_000), *flood("sometimes", jobs=60), *flood("sometimes", step=6_000)], SLOTS
    )
    assert jain(engine.run(9_000).between(6_200, 9_000).values()) > 0.999


# The counters -----------------------------------------------------------------------------------------------------


def test_the_account_with_the_least_is_next() -> None:
    shares = Shares({})
    turns = Turns(shares)
    assert turns.next() is None
    for account in (A, B, C):
        turns.join(account)
    shares.charge(A, prompt_tokens=10)
    shares.charge(B, output_tokens=4)
    assert (turns.next(), turns.in_order()) == (C, [C, B, A])
    shares.charge(C, prompt_tokens=9)
    assert turns.next() == B
    turns.leave(B)
    assert turns.next() == C


def test_equals_take_turns() -> None:
    shares = Shares({})
    turns = Turns(shares)
    for account in (A, B, C):
        turns.join(account)
    order = []
    for _ in range(6):
        account = turns.next()
        assert account is not None
        order.append(account)
        shares.charge(account, prompt_tokens=1)
    assert order == [A, B, C, A, B, C]


def test_who_comes_is_lifted_to_the_least_of_those_who_wait_and_never_lowered() -> None:
    shares = Shares({})
    turns = Turns(shares)
    turns.join(A)
    shares.charge(A, prompt_tokens=50)
    turns.join(B)
    assert shares.counter(B) == 50
    shares.charge(C, output_tokens=100)
    turns.join(C)
    assert shares.counter(C) == 200
    shares.begin_anew()
    assert shares.counter(C) == 0


@given(st.lists(st.tuples(st.sampled_from(["join", "leave", "charge"]), st.sampled_from("abcd"), st.integers(0, 9))))
def test_whatever_happens_the_next_is_one_of_those_who_wait_with_the_least(steps: list[tuple[str, str, int]]) -> None:
    shares = Shares({})
    turns = Turns(shares)
    waiting: set[AccountId] = set()
    for step, name, tokens in steps:
        account = AccountId(name)
        if step == "join" and account not in waiting:
            turns.join(account)
            waiting.add(account)
        elif step == "leave":
            turns.leave(account)
            waiting.discard(account)
        elif step == "charge":
            shares.charge(account, prompt_tokens=tokens)
        following = turns.next()
        assert (following is None) == (not waiting)
        if following is not None:
            assert following in waiting
            assert shares.counter(following) == min(map(shares.counter, waiting))
        assert set(turns.in_order()) == waiting
