"""A model's settings change under running engines: they are replaced one after the other, and serve until then."""

import pytest

from cluster.catalogue import Model, Replicas
from cluster.ids import JobId, NodeId
from tests.support.rolling import RollingStage

N0 = NodeId("node_0")
M = Model(id="m", source="s", gpus=1, cpus=1.0, replicas=Replicas(1, 1, drain_s=30))


def model(least: int, most: int | None = None, **settings: object) -> Model:
    return Model(
        **{"id": "m", "source": "s", "gpus": 1, "cpus": 1.0, "replicas": Replicas(least, most or least), **settings}  # type: ignore[arg-type]
    )


def served(stage: RollingStage) -> RollingStage:
    stage.settle()
    assert len(stage.new()) == stage.model.replicas.min
    return stage


def least_ready(stage: RollingStage, beats: int = 60) -> int:
    """The fewest engines that were ready while everything came about."""
    least = len(stage.ready())
    for _ in range(beats):
        stage.beat()
        least = min(least, len(stage.ready()))
        stage.load()
        least = min(least, len(stage.ready()))
    return least


def changed(stage: RollingStage, **settings: object) -> RollingStage:
    """The new Scheduler has heard of the engines that run."""
    stage.change(**(settings or {"engine": {"max_num_seqs": 7}}))
    stage.beat()
    return stage


def test_one_more_than_wanted_serves_until_all_are_new() -> None:
    stage = served(RollingStage(model(3), 4))
    changed(stage)
    old = list(stage.engines)[:3]
    assert stage.view.scaling == "3 replicas, a fixed number: no jobs; 3 of 3 replicas are of the settings before"
    seen = []
    for _ in range(30):
        stage.beat()
        stage.load()
        seen.append((len(stage.ready()), len(stage.engines)))
    assert min(ready for ready, _ in seen) == 3 and max(there for _, there in seen) == 4
    assert len(stage.new()) == len(stage.engines) == 3
    assert not set(old) & set(stage.engines)
    assert stage.view.scaling == "3 replicas, a fixed number: no jobs"


def test_nothing_is_replaced_where_nothing_of_an_engine_has_changed() -> None:
    stage = served(RollingStage(model(2), 3))
    before = list(stage.engines)
    changed(stage, max_queue=5, replicas=Replicas(2, 3))
    stage.settle()
    assert list(stage.engines) == before


def test_what_books_nothing_needs_no_seat_for_one_more() -> None:
    stage = served(RollingStage(model(2, gpus=0, cpus=0.0), 0))
    changed(stage)
    assert least_ready(stage) == 2
    assert len(stage.new()) == len(stage.engines) == 2


def test_where_there_is_no_room_for_one_more_one_of_them_makes_it() -> None:
    stage = served(RollingStage(model(3), 3))
    changed(stage)
    assert stage.view.fits
    assert least_ready(stage) == 2
    assert len(stage.new()) == 3
    assert stage.view.fits


def test_the_only_one_makes_room_and_the_model_says_so() -> None:
    stage = served(RollingStage(model(1), 1))
    stage.change(engine={"max_num_seqs": 7})
    stage.beat()
    (replica,) = stage.fleet.replicas
    replica.assign("a", 10)
    stage.beat()
    assert (replica.makes_room, stage.ready()) == (True, [])
    assert stage.view.scaling.endswith("1 of 1 replica is of the settings before; one makes room for the next")
    assert stage.fleet.can_serve("m", None, stage.now_s)  # jobs wait for the next
    replica.release("a")
    stage.beat()
    assert stage.view.starting.startswith("waits for room")
    stage.settle()
    assert len(stage.new()) == 1
    assert (stage.view.state, stage.view.fits, stage.view.message) == ("ready", True, "")


def test_old_ones_serve_on_where_the_new_do_not_load_and_it_is_told_why() -> None:
    stage = served(RollingStage(model(2), 3))
    changed(stage)
    stage.fails.add(stage.make.fingerprint)
    assert least_ready(stage, 900) == 2
    assert stage.view.state == "ready"
    assert stage.view.message == "out of memory"
    assert stage.view.scaling.endswith("; 2 of 2 replicas are of the settings before")


