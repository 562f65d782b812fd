"""The queue: an account's jobs first come first served in each lane, and whatever is done to it, it adds up."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from cluster.ids import AccountId, JobId, KeyId, NodeId
from cluster.messages.explanations import Turn
from cluster.messages.money import Rates
from cluster.messages.origin import Origin
from cluster.messages.work import ChatMessage, Form, Job, Output, Priority, Sampling
from cluster.prefixes.chain import HASH_BYTES
from cluster.queue import MOST_JUMPED, SUSPECT_AFTER, JobQueue, LaneId, Waiting
from tests.support.marked_texts import any_mark

HASH = bytes(HASH_BYTES)
M = LaneId("m")
ACCOUNT = AccountId("acct")


def waiting(
    name: str,
    model: str = "m",
    node: str | None = None,
    attempt: int = 1,
    account: str = "acct",
    priority: Priority = "normal",
    prefix: bytes = b"",
) -> Waiting:
    job = Job(
        id=JobId(name),
        account_id=AccountId(account),
        key_id=KeyId("key"),
        model=model,
        messages=(),
        sampling=Sampling(),
        created_ms=0,
        deadline_ms=0,
        node_id=NodeId(node) if node else None,
        priority=priority,
    )
    return Waiting(job, attempt, prefix=prefix)


def push(queue: JobQueue, item: Waiting, first: bool = False) -> None:
    queue.push(item.lane, item, first)


def drained(queue: JobQueue, lane: LaneId = M) -> list[str]:
    names = []
    while (item := queue.pop(lane)) is not None:
        names.append(str(item.job.id))
    return names


def test_first_come_first_served() -> None:
    queue = JobQueue()
    for name in "abc":
        queue.push(M, waiting(name))
    assert queue.lanes() == [M]
    assert drained(queue) == ["a", "b", "c"]


def test_an_accounts_jobs_come_by_their_priority_which_gives_nothing_over_other_accounts() -> None:
    queue = JobQueue()
    push(queue, waiting("other's", account="other"))
    push(queue, waiting("whenever", priority="low"))
    for name in "ab":
        push(queue, waiting(name))
    push(queue, waiting("now", priority="high"))
    push(queue, waiting("other's low", account="other", priority="low"))
    assert queue.order(M) == ["now", "a", "b", "whenever", "other's", "other's low"]
    first = queue.pop(M)
    assert first is not None and first.job.id == "other's"
    queue.charge("m", AccountId("other"), output_tokens=10)
    assert queue.remove(M, ACCOUNT, JobId("b")).job.id == "b"
    assert drained(queue) == ["now", "a", "whenever", "other's low"]


def test_it_is_told_whose_turn_is_before_a_jobs() -> None:
    queue = JobQueue()
    queue.weigh({AccountId("other"): 2})
    for name in "ab":
        push(queue, waiting(name))
    push(queue, waiting("now", priority="high"))
    push(queue, waiting("x", account="other"))
    push(queue, waiting("y", account="third"))
    assert queue.turn(M, ACCOUNT, JobId("b")) == Turn("normal", own_before=2)
    queue.charge("m", ACCOUNT, output_tokens=50)
    queue.charge("m", AccountId("third"), prompt_tokens=30)
    push(queue, waiting("again", attempt=2, priority="low"), first=True)
    push(queue, waiting("and again", attempt=2), first=True)
    assert queue.turn(M, ACCOUNT, JobId("now")) == Turn("high", False, 2, 2, 0, 100.0, 0.0, 1)
    assert queue.turn(M, AccountId("third"), JobId("y")) == Turn("normal", False, 2, 1, 0, 30.0, 0.0, 1)
    assert queue.turn(M, AccountId("other"), JobId("x")) == Turn("normal", False, 2, 0, 0, 0.0, 0.0, 2)
    assert queue.turn(M, ACCOUNT, JobId("again")) == Turn("low", resumes=True, resumed_before=1)


def test_a_job_that_lost_its_engine_is_first() -> None:
    queue = JobQueue()
    push(queue, waiting("a"))
    push(queue, waiting("again", attempt=2), first=True)
    assert drained(queue) == ["again", "a"]


def test_a_pinned_job_holds_up_nobody() -> None:
    queue = JobQueue()
    push(queue, waiting("pinned", node="n"))
    push(queue, waiting("free"))
    push(queue, waiting("other", model="other"))
    assert queue.lanes() == [LaneId("m", NodeId("n")), M, LaneId("other")]
    assert queue.pinned_lanes() == [(LaneId("m", NodeId("n")), NodeId("n"))]
    assert queue.waiting_for("m") == 2
    assert drained(queue) == ["free"]
    assert drained(queue, LaneId("m", NodeId("n"))) == ["pinned"]


def test_suspects_wait_in_a_lane_of_their_own_which_comes_first() -> None:
    queue = JobQueue()
    push(queue, waiting("innocent"))
    push(queue, replace(waiting("lost once"), losses=SUSPECT_AFTER - 1))
    push(queue, replace(waiting("suspect"), losses=SUSPECT_AFTER))
    suspects = LaneId("m", suspect=True)
    assert queue.lanes() == [suspects, M]
    assert queue.waiting_for("m") == 3
    assert (drained(queue, suspects), drained(queue)) == (["suspect"], ["innocent", "lost once"])


def test_a_lane_in_which_nothing_waits_is_gone() -> None:
    queue = JobQueue()
    push(queue, waiting("a"))
    queue.remove(M, ACCOUNT, JobId("a"))
    assert queue.lanes() == []
    assert queue.pop(M) is None


def test_a_lane_is_cleared_alone_and_in_its_order() -> None:
    queue = JobQueue()
    for name in "ba":
        push(queue, waiting(name, node="n"))
    push(queue, waiting("free"))
    assert [item.job.id for item in queue.clear(LaneId("m", NodeId("n")))] == ["b", "a"]
    assert queue.clear(LaneId("m", NodeId("n"))) == []
    assert (len(queue), queue.waiting_for("m")) == (1, 1)
    assert drained(queue) == ["free"]


def test_a_lane_tells_its_order_and_a_model_its_lanes() -> None:
    queue = JobQueue()
    for name in "ba":
        push(queue, waiting(name))
    push(queue, waiting("pinned", node="n"))
    push(queue, waiting("other", model="other"))
    assert queue.order(M) == ["b", "a"]
    assert queue.order(LaneId("nobody's")) == []
    assert queue.lanes_of("m") == [M, LaneId("m", NodeId("n"))]
    assert queue.waits(M) and not queue.waits(LaneId("nobody's"))
    assert queue.waiting_for("nobody's") == 0


texts = st.text(st.characters(codec="utf-8"), max_size=20)
counts = st.integers(0, 2**53)
FIELDS: dict[type, dict[str, st.SearchStrategy[object]]] = {
    ChatMessage: {"role": st.sampled_from(["system", "user", "assistant"]), "content": texts},
    Sampling: {
        "max_tokens": counts,
        "temperature": st.none() | st.floats(0, 2),
        "top_p": st.none() | st.floats(0, 1),
        "stop": st.lists(texts).map(tuple),
        "seed": st.none() | st.integers(-(2**63), 2**63 - 1),
        "json_schema": st.none() | texts,
        "min_tokens": counts,
        "include_stop_str_in_output": st.booleans(),
        "skip_special_tokens": st.booleans(),
        "others": st.dictionaries(
            texts, st.integers(0, 9) | st.lists(texts) | st.dictionaries(texts, st.floats(-1, 1))
        ),
        "n": st.integers(1, 128),
        "return_token_ids": st.booleans(),
        "return_tokens_as_token_ids": st.booleans(),
    },
    Rates: {"prompt": counts, "completion": counts},
    Output: {
        "text": texts,
        "token_ids": st.lists(counts).map(tuple),
        "ends": st.lists(counts).map(tuple),
        "epoch": st.integers(0, 9),
        "prompt_tokens": counts,
        "prompt_ids": st.lists(counts).map(tuple),
        "marks": st.lists(any_mark, max_size=3).map(tuple),
    },
    Form: {
        "kind": st.sampled_from(["chat", "completion"]),
        "body": texts,
        "why": texts,
        "prompts": st.integers(1, 9),
        "media": st.lists(texts).map(tuple),
    },
}
FIELDS[Job] = {
    "id": texts,
    "account_id": texts,
    "key_id": texts,
    "model": texts,
    "messages": st.lists(st.builds(ChatMessage, **FIELDS[ChatMessage])).map(tuple),
    "sampling": st.builds(Sampling, **FIELDS[Sampling]),
    "created_ms": counts,
    "deadline_ms": counts,
    "node_id": st.none() | texts,
    "metadata": st.dictionaries(texts, texts),
    "prompt_tokens": st.none() | counts,
    "rates": st.builds(Rates, **FIELDS[Rates]),
    "priority": st.sampled_from(["high", "normal", "low"]),
    "form": st.none() | st.builds(Form, **FIELDS[Form]),
    "adapter": texts,
    "webhook_id": st.none() | texts,
    "origin": st.builds(Origin, texts, texts),
    "adapter_number": counts,
}
FIELDS[Waiting] = {
    "job": st.builds(Job, **FIELDS[Job]),
    "attempt": st.integers(1, 9),
    "resume": st.builds(Output, **FIELDS[Output]),
    "losses": st.integers(0, 9),
    "failures": st.integers(0, 9),
    "prefix": st.binary(max_size=32),
    "moved_by": st.none() | st.sampled_from(["engine died", "engine retired"]),
}


@given(st.builds(Waiting, **FIELDS[Waiting]))
def test_a_job_comes_out_as_it_went_in(item: Waiting) -> None:
    queue = JobQueue()
    lane = item.lane
    queue.push(lane, item)
    assert queue.waiting(lane, item.job.account_id, item.job.id) == item
    assert queue.remove(lane, item.job.account_id, item.job.id) == item


@pytest.mark.parametrize("kind", FIELDS)
def test_every_field_is_tried(kind: type) -> None:
    """A field that is new in a message has to be given to the test above."""
    assert list(FIELDS[kind]) == list(kind.__struct_fields__)


names = st.sampled_from("abcdef")


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("push"), names, st.sampled_from(["m", "n"]), st.booleans()),
            st.tuples(st.just("remove"), names, st.just(""), st.just(False)),
        ),
        max_size=40,
    )
)
def test_it_equals_a_list_for_each_model(steps: list[tuple[str, str, str, bool]]) -> None:
    queue = JobQueue()
    lanes: dict[str, list[str]] = {"m": [], "n": []}
    for step, name, model, first in steps:
        waits_in = next((model for model, lane in lanes.items() if name in lane), None)
        if step == "remove" and waits_in is not None:
            assert queue.remove(LaneId(waits_in), ACCOUNT, JobId(name)).job.id == name
            lanes[waits_in].remove(name)
        elif step == "push" and waits_in is None:
            push(queue, waiting(name, model), first)
            lanes[model].insert(0 if first else len(lanes[model]), name)
        assert len(queue) == sum(map(len, lanes.values()))
        for model, lane in lanes.items():
            assert queue.waiting_for(model) == len(lane)
        assert {lane.model for lane in queue.lanes()} == {model for model, lane in lanes.items() if lane}
    for model, lane in lanes.items():
        assert drained(queue, LaneId(model)) == lane


# Jobs that go before others of their account -----------------------------------------------------------------------


def longest(chains: Sequence[Sequence[int]]) -> int:
    """The first of those with the longest prefix."""
    return max(range(len(chains)), key=lambda position: (len(chains[position]), -position))


def test_a_preferred_job_goes_before_a_few_of_its_account() -> None:
    queue = JobQueue()
    for number in range(MOST_JUMPED + 2):
        push(queue, waiting(str(number), prefix=HASH * number))
    taken, passed = queue.pop_preferred(M, longest)
    assert (taken.job.id, passed) == (str(MOST_JUMPED), MOST_JUMPED)


def test_a_preferred_job_goes_before_no_other_accounts_and_no_more_urgent_one() -> None:
    queue = JobQueue()
    push(queue, waiting("now", priority="high"))
    push(queue, waiting("preferred", prefix=HASH))
    push(queue, waiting("other's", account="other"))
    assert queue.pop_preferred(M, longest)[0].job.id == "now"
    queue.charge("m", ACCOUNT, prompt_tokens=1)
    assert queue.pop_preferred(M, longest)[0].job.id == "other's"


def test_a_job_that_lost_its_engine_is_never_passed() -> None:
    queue = JobQueue()
    push(queue, waiting("preferred", prefix=HASH))
    push(queue, waiting("lost"), first=True)
    assert queue.pop_preferred(M, longest)[0].job.id == "lost"


@given(st.lists(st.integers(0, 3), min_size=1, max_size=30), st.data())
def test_no_job_is_passed_by_more_than_a_few_and_none_passes_more(lengths: list[int], data: st.DataObject) -> None:
    queue = JobQueue()
    left: list[str] = []
    passed_by: dict[str, int] = {}

    def take_one() -> None:
        taken, passed = queue.pop_preferred(M, longest)
        assert left.index(str(taken.job.id)) == passed <= MOST_JUMPED
        for earlier in left[:passed]:
            passed_by[earlier] = passed_by.get(earlier, 0) + 1
        left.remove(str(taken.job.id))

    for number, length in enumerate(lengths):
        push(queue, waiting(str(number), prefix=HASH * length))
        left.append(str(number))
        if data.draw(st.booleans()):
            take_one()
    while left:
        take_one()
    assert max(passed_by.values(), default=0) <= MOST_JUMPED
