"""A model of the catalogue, as the network serves it: its engines, how many there are to be, and how starts went."""

from collections import deque
from collections.abc import Sequence

from cluster.added import Overruled
from cluster.catalogue import Adapter, Model, Replicas
from cluster.fleet.adapters import LoadedAdapters
from cluster.fleet.adapting import Adapting
from cluster.fleet.backoff import StartBackoff
from cluster.fleet.bounds import bounds_of
from cluster.fleet.gpu_memory import Demand
from cluster.fleet.makes import make_of
from cluster.fleet.replica import Replica
from cluster.fleet.rolling import Rolling
from cluster.fleet.scaling import Load, ModelScaling
from cluster.fleet.seat import Seat
from cluster.ids import EngineId
from cluster.messages.machines import AdapterView, EngineReport, Make, ModelState, ModelView
from cluster.messages.models import EngineFailure, ModelDetail, ModelSettings
from cluster.placement import Answers, Cached, Loaded, Ranking, ruled_out_by
from cluster.prefixes.predictions import Predictions
from cluster.queue import LaneId

_FAILURES_TOLD = 5

_LIKELY = 4
"""So many of the least loaded engines are asked for what they have of a prompt, besides those that have the most."""


class ServedModel:
    """Sole owner of what is known of one model. `counted` are the engines that are to stay; the others retire.

    `waiting` are the seats in which there is to be an engine, and none is ordered yet.
    """

    def __init__(self, model: Model, scaling_window_s: float) -> None:
        self.model = model
        self.make = make_of(model)
        """What its engines are made of by its settings now."""
        self.replicas: dict[EngineId, Replica] = {}
        self.counted: dict[EngineId, Replica] = {}
        self.waiting: dict[EngineId, Seat] = {}
        self.ranking = Ranking()
        self.predictions = Predictions(model.prefix_tokens)
        self.answers = Answers()
        self.adapters = LoadedAdapters()
        self.adapting = Adapting(model.adapters)
        self.scaling = ModelScaling(model.replicas, scaling_window_s)
        self.admins = ModelSettings(model.id)
        """What admins have set of it."""
        self._overruled: Sequence[Overruled] = ()
        self.failures: deque[EngineFailure] = deque(maxlen=_FAILURES_TOLD)
        """The last of its engines that failed."""
        self.rolling = Rolling(self)
        self.backoff = StartBackoff()
        self.demand: Demand | None = None
        """What its engines take of GPUs' memory; None where that is not known."""
        self.ended = 0
        """How many jobs its engines have ended or handed on."""
        self._context_length = _declared(model, model.traits.context_option)
        self._slots = _declared(model, model.traits.slots_option)

    # What admins set ----------------------------------------------------------------------------------------------

    def set(self, model: Model, admins: ModelSettings, overruled: Sequence[Overruled] = ()) -> bool:
        """Go by what admins have set of it from now on. True where that changes anything.

        `model` has all of its adapters; what admins have added to it besides is `overruled`.
        """
        if admins == self.admins and model.adapters == self.model.adapters:
            return False
        self.model = model
        self._overruled = overruled
        self.adapting.want(model.adapters, admins.removed)
        if admins.restarts != self.admins.restarts:
            self.make = make_of(self.model, admins.restarts)
            self.backoff.try_anew()
        self.admins = admins
        self.scaling.bound(bounds_of(self.model.replicas, admins))
        for replica in self.counted.values():
            replica.look_again()
        return True

    @property
    def bounds(self) -> Replicas:
        """How many replicas of it there may be."""
        return self.scaling.bounds

    # Its engines --------------------------------------------------------------------------------------------------

    def hear(self, report: EngineReport, is_outdated: bool) -> None:
        """Remember what an engine told of all. An outdated one tells no more than how many jobs one may run at once."""
        if is_outdated:
            self._slots = self._slots or report.slots
        else:
            self._slots = report.slots or self._slots
            self._context_length = report.context_length or self._context_length

    @property
    def context_length(self) -> int | None:
        """In tokens, as its engines told or the catalogue says; None before either has.

        While some are outdated, a job goes to whichever is free, and so has to fit all of them.
        """
        if not self.rolling.outdated:
            return self._context_length
        told = [replica.report.context_length for replica in self.rolling.outdated.values() if replica.report]
        return min(filter(None, [self._context_length, *told]), default=None)

    def ready(self) -> list[Replica]:
        return [replica for replica in self.replicas.values() if replica.state == "ready"]

    @property
    def serves(self) -> bool:
        """Whether an engine of it is ready."""
        return any(replica.state == "ready" for replica in self.replicas.values())

    def free_slots(self) -> int:
        """How many more jobs can be given to its engines now."""
        candidates = [replica.candidate() for replica in self.counted.values()]
        return sum(c.slots - c.running for c in candidates if ruled_out_by(c, None) is None)

    def cached(self, prefix: bytes, prompt_tokens: int) -> Cached:
        """How many tokens of such a prompt its engines are expected to have, as far as that is worth knowing."""
        return self.predictions.expected(prefix, prompt_tokens, self.ranking.likely(_LIKELY))

    def having(self, adapter: str) -> Loaded:
        """The engines that have this adapter loaded, as far as that is worth knowing."""
        return self.adapters.having(adapter, self.ranking)

    def preferred(self, lane: LaneId, chains: Sequence[Sequence[int]]) -> int:
        """The position of the prompt of which one of the engines that have room has most; of equals the first."""
        return self.predictions.most_expected(chains, self.ranking.takers(lane.node_id, lane.suspect))

    @property
    def missing(self) -> int:
        """How many of its engines are neither there nor asked for."""
        return self.scaling.wanted + self.rolling.missing - len(self.counted) - len(self.waiting)

    @property
    def can_spare_one(self) -> bool:
        """It would still have as many as it has to have."""
        return len(self.counted) > self.bounds.min and self.scaling.wanted > self.bounds.min

    def may_adopt(self, made_of: Make | None) -> bool:
        """There may be one more that is made of this; of those that are as wanted, whatever else there is."""
        if made_of is None or made_of == self.make:
            return len(self.counted) - len(self.rolling.outdated) < self.bounds.max
        return len(self.counted) < self.bounds.max + 1

    def scale(self, waiting: int, now_s: float) -> Sequence[Seat]:
        """Decide how many there are to be. Those too many retire; while some are missing, those that retire stay.

        What is outdated retires first, and never stays. Returns the seats that are not needed any more, the last to
        come first.
        """
        self.scaling.decide(self._load(waiting), now_s)
        retired = [r for r in self.replicas.values() if r.may_stay]
        for replica in retired[: max(self.scaling.wanted - len(self.counted), 0)]:
            replica.stay()
        for replica in self.rolling.unneeded():
            replica.retire(now_s)
        surplus = len(self.counted) + len(self.waiting) - self.scaling.wanted - self.rolling.most_besides
        if surplus <= 0:
            return ()
        given_up = sorted(self.waiting.values(), key=_hope)[:surplus]
        for replica in sorted(self.counted.values(), key=_usefulness)[: surplus - len(given_up)]:
            replica.retire(now_s)
        return given_up

    def _load(self, waiting: int) -> Load:
        running = sum(len(replica.tokens_of) for replica in self.replicas.values())
        starting = sum(replica.state != "ready" for replica in self.counted.values())
        coming = sum(not seat.is_stuck for seat in self.waiting.values())
        on_the_way = starting + coming
        if self.rolling.outdated:  # what only takes the place of another keeps nobody waiting
            on_the_way = min(on_the_way, max(self.scaling.wanted - len(self.ready()), 0))
        replicas = len(self.counted) + len(self.waiting)
        return Load(waiting, running, replicas, on_the_way, self._slots, self.ended)

    # What can be expected of it -----------------------------------------------------------------------------------

    @property
    def is_idle(self) -> bool:
        """There is no engine of it, and there is to be none before it has a job."""
        return self.scaling.wanted == 0 and not self.counted and not self.waiting

    @property
    def is_starting(self) -> bool:
        """No engine of it is ready, and one starts, or waits for a machine to come."""
        return not self.serves and self._has_place

    @property
    def is_coming(self) -> bool:
        """Whether an engine that starts, or is about to, is expected to come up."""
        return self.backoff.is_hopeful and (self._has_place or self.backoff.is_pausing)

    @property
    def _has_place(self) -> bool:
        """An engine of it is somewhere, or waits for a place that there may be."""
        return bool(self.counted) or (bool(self.waiting) and self.backoff.no_room_since_s is None)

    def can_be_started(self, now_s: float) -> bool:
        """There is no engine of it, and one would be tried for a job, where there is room."""
        is_tried_again = self.backoff.is_hopeful or now_s >= self.backoff.retry_at_s
        waits_for_room = not self.counted and self.backoff.no_room_since_s is not None
        return (self.is_idle or waits_for_room) and is_tried_again

    # What clients are told ----------------------------------------------------------------------------------------

    def view(self, queued: int, now_s: float) -> ModelView:
        ready = self.ready()
        return ModelView(
            id=self.model.id,
            state=self.state,
            fits=self.backoff.no_room_since_s is None,
            message=self.backoff.message,
            nodes=len({machine.id for replica in ready for machine in replica.machines if machine.online}),
            replicas=len(ready),
            queued=queued,
            context_length=self.context_length or 0,
            wanted=self.scaling.wanted,
            scaling="; ".join(filter(None, [self.scaling.reason, self.rolling.state])),
            starting="" if self.rolling.ready else self.waits_for(now_s),
            cache=self.predictions.totals,
            adapters=(
                *(self._adapter_view(adapter) for adapter in self.model.adapters),
                *(AdapterView(each.adapter, 0, missing=True, message=each.reason) for each in self._overruled),
            ),
            leased=sum(len(replica.tokens_of) for replica in self.replicas.values()),
        )

    def _adapter_view(self, adapter: Adapter) -> AdapterView:
        having, lacks = self.adapters.engines(adapter.id), self.adapting.lacks(adapter.id)
        return AdapterView(adapter, having, lacks, self.adapting.message(adapter.id))

    def detail(self, queued: int, now_s: float, now_ms: int) -> ModelDetail:
        """All that is known of it."""
        replicas = [replica.view(now_s, now_ms) for replica in self.replicas.values()]
        view, failures = self.view(queued, now_s), tuple(self.failures)
        return ModelDetail(view, self.bounds, self.admins.sets_bounds, tuple(replicas), failures)

    def waits_for(self, now_s: float) -> str:
        """What the engine that is nearest to being ready waits for."""
        starting = [replica for replica in self.counted.values() if replica.state != "ready"]
        if starting:
            return max((replica.phase for replica in starting), key=len)
        placed = [seat for seat in self.waiting.values() if not seat.waits]
        if placed:
            return "its machine has come; the node there is being started"
        if first := min(self.waiting.values(), key=lambda seat: seat.since_s, default=None):
            return f"waits for {'room' if first.is_stuck else 'a machine'}, for {now_s - first.since_s:.0f} s now"
        return ""

    @property
    def state(self) -> ModelState:
        if self.serves:
            return "ready"
        if self.backoff.message and not self.is_coming:
            return "failed"
        return "idle" if self.is_idle else "starting"


def _usefulness(replica: Replica) -> tuple[bool, int]:
    """What is lost with an engine: nothing while it starts, then the room that its jobs would need elsewhere."""
    return replica.state == "ready", len(replica.tokens_of)


def _hope(seat: Seat) -> tuple[bool, bool, float]:
    """How near this seat is to having an engine."""
    return not seat.waits, not seat.is_stuck, -seat.since_s


def _declared(model: Model, option: str) -> int | None:
    """What the catalogue says of the model's engines, in the words of its backend."""
    declared = model.engine.get(option)
    return declared if isinstance(declared, int) else None