def test_no_other_makes_room_while_one_that_is_not_needed_ends_its_jobs() -> None:
    stage = served(RollingStage(model(2), 3))
    changed(stage)
    for replica in list(stage.fleet.replicas):
        replica.assign(JobId(f"job of {replica.id}"), 10)
    for _ in range(10):
        stage.beat()
        stage.load()
    assert len(stage.ready()) == 2
    assert len(stage.engines) == 3  # one of them retires, and holds the place of the next
    assert (stage.view.fits, stage.view.message) == (True, "")


def test_what_starts_by_settings_that_are_outdated_meanwhile_is_not_waited_for() -> None:
    stage = served(RollingStage(model(1), 2))
    changed(stage)
    (first,) = stage.starting()
    changed(stage, engine={"max_num_seqs": 8})
    stage.beat()
    stage.beat()
    assert first not in stage.engines
    stage.settle()
    assert len(stage.new()) == 1


def test_none_makes_room_once_a_new_one_has_failed_to_load() -> None:
    stage = served(RollingStage(model(1), 1, 1))
    changed(stage)
    stage.fails.add(stage.make.fingerprint)
    stage.load()
    stage.beat()
    assert stage.view.message == "out of memory"
    (spare,) = {"node_0", "node_1"} - {engine.node_id for engine in stage.engines.values() if engine.state == "ready"}
    stage.gpus[NodeId(spare)] = 0
    assert least_ready(stage, 300) == 1


def test_none_makes_room_while_another_one_starts() -> None:
    stage = RollingStage(model(2, 4, replicas=Replicas(2, 4, target_jobs=1)), 3)
    served(stage)
    changed(stage)
    stage.jobs = 4
    for _ in range(5):
        stage.beat()
    assert (len(stage.ready()), len(stage.starting()), stage.view.wanted) == (2, 1, 4)
    stage.load()
    assert least_ready(stage) == 2
    assert len(stage.new()) == 3


def test_none_makes_room_while_a_machine_comes() -> None:
    stage = served(RollingStage(model(2), 2))
    stage.cluster.elastic = True
    changed(stage)
    stage.settle()
    assert (len(stage.ready()), len(stage.new())) == (2, 0)
    for _ in range(10):
        stage.cluster.hopeless = set(stage.cluster.seats) - set(stage.cluster.places)
        stage.settle(3)
    assert len(stage.new()) == 2


def test_no_more_than_one_makes_room_for_what_does_not_load() -> None:
    stage = served(RollingStage(model(3), 3))
    changed(stage)
    stage.fails.add(stage.make.fingerprint)
    assert least_ready(stage, 900) == 2
    assert stage.view.message


def test_settings_that_are_taken_back_bring_back_what_is_still_there() -> None:
    stage = served(RollingStage(model(2), 3))
    before = set(stage.engines)
    stage.change(engine={"max_num_seqs": 7})
    stage.beat()
    stage.beat()
    assert len(stage.engines) == 3  # a new one starts
    changed(stage, engine={})
    stage.settle()
    assert set(stage.engines) == before


def test_when_there_are_to_be_fewer_the_outdated_go_first() -> None:
    stage = served(RollingStage(model(3), 4))
    stage.change(engine={"max_num_seqs": 7})
    while len(stage.new()) < 1:
        stage.beat()
        stage.load()
        stage.beat()
    new = stage.new()
    stage.change(replicas=Replicas(1, 1))
    stage.beat()
    stage.beat()
    assert list(stage.engines) == stage.ready() == new


def test_one_that_retires_for_a_new_one_never_stays() -> None:
    stage = served(RollingStage(model(1, 2, replicas=Replicas(1, 2, target_jobs=1)), 2))
    (before,) = stage.engines
    changed(stage)
    old = stage.fleet.replica(before)
    assert old is not None
    old.assign("a", 10)
    while old.retiring_since_s is None:
        stage.beat()
        stage.load()
    stage.jobs = 2
    stage.beat()
    assert old.retiring_since_s is not None
    assert stage.view.wanted == 2


