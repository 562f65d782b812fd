"""The actors by name, and what each is made of in its own process.

An actor is called `kind` or `kind/key` in the namespace `infernet`. Every class has `async start()` and `stop()`;
a start that failed is repeated on the same object.
"""

import asyncio
import os
from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from typing import TYPE_CHECKING

from actors.ray.kind import Kind
from cluster.catalogue import Catalogue, Model
from cluster.ids import EngineId, NodeId, node_id
from cluster.messages.people import KeyLimits
from cluster.release import Release
from cluster.settings.schema import SpotNoticesOf
from cluster.settings.sections.webhooks import Webhooks

if TYPE_CHECKING:
    from actors.backends.base import Backend
    from actors.courier import Courier
    from actors.engine import Engine
    from actors.engine_part import EnginePart
    from actors.journal import Journal
    from actors.ledger import Ledger
    from actors.node import NodeAgent
    from actors.rate_limiter import RateLimiter
    from actors.scheduler import Scheduler
    from actors.supervisor import Supervisor

# Each maker imports what it makes: a process pays, in seconds and in memory, for its own actor only. None starts it:
# `actors/ray/host.py` does, and again where that fails. Each is given what its actor needs of the settings, no more:
# where that has changed, the Supervisor replaces the actor.


async def _make_ledger(database: str, admin_key: str | None, limits: KeyLimits, retention_days: int | None) -> "Ledger":
    """`database` and `admin_key` are names of secrets that the cluster's head keeps."""
    from actors.ledger import Ledger
    from actors.ray import secrets

    url = await asyncio.to_thread(secrets.recall, database)
    first_key = None if admin_key is None else await asyncio.to_thread(secrets.recall, admin_key)
    return Ledger(url, first_key, limits, retention_days=retention_days)


async def _make_rate_limiter() -> "RateLimiter":
    from actors.rate_limiter import RateLimiter

    return RateLimiter(LEDGER.at())


async def _make_journal(interval_s: float) -> "Journal":
    from actors.journal import Journal

    return Journal(LEDGER.at(), SCHEDULER.at(), engine, known_engines, interval_s, on_superseded=_leave)


async def _make_scheduler(models: tuple[Model, ...]) -> "Scheduler":
    from actors import backends
    from actors.ray.seats import RaySeats
    from actors.scheduler import Scheduler

    return Scheduler(
        Catalogue(models),
        LEDGER.at(),
        JOURNAL.at(),
        engine,
        known_engines,
        RaySeats(),
        on_superseded=_leave,
        measure=backends.demand,
    )


async def _make_courier(settings: Webhooks) -> "Courier":
    from actors.courier import Courier
    from actors.couriering.posting import Poster

    return Courier(LEDGER.at(), Poster(settings))


async def _make_supervisor(release: Release, admin_key: str | None) -> "Supervisor":
    from actors.ray.world import RayWorld
    from actors.supervisor import Supervisor

    return Supervisor(RayWorld(release.settings, admin_key), release)


async def _make_node(
    interval_s: float,
    models: tuple[Model, ...],
    spot_notices: SpotNoticesOf,
    ray_node_id: str,
    resources: Mapping[str, float],
) -> "NodeAgent":
    from actors.backends import sources
    from actors.machine.gpu_loads import GpuLoads
    from actors.machine.hardware import probe
    from actors.machine.scheduling_class import restore_priority
    from actors.node import NodeAgent
    from actors.ray.launcher import RayLauncher

    restore_priority()
    me = node_id(ray_node_id)
    launcher = RayLauncher(ENGINE, Catalogue(models), me, ray_node_id, interval_s, parts=ENGINE_PART)
    spot_watch = None
    if spot_notices != "none":
        from actors.machine.spot_notices import notices_of
        from actors.machine.spot_watch import SpotWatch
        from actors.ray.machines import announce_end

        spot_watch = SpotWatch(notices_of(spot_notices), partial(announce_end, ray_node_id))
    hardware = probe(resources)
    return NodeAgent(
        me,
        hardware,
        SCHEDULER.at(),
        launcher,
        on_superseded=_leave,
        spot_watch=spot_watch,
        look_for_weights=partial(sources.models_here, models),
        gpu_loads=GpuLoads().read if hardware.gpus else None,
    )


