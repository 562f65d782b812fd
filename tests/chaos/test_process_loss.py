"""Processes of the system are killed and stopped while streams run: every stream is told the undisturbed text."""

from collections.abc import Iterator

import pytest

from tests.chaos.disturbances import CORE, DATABASE, HAPROXY, REPLICA, Deed, Disturbance, may_lose_texts, name_of
from tests.chaos.streams import MODEL, SETTINGS, Streams, wait_until_whole, wrongs
from tests.support.serving import Serving

GO_ON_S = 10.0
STOPPED_S = 20.0


def kill(*processes: str) -> Disturbance:
    return tuple(Deed("kill", process) for process in processes)


# A bounded part: every kind of process once, and the pairs in which one should have helped the other.
# `make chaos` draws from all there is.
DISTURBANCES: list[Disturbance] = [
    kill("Engine"),
    kill("Journal"),
    kill("Scheduler", "Ledger"),
    kill("RateLimiter", "NodeAgent"),
    kill("Supervisor", "Scheduler"),
    kill(REPLICA, "Engine"),
    kill("Journal", "Engine"),
    kill(HAPROXY),
    (Deed("stop", "Journal", 2.0), Deed("kill", "Scheduler")),
    (Deed("lock", DATABASE, 7.0), *kill("Journal")),
    (Deed("take away", DATABASE, 4.0), *kill(*CORE)),
]


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    system = Serving(tmp_path_factory.mktemp("chaos"), SETTINGS)
    try:
        yield system.wait_until_ready(MODEL)
        assert system.stop() == 0
    finally:
        system.end()


@pytest.mark.parametrize("disturbance", DISTURBANCES, ids=name_of)
def test_streams_survive_the_loss_of(disturbance: Disturbance, serving: Serving) -> None:
    told = Streams(serving, name_of(disturbance)).read_under(disturbance)
    assert wrongs(serving, told, may_lose_texts(disturbance)) == []
    wait_until_whole(serving)


def test_streams_of_an_engine_that_is_stopped_go_on_within_10_s(serving: Serving) -> None:
    told = Streams(serving, "a stopped engine").read_under((Deed("stop", "Engine", STOPPED_S),))
    assert wrongs(serving, told) == []
    assert 0.5 < max(each.longest_pause_s for each in told) < GO_ON_S
    wait_until_whole(serving)
