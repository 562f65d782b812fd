"""The queue: first come first served in each lane, and whatever is done to it, it adds up."""

from hypothesis import given
from hypothesis import strategies as st

from cluster.ids import AccountId, JobId, KeyId, NodeId
from cluster.job_queue import JobQueue, Waiting
from cluster.messages import Job, Output, Sampling


def waiting(name: str, model: str = "m", node: str | None = None, attempt: int = 1) -> Waiting:
    job = Job(
        id=JobId(name),
        account_id=AccountId("acct"),
        key_id=KeyId("key"),
        model=model,
        messages=(),
        sampling=Sampling(),
        created_ms=0,
        deadline_ms=0,
        node_id=NodeId(node) if node else None,
    )
    return Waiting(job, attempt)


def drained(queue: JobQueue, model: str = "m") -> list[str]:
    names = [item.job.id for item in queue.of_model(model)]
    for name in names:
        queue.remove(name)
    return [str(name) for name in names]


def test_first_come_first_served() -> None:
    queue = JobQueue()
    for name in "abc":
        queue.push(waiting(name))
    assert [head.job.id for head in queue.heads()] == ["a"]
    assert drained(queue) == ["a", "b", "c"]


def test_a_job_that_lost_its_engine_is_first() -> None:
    queue = JobQueue()
    queue.push(waiting("a"))
    queue.push(waiting("again", attempt=2), first=True)
    assert drained(queue) == ["again", "a"]


def test_a_job_that_waits_already_stays_as_it_is() -> None:
    queue = JobQueue()
    queue.push(waiting("a"))
    queue.push(waiting("b"))
    queue.push(waiting("b", attempt=9), first=True)
    assert len(queue) == 2
    assert [(item.job.id, item.attempt) for item in queue.of_model("m")] == [("a", 1), ("b", 1)]


def test_a_pinned_job_holds_up_nobody() -> None:
    queue = JobQueue()
    queue.push(waiting("pinned", node="n"))
    queue.push(waiting("free"))
    queue.push(waiting("other", model="other"))
    assert [head.job.id for head in queue.heads()] == ["pinned", "free", "other"]
    assert queue.waiting_for("m") == 2


def test_behind_a_head_comes_the_next_of_its_lane() -> None:
    queue = JobQueue()
    first, second = waiting("a"), waiting("b")
    queue.push(first)
    queue.push(second)
    assert queue.remove("a") == first
    assert queue.behind(first) == second
    queue.remove("b")
    assert queue.behind(second) is None
    assert queue.heads() == []


def test_what_does_not_wait_cannot_be_removed() -> None:
    queue = JobQueue()
    assert queue.remove("a") is None
    assert "a" not in queue
    assert queue.waiting_for("m") == 0


def test_the_output_to_go_on_from_is_kept() -> None:
    queue = JobQueue()
    item = Waiting(waiting("a").job, 3, Output("text", (1, 2)))
    queue.push(item)
    assert "a" in queue
    assert queue.remove("a") == item


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
        if step == "remove":
            assert (queue.remove(name) is not None) == any(name in lane for lane in lanes.values())
            lanes = {key: [other for other in lane if other != name] for key, lane in lanes.items()}
        else:
            queue.push(waiting(name, model), first)
            if not any(name in lane for lane in lanes.values()):
                lanes[model].insert(0 if first else len(lanes[model]), name)
        assert len(queue) == sum(map(len, lanes.values()))
        for key, lane in lanes.items():
            assert [item.job.id for item in queue.of_model(key)] == lane
            assert queue.waiting_for(key) == len(lane)
        assert {head.job.id for head in queue.heads()} == {lane[0] for lane in lanes.values() if lane}