def test_a_scheduler_that_begins_anew_in_the_middle_keeps_all_and_goes_on() -> None:
    stage = served(RollingStage(model(2), 3))
    stage.change(engine={"max_num_seqs": 7})
    stage.beat()
    stage.beat()
    stage.load()
    there = set(stage.engines)
    assert len(there) == 3
    stage.restart()
    stage.beat()
    assert set(stage.ready()) < there and len(stage.ready()) == 2  # and one of the old is not needed any more
    assert least_ready(stage) == 2
    assert len(stage.new()) == len(stage.engines) == 2


def test_old_ones_hold_what_they_booked() -> None:
    stage = served(RollingStage(model(1, gpus=2), 3))
    changed(stage, gpus=1)
    stage.beat()
    assert stage.view.fits
    assert [order.gpus for order in stage.booked(N0)] == [2, 1]
    assert least_ready(stage) == 1
    assert [order.gpus for order in stage.booked(N0)] == [1]


def test_those_that_share_a_place_make_room_for_one_that_needs_all_of_it() -> None:
    stage = served(RollingStage(model(2), 2))
    changed(stage, gpus=2, replicas=Replicas(1, 1))
    stage.settle()
    assert [order.gpus for order in stage.booked(N0)] == [2]
    assert len(stage.new()) == 1


def test_what_fits_nowhere_takes_no_place_from_what_serves() -> None:
    stage = served(RollingStage(model(2), 2))
    changed(stage, gpus=4)
    assert least_ready(stage) == 2
    assert not stage.view.fits
    assert (
        stage.view.message
        == "needs 4 GPUs and 1 CPUs free on one machine; the largest here has 2 GPUs and 16 CPUs in all"
    )


def test_labels_that_no_machine_has_take_no_place_from_what_serves() -> None:
    stage = served(RollingStage(model(1), 1))
    changed(stage, labels={"tier": "spot"})
    assert least_ready(stage, 200) == 1
    assert stage.view.message == (
        "needs 1 GPUs and 1 CPUs free on one machine with the labels tier: spot; none here has them"
    )
    stage.cluster.labels[N0] = {"tier": "spot"}
    stage.settle()
    assert len(stage.new()) == 1


def test_more_than_there_is_room_for_may_be_wanted_and_all_end_up_new() -> None:
    stage = RollingStage(model(1, 8, replicas=Replicas(1, 8, target_jobs=1)), 2)
    stage.jobs = 8
    stage.settle()
    assert (len(stage.new()), stage.view.wanted) == (2, 8)
    changed(stage)
    assert least_ready(stage, 200) == 1
    assert len(stage.new()) == 2


def test_a_job_has_to_fit_every_engine_that_it_may_go_to() -> None:
    stage = served(RollingStage(model(2, engine={"context_length": 128, "max_model_len": 128}), 3))
    changed(stage, engine={"context_length": 256, "max_model_len": 256})
    assert stage.fleet.models.context_length("m") == 128
    stage.settle()
    assert stage.fleet.models.context_length("m") == 256
    changed(stage, engine={"context_length": 64, "max_model_len": 64})
    assert stage.fleet.models.context_length("m") == 64
    (first, *_) = stage.fleet.replicas
    assert first.can_hand_on(64) and not first.can_hand_on(65)


@pytest.mark.parametrize(
    ("settings", "reads"),
    [({"engine": {"max_num_seqs": 7}}, True), ({"source": "t"}, False), ({"engine": {"tokenizer": "t"}}, False)],
    ids=["another option", "another source", "another tokenizer"],
)
def test_an_answer_goes_on_only_where_its_tokens_mean_the_same(settings: dict[str, object], reads: bool) -> None:
    stage = served(RollingStage(model(1), 2))
    (before,) = stage.engines
    changed(stage, **settings)
    old = stage.fleet.replica(before)
    assert old is not None
    assert (old.is_outdated, old.reads_as_wanted, old.can_hand_on(1)) == (True, reads, reads)
