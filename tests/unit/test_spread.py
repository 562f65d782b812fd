"""A backend with parts on further machines: it loads, dies and ends as one."""

import asyncio
import threading
from collections.abc import Callable

import pytest

from actors.backends.base import BackendDied, Chunk, Loaded, Place, Sink
from actors.backends.simulated import SimulatedBackend
from actors.backends.simulated.part import SimulatedPart
from actors.backends.spread import SpreadBackend
from actors.backends.vllm.part import VllmPart
from actors.engine_part import EnginePart
from cluster.catalogue import Model
from tests.support.backend_suite import Inbox
from tests.support.plain_system import run

OPTIONS = {"first_token_s": 0.0, "token_s": 0.0}


class PlainParts:
    def __init__(self) -> None:
        self.lose: Callable[[str], None] = lambda reason: None
        self.begun = threading.Event()
        self.ended = False

    def begin(self, lost: Callable[[str], None]) -> None:
        self.lose = lost
        self.begun.set()

    def end(self) -> None:
        self.ended = True
        self.lose("it was ended")


class Waiting(SimulatedBackend):
    """A first part that waits for the others for as long as it is not closed."""

    def __init__(self) -> None:
        super().__init__(OPTIONS)
        self._closed = threading.Event()

    def load(self, sink: Sink, died: Callable[[BackendDied], None]) -> Loaded:
        self._closed.wait()
        raise BackendDied("closed")

    def close(self) -> None:
        self._closed.set()


def test_it_is_its_first_part_until_another_is_lost() -> None:
    parts, inbox = PlainParts(), Inbox()
    subject = SpreadBackend(SimulatedBackend(OPTIONS), parts)
    assert subject.load(inbox.sink, inbox.died).slots > 0
    assert parts.begun.is_set()
    parts.lose("its part on node_1: out of memory")
    parts.lose("another one")
    assert [str(death) for death in inbox.deaths] == ["its part on node_1: out of memory"]
    subject.close()
    assert parts.ended
    assert len(inbox.deaths) == 1


def test_a_part_that_is_lost_while_it_loads_is_why_it_does_not() -> None:
    parts, inbox = PlainParts(), Inbox()
    subject = SpreadBackend(Waiting(), parts)
    loading = threading.Thread(target=lambda: parts.begun.wait() and parts.lose("no GPU"), daemon=True)
    loading.start()
    with pytest.raises(BackendDied, match="no GPU"):
        subject.load(inbox.sink, inbox.died)
    subject.close()
    assert inbox.deaths == []


def test_what_keeps_the_first_part_from_loading_is_raised() -> None:
    class Broken(SimulatedBackend):
        def load(self, sink: Callable[[list[Chunk]], None], died: Callable[[BackendDied], None]) -> Loaded:  # type: ignore[override]
            raise FileNotFoundError("there is no folder /models")

    inbox = Inbox()
    with pytest.raises(BackendDied, match="there is no folder /models"):
        SpreadBackend(Broken(OPTIONS), PlainParts()).load(inbox.sink, inbox.died)


def test_a_part_answers_why_it_has_ended() -> None:
    class Broken:
        def run(self) -> None:
            raise BackendDied("out of memory")

        def close(self) -> None:
            pass

    assert run(EnginePart(Broken()).run()) == "out of memory"


def test_a_part_that_is_stopped_has_ended() -> None:
    async def scenario() -> None:
        part = EnginePart(SimulatedPart())
        running = asyncio.create_task(part.run())
        await part.stop()
        assert await running == "it was closed"

    run(scenario())


def test_a_part_of_vllm_without_its_weights_says_so() -> None:
    place = Place(1, "127.0.0.1", "127.0.0.1", 1)
    with pytest.raises(BackendDied, match="there is no folder /nowhere"):
        VllmPart(Model("m", source="/nowhere", machines=2), "/nowhere", place).run()


def test_nothing_is_told_once_it_is_closed() -> None:
    parts, inbox = PlainParts(), Inbox()
    subject = SpreadBackend(SimulatedBackend(OPTIONS), parts)
    subject.load(inbox.sink, inbox.died)
    subject.close()
    parts.lose("too late")
    assert inbox.deaths == []


def test_who_is_closed_while_it_loads_loads_no_more() -> None:
    parts, inbox = PlainParts(), Inbox()
    subject = SpreadBackend(Waiting(), parts)
    threading.Thread(target=lambda: parts.begun.wait() and subject.close(), daemon=True).start()
    with pytest.raises(BackendDied):
        subject.load(inbox.sink, inbox.died)
