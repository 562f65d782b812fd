"""Who is watched and hangs is ended once, whoever answers or waits for its turn is not."""

from msgspec.structs import replace

from actors.supervising.watch import Watch
from cluster.timing import Timing
from tests.support.clocks import StillClock
from tests.support.plain_system import run, settled
from tests.support.wards import RUNNING, PlainWard

TIMING = Timing(pulse_s=1.0, silent_s=1.5, stopped_s=2.0, stuck_s=4.0)


class Stage:
    def __init__(self, *wards: PlainWard) -> None:
        self.wards = list(wards)
        self.clock = StillClock()
        self.watch = Watch(TIMING, self.clock)

    async def look(self, times: int = 1) -> None:
        for _ in range(times):
            self.clock.advance(1.0)
            await self.watch.look(self.wards)
            await settled()


def test_a_stopped_process_is_ended_within_five_seconds() -> None:
    async def scenario() -> None:
        ward, other = PlainWard(), PlainWard("ledger")
        stage = Stage(ward, other)
        await stage.look(5)
        ward.stop()
        await stage.look(5)
        assert ward.ended == [ward.seen]
        assert other.ended == []
        stage.watch.stop()

    run(scenario())


def test_one_that_is_awake_is_never_looked_at() -> None:
    async def scenario() -> None:
        ward = PlainWard()
        ward.seen = replace(RUNNING, stopped=True)
        stage = Stage(ward)
        await stage.look(20)
        assert ward.ended == []
        assert ward.asked == 20

    run(scenario())


def test_one_that_waits_for_its_turn_is_left_alone() -> None:
    async def scenario() -> None:
        ward = PlainWard()
        stage = Stage(ward)
        ward.awake.clear()
        await stage.look(120)
        assert ward.ended == []
        assert ward.asked < 20, "questions pile up before a process that does not answer"
        ward.awake.set()
        await stage.look(3)
        assert ward.ended == []

    run(scenario())


def test_one_that_wakes_up_in_time_is_left_alone() -> None:
    async def scenario() -> None:
        ward = PlainWard()
        stage = Stage(ward)
        for _ in range(5):
            ward.stop()
            await stage.look(2)
            ward.awake.set()
            await stage.look(2)
        assert ward.ended == []

    run(scenario())


def test_one_that_is_gone_is_left_to_ray() -> None:
    async def scenario() -> None:
        ward = PlainWard()
        ward.gone = True
        ward.seen = None
        stage = Stage(ward)
        await stage.look(20)
        assert ward.ended == []

    run(scenario())


def test_the_one_in_its_place_has_all_the_time_again() -> None:
    async def scenario() -> None:
        ward = PlainWard()
        stage = Stage(ward)
        ward.stop()
        await stage.look(6)
        assert len(ward.ended) == 1
        ward.seen = replace(RUNNING, pid=8)  # it is being started, and answers nothing yet
        await stage.look(30)
        assert len(ward.ended) == 1
        stage.watch.stop()

    run(scenario())


def test_who_is_no_longer_there_is_no_longer_asked() -> None:
    async def scenario() -> None:
        ward = PlainWard("node/a")
        stage = Stage(ward)
        await stage.look(2)
        stage.wards = []
        await stage.look(2)
        assert ward.asked == 2

    run(scenario())
