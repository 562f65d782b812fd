"""Seats that wait in vain: why, whether that may change, and who makes room. Pure."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

from cluster.fleet import gpu_memory, room
from cluster.fleet.machine import Machine
from cluster.fleet.replica import Replica
from cluster.fleet.room import Room
from cluster.fleet.seat import Seat
from cluster.fleet.served_model import ServedModel
from cluster.ids import NodeId
from cluster.timing import Timing


class Shortages:
    """Looks at the seats for which no machine comes. `end` ends an engine that others are to have the place of."""

    def __init__(self, machines: Mapping[NodeId, Machine], timing: Timing, end: Callable[[Replica], None]) -> None:
        self._machines = machines
        self._timing = timing
        self._end = end

    def look(
        self,
        models: Iterable[ServedModel],
        placed: Iterable[Seat],
        replicas: Collection[Replica],
        now_s: float,
    ) -> None:
        """Note of each model whether there is no room for it. Idle engines of others end where that makes room.

        `placed` are the seats whose room is theirs already.
        """
        stuck_of = {served: [seat for seat in served.waiting.values() if seat.is_stuck] for served in models}
        free = self._left_by(placed) if any(stuck_of.values()) else Room(())
        for served, stuck in stuck_of.items():
            if reasons := self._reasons(stuck, free, replicas, now_s):
                served.backoff.no_room(reasons[0], now_s)
            else:
                served.backoff.found_room()

    def room_may_come(self, served: ServedModel, machines_come: bool, now_s: float) -> bool:
        """There is room for an engine of this model, or will be: machines come, or others end that can be spared."""
        seats = served.waiting.values()
        if machines_come and (not seats or any(not seat.is_stuck for seat in seats)):
            return True
        if any(self._is_held_by_others(seat, now_s) for seat in seats):
            return False
        return room.fits_on_enough(served.model, self._suitable(served), without=lambda replica: replica.may_go)

    def _left_by(self, placed: Iterable[Seat]) -> Room:
        free = Room(self._machines.values())
        for seat in placed:
            free.take(seat.peers.model, [machine.id for machine in seat.machines])
        return free

    def _reasons(self, stuck: Sequence[Seat], free: Room, replicas: Collection[Replica], now_s: float) -> list[str]:
        """Why there is no room for seats of one model. Once there is none for one of them, there is none for others."""
        reasons: list[str] = []
        for number, seat in enumerate(stuck):
            if reason := self._reason(seat, free, replicas, now_s):
                reasons.append(reason)
                if seat.fits_since_s is None:
                    for other in stuck[number:]:
                        other.fits_since_s = None
                    break
        return reasons

    def _reason(self, seat: Seat, free: Room, replicas: Collection[Replica], now_s: float) -> str | None:
        """Why there is no room for this seat; None where there is, or an engine ends for it."""
        model, suitable = seat.peers.model, self._suitable(seat.peers)
        if not free.take(model, among=[machine.id for machine in suitable]):
            seat.fits_since_s = None
            makes_room = self._make_room(seat.peers, replicas, now_s) or seat.peers.rolling.make_room(now_s)
            return None if makes_room else self._shortage(seat.peers)
        if seat.fits_since_s is None:
            seat.fits_since_s = now_s
        if self._is_held_by_others(seat, now_s) and not seat.peers.rolling.make_room(now_s, alone=True):
            return f"{room.need(model)}, and something else than models holds them"
        return None

    def _suitable(self, served: ServedModel) -> list[Machine]:
        """The machines whose GPUs are large enough."""
        return [each for each in self._machines.values() if gpu_memory.suits(served.model, served.demand, each)]

    def _shortage(self, served: ServedModel) -> str:
        machines = self._machines.values()
        too_small = gpu_memory.shortage(served.model, served.demand, machines)
        return too_small or room.shortage(served.model, machines)

    def _is_held_by_others(self, seat: Seat, now_s: float) -> bool:
        """There should have been room for it for so long that somebody else must have it."""
        return seat.fits_since_s is not None and now_s - seat.fits_since_s >= self._timing.room_s

    def _make_room(self, served: ServedModel, replicas: Collection[Replica], now_s: float) -> bool:
        """Whether idle engines of other models, which can spare them, make room by ending: one for each machine."""
        ending = room.to_end(served.model, self._suitable(served), self._spare(replicas, now_s))
        for replica in ending:
            replica.peers.scaling.spare()
            self._end(replica)
        return bool(ending)

    def _spare(self, replicas: Iterable[Replica], now_s: float) -> Iterator[Replica]:
        """Those that could all end, and their models would still have as many as they have to."""
        left: dict[str, int] = {}
        for replica in replicas:
            peers = replica.peers
            left.setdefault(peers.model.id, len(peers.counted) - peers.bounds.min)
            if left[peers.model.id] > 0 and self._is_spare(replica, now_s):
                left[peers.model.id] -= 1
                yield replica

    def _is_spare(self, replica: Replica, now_s: float) -> bool:
        """It has no job, its model wants no jobs done, and it has been here for long enough to be worth its start."""
        has_stayed = replica.ready_since_s is not None and now_s - replica.ready_since_s >= self._timing.seat_s
        return has_stayed and not replica.tokens_of and replica.peers.can_spare_one
