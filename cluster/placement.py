"""Which engine a job goes to: filter, score, choose. Pure, and able to say why."""

import math
import sys
from bisect import bisect_left, insort
from collections.abc import Mapping, Set

from msgspec import Struct

from cluster.ids import EngineId, NodeId
from cluster.messages.placements import RuledOut, Verdict
from cluster.messages.work import Job

# An engine that fails at once always has the least to do: unless each failure outweighs a good deal of work
# elsewhere, it attracts every job.
FAILURE_COST_TOKENS = 10_000

# About what an engine generates while all its requests wait for an adapter to be read from disk.
LOADING_COST_TOKENS = 1_000

_CHARACTERS_PER_TOKEN = 4
_ANSWERS_REMEMBERED = 100

Cached = Mapping[EngineId, int]
"""How many tokens of a job's prompt engines have in their caches: none those that are not in it."""

NOTHING: Cached = {}

Loaded = Set[EngineId]
"""The engines that have a job's adapter loaded, as far as they are looked at; none of a job without one."""

NOWHERE: Loaded = frozenset()


class Candidate(Struct, frozen=True, gc=False):
    """An engine as the Scheduler sees it.

    `assigned_tokens` are those of the jobs given to it: what it has yet to read of each prompt, and each answer whole
    until it is released. `recent_failures` are the jobs that it failed in the last minute. `reached` is false while
    calls to it fail that may succeed again.
    """

    engine_id: EngineId
    node_id: NodeId
    ready: bool
    online: bool
    draining: bool
    running: int
    slots: int
    assigned_tokens: int
    recent_failures: int
    reached: bool = True
    has_suspect: bool = False


class _Place(Struct, frozen=True, order=True, gc=False):
    """Where an engine stands: its fields in the order that decides. No two engines get as far as the verdict."""

    ruled_out: bool
    score: int
    engine_id: EngineId
    verdict: Verdict
    has_suspect: bool


class Ranking:
    """The engines that a job of one model may go to, the best first.

    They are kept in their order as they change, so that a choice looks at the first only. A change is a binary search
    and a shift of pointers: less than building anything per engine, up to tens of thousands of them.
    """

    def __init__(self) -> None:
        self._places: list[_Place] = []
        self._place_of: dict[EngineId, _Place] = {}
        self._on_node: dict[NodeId, set[EngineId]] = {}
        self._free: set[EngineId] = set()

    def put(self, candidate: Candidate) -> None:
        """Give an engine the place it has now."""
        engine_id, place = candidate.engine_id, _place(candidate)
        before = self._place_of.get(engine_id)
        if before is not None and before.verdict.node_id == candidate.node_id:
            del self._places[bisect_left(self._places, before)]
        else:
            self.remove(engine_id)
            self._on_node.setdefault(candidate.node_id, set()).add(engine_id)
        insort(self._places, place)
        self._place_of[engine_id] = place
        if place.ruled_out:
            self._free.discard(engine_id)
        else:
            self._free.add(engine_id)

    def remove(self, engine_id: EngineId) -> None:
        """Consider this engine no longer. An unknown one is ignored."""
        place = self._place_of.pop(engine_id, None)
        if place is None:
            return
        del self._places[bisect_left(self._places, place)]
        self._free.discard(engine_id)
        on_node = self._on_node[place.verdict.node_id]
        on_node.remove(engine_id)
        if not on_node:
            del self._on_node[place.verdict.node_id]

    def likely(self, most: int) -> list[EngineId]:
        """The engines with the least to do, so many at most."""
        return [place.engine_id for place in self._places[:most]]

    def best(
        self, pin: NodeId | None, suspect: bool = False, cached: Cached = NOTHING, loaded: Loaded = NOWHERE
    ) -> Verdict | None:
        """The engine that costs a job pinned to `pin` the fewest tokens now; a suspect, one where there is none yet.

        `cached` are the tokens of its prompt that engines have, `loaded` the engines that have its adapter. Of two that
        cost the same, the one with more is taken. What an engine has makes up for so much more work there and no more:
        where there is one that has less to do, that one is taken, and has it next time.
        """
        first = self._first(pin, suspect)
        if first is None or first.ruled_out:
            return None
        spared = _spared(cached, loaded)
        if not spared:
            return first.verdict
        best, most = first, spared.get(first.engine_id, 0)
        best_cost = first.score - most
        for engine_id, tokens in spared.items():
            place = self._place_of.get(engine_id)
            if place is None or place.score - tokens > best_cost or not _can_take(place, pin, suspect):
                continue
            if (place.score - tokens, -tokens) < (best_cost, -most):
                best, best_cost, most = place, place.score - tokens, tokens
        return _with(best, cached, loaded).verdict if most else best.verdict

    def takers(self, pin: NodeId | None, suspect: bool = False) -> Set[EngineId]:
        """The engines that can take a job pinned to `pin` now; a suspect, those where there is none yet."""
        if pin is None and not suspect:
            return self._free
        there = self._free if pin is None else self._free & self._on_node.get(pin, set())
        return {engine_id for engine_id in there if _can_take(self._place_of[engine_id], pin, suspect)}

    def considered(
        self,
        pin: NodeId | None,
        most: int = sys.maxsize,
        suspect: bool = False,
        cached: Cached = NOTHING,
        loaded: Loaded = NOWHERE,
    ) -> tuple[Verdict, ...]:
        """What is made of the engines for a job pinned to `pin`, the best first; of `most` of them.

        Among them are those that have anything of its prompt `cached`, or its adapter `loaded`.
        """
        places = self._places[:most] if pin is None else self._pinned(pin, most)
        if cached or loaded:
            places = self._that_have(places, cached, loaded, pin, most)
        if suspect:
            return tuple([_kept_apart(place) for place in places])
        return tuple([place.verdict for place in places])

    def _first(self, pin: NodeId | None, suspect: bool) -> _Place | None:
        """The engine with the least to do of those that a job may go to; if it is ruled out, all are."""
        places = self._places if pin is None else sorted([self._place_of[each] for each in self._on_node.get(pin, ())])
        for place in places:
            if not (suspect and place.has_suspect):
                return place
        return None

    def _that_have(
        self, places: list[_Place], cached: Cached, loaded: Loaded, pin: NodeId | None, most: int
    ) -> list[_Place]:
        """These places, in the order in which they are now, without the last for which others have to come."""
        having = _spared(cached, loaded)
        known = [place for engine_id in having if (place := self._place_of.get(engine_id)) is not None]
        others = [place for place in places if place.engine_id not in having][: max(0, most - len(known))]
        for place in known:
            free = place.ruled_out or pin is None or place.verdict.node_id == pin
            insort(others, _with(place if free else _elsewhere(place), cached, loaded))
        return others

    def _pinned(self, pin: NodeId, most: int) -> list[_Place]:
        """The first places for a job pinned to `pin`: the pin rules out, too, who could take it on another node."""
        on_node = self._on_node.get(pin, set())
        free = bisect_left(self._places, True, key=lambda place: place.ruled_out)
        there = [self._place_of[engine_id] for engine_id in on_node & self._free]
        elsewhere = [_elsewhere(place) for place in self._places[: min(free, most)] if place.engine_id not in on_node]
        ruled_out = self._places[free : free + most]
        return sorted([*there, *elsewhere, *ruled_out])[:most]