async def _make_engine(
    engine_id: EngineId, model: Model, node: NodeId, interval_s: float, restarts: int = 0
) -> "Engine":
    from actors import backends
    from actors.backends.builtin import resolve_source
    from actors.engine import Engine
    from actors.telemetry.engine_times import EngineTimes
    from cluster.fleet.makes import make_of

    _begin_backend(model)
    source = resolve_source(model.source)
    backend = backends.create(model, source) if model.machines == 1 else _spread(engine_id, model, source)
    return Engine(
        engine_id,
        model.id,
        node,
        backend,
        interval_s,
        on_death=_leave,
        made_of=make_of(model, restarts),
        ask_for_media=LEDGER.at().media,
        times=EngineTimes(model.id, backend, LEDGER.at()),
    )


def _spread(engine_id: EngineId, model: Model, source: str) -> "Backend":
    """The backend of an engine on several machines, of which this is the first."""
    from actors import backends
    from actors.backends.base import Place
    from actors.backends.spread import SpreadBackend
    from actors.machine.network import free_port
    from actors.ray.machines import my_address
    from actors.ray.parts import RayParts

    here = my_address()
    place = Place(0, here, here, free_port(here))
    return SpreadBackend(backends.create(model, source, place), RayParts(ENGINE_PART, engine_id, model, place))


async def _make_engine_part(
    engine_id: EngineId, model: Model, rank: int, meeting_address: str, meeting_port: int
) -> "EnginePart":
    from actors import backends
    from actors.backends.base import Place
    from actors.backends.builtin import resolve_source
    from actors.engine_part import EnginePart
    from actors.ray.machines import my_address

    _begin_backend(model)
    place = Place(rank, my_address(), meeting_address, meeting_port)
    return EnginePart(backends.create_part(model, resolve_source(model.source), place))


def _begin_backend(model: Model) -> None:
    """Make this the process of a backend. It holds most of the memory, and its jobs go on in another."""
    from actors.machine import memory, remains
    from actors.machine.scheduling_class import restore_priority

    memory.be_expendable()
    # What the backend starts joins this group, so that the NodeAgent can end it even when this process is gone. It does
    # not know of those on further machines.
    if model.machines > 1:
        remains.end_with_this_process()
    elif os.getpgrp() != os.getpid():
        os.setpgid(0, 0)
    restore_priority()


def _leave() -> None:
    os._exit(1)


_REMEMBERED_ENGINES = 10_000
_FRAMES = frozenset({"frames"})

LEDGER: "Kind[Ledger]" = Kind("actors.ledger:Ledger", _make_ledger, core=True)
RATE_LIMITER: "Kind[RateLimiter]" = Kind("actors.rate_limiter:RateLimiter", _make_rate_limiter, core=True)
JOURNAL: "Kind[Journal]" = Kind("actors.journal:Journal", _make_journal, _FRAMES, core=True)
SCHEDULER: "Kind[Scheduler]" = Kind("actors.scheduler:Scheduler", _make_scheduler, core=True)
COURIER: "Kind[Courier]" = Kind("actors.courier:Courier", _make_courier, core=True)
SUPERVISOR: "Kind[Supervisor]" = Kind("actors.supervisor:Supervisor", _make_supervisor, core=True)
NODE: "Kind[NodeAgent]" = Kind("actors.node:NodeAgent", _make_node, core=True)
ENGINE: "Kind[Engine]" = Kind("actors.engine:Engine", _make_engine, _FRAMES)
ENGINE_PART: "Kind[EnginePart]" = Kind("actors.engine_part:EnginePart", _make_engine_part)


@lru_cache(_REMEMBERED_ENGINES)
def engine(engine_id: EngineId) -> "Engine":
    """The engine of this name. Looked up in the cluster once: every job is several calls to its engine."""
    return ENGINE.at(engine_id)


def known_engines() -> Sequence[EngineId]:
    return [EngineId(key) for key in ENGINE.existing()]