def ruled_out_by(candidate: Candidate, pin: NodeId | None) -> RuledOut | None:
    """The first reason why this engine cannot take a job, pinned to node `pin`, now."""
    if not candidate.online:
        return "offline"
    if candidate.draining:
        return "draining"
    if not candidate.ready:
        return "not ready"
    if not candidate.reached:
        return "cannot be reached"
    if candidate.running >= candidate.slots:
        return "no room"
    if pin is not None and candidate.node_id != pin:
        return "not the pinned node"
    return None


def score(candidate: Candidate) -> int:
    """How busy the engine is, in tokens; the lower the better."""
    return candidate.assigned_tokens + candidate.recent_failures * FAILURE_COST_TOKENS


class Answers:
    """How long the answers of a model are: the mean of the last of them, about a hundred."""

    def __init__(self) -> None:
        self._mean: float | None = None
        self._told = 0

    def tell(self, tokens: int) -> None:
        """One has ended at so many tokens."""
        self._told = min(self._told + 1, _ANSWERS_REMEMBERED)
        before = tokens if self._mean is None else self._mean
        self._mean = before + (tokens - before) / self._told

    def expected_tokens(self, most: int) -> int:
        """What is expected of one that may have so many at most: that many, before any has ended."""
        return most if self._mean is None else min(most, math.ceil(self._mean))


def prompt_tokens(job: Job) -> int:
    """The tokens of the job's prompt, estimated where they were not counted."""
    if job.prompt_tokens is not None:
        return job.prompt_tokens
    characters = sum(len(message.content) for message in job.messages) + (len(job.form.body) if job.form else 0)
    return characters // _CHARACTERS_PER_TOKEN


def most_tokens(job: Job) -> int:
    """The most tokens that one of the job's prompts and an answer to it can have together, as far as they were counted.

    0 for one that pools: it may ask any number of prompts, each for itself, and its engine knows how long each is. Of
    several prompts, only all are counted.
    """
    if job.form is not None and job.form.pools:
        return 0
    is_one = job.form is None or job.form.prompts == 1
    return (job.prompt_tokens or 0 if is_one else 0) + job.sampling.max_tokens


def _can_take(place: _Place, pin: NodeId | None, suspect: bool) -> bool:
    fits = pin is None or place.verdict.node_id == pin
    return fits and not (place.ruled_out or (suspect and place.has_suspect))


def _spared(cached: Cached, loaded: Loaded) -> Mapping[EngineId, int]:
    """How many tokens of work engines are spared by what they have."""
    if not loaded:
        return cached
    having = dict.fromkeys(loaded, LOADING_COST_TOKENS)
    return having | {engine_id: tokens + having.get(engine_id, 0) for engine_id, tokens in cached.items()}


def _with(place: _Place, cached: Cached, loaded: Loaded) -> _Place:
    verdict, tokens, has_adapter = place.verdict, cached.get(place.engine_id, 0), place.engine_id in loaded
    cost = place.score - tokens - has_adapter * LOADING_COST_TOKENS
    known = Verdict(verdict.engine_id, verdict.node_id, verdict.ruled_out_by, cost, tokens, has_adapter)
    return _Place(place.ruled_out, cost, place.engine_id, known, place.has_suspect)


def _place(candidate: Candidate) -> _Place:
    reason, tokens = ruled_out_by(candidate, None), score(candidate)
    verdict = Verdict(candidate.engine_id, candidate.node_id, reason, tokens)
    return _Place(reason is not None, tokens, candidate.engine_id, verdict, candidate.has_suspect)


def _elsewhere(place: _Place) -> _Place:
    verdict = Verdict(place.engine_id, place.verdict.node_id, "not the pinned node", place.score)
    return _Place(True, place.score, place.engine_id, verdict, place.has_suspect)


def _kept_apart(place: _Place) -> Verdict:
    """What is made of an engine for a suspect."""
    verdict = place.verdict
    if place.ruled_out or not place.has_suspect:
        return verdict
    known = verdict.score, verdict.cached_tokens, verdict.has_adapter
    return Verdict(verdict.engine_id, verdict.node_id, "has a suspect", *known)
