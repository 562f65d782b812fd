"""The whole control plane as plain objects in one event loop, without Ray: real rules, store, engines and doors.

What Ray gives is played by `plain_processes`.
"""

import asyncio
import random
import socket
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar, cast

import httpx
import uvicorn
from msgspec.structs import replace

from actors import backends
from actors.backends.base import Backend
from actors.courier import Courier, Sends
from actors.couriering.posting import Poster
from actors.engine import Engine
from actors.journal import Journal
from actors.ledger import Ledger
from actors.node import NodeAgent
from actors.rate_limiter import RateLimiter
from actors.scheduler import Scheduler
from actors.telemetry.engine_times import EngineTimes
from api.app import create_app
from api.replica.gateway import Gateway
from api.replica.media.fetching import Fetcher
from cluster.catalogue import Catalogue, Model, Replicas
from cluster.clock import SYSTEM_CLOCK, Clock
from cluster.fleet.makes import make_of
from cluster.ids import AccountId, EngineId, JobId, NodeId, new_job_id
from cluster.keys import secret_hash
from cluster.liveness.silence import Vitals
from cluster.messages.machines import EngineOrder, EngineReport, Hardware
from cluster.messages.people import KeyLimits, Principal
from cluster.messages.records import JobRecord
from cluster.messages.work import ChatMessage, End, Job, Position, Sampling
from cluster.settings.schema import Settings
from cluster.settings.sections.media import Media
from cluster.settings.sections.webhooks import Webhooks
from cluster.timing import Timing
from tests.support.plain_processes import Actor, Links, Process, Remote
from tests.support.seats import GivenCluster

T = TypeVar("T")

PATIENCE_S = 10.0
"""How long a test waits for a signal before it fails."""

ADMIN_KEY = "inft_" + "a" * 32

INTERVAL_S = 0.001

QUICK = Timing(
    tick_s=0.02,
    scaling_window_s=0.2,
    seat_s=0.2,
    order_s=0.1,
    settle_s=0.3,
    survey_s=0.02,
    room_s=0.5,
    unreached_s=0.2,
    compare_s=0.1,
    stray_s=0.05,
    heartbeat_s=0.02,
    look_s=0.02,
    repeat_s=0.005,
    reconnect_s=0.005,
    ask_again_s=0.5,
    hand_in_s=0.02,
)
"""Heartbeats, ticks and pauses between attempts in milliseconds."""

SIM = Model(
    id="sim",
    aliases=("sim-alias",),
    backend="simulated",
    gpus=0,
    cpus=1.0,
    engine={"first_token_s": 0.0, "token_s": 0.001, "batch_slots": 16, "output_tokens": 1000},
)


def run(scenario: Coroutine[Any, Any, T], limit_s: float = 2 * PATIENCE_S) -> T:
    """Run a test's scenario in a loop of its own."""

    async def in_time() -> T:
        async with asyncio.timeout(limit_s):
            return await scenario

    return asyncio.run(in_time())


async def until(condition: Callable[[], object], what: str = "what was waited for") -> None:
    """Wait for `condition`, which may be async, looking at it every millisecond."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            while not await _answer(condition):  # noqa: ASYNC110 - whatever the condition looks at
                await asyncio.sleep(INTERVAL_S)
    except TimeoutError:
        raise AssertionError(f"{what} did not happen within {PATIENCE_S:.0f} s") from None


async def _answer(condition: Callable[[], object]) -> object:
    answer = condition()
    return await answer if isinstance(answer, Awaitable) else answer


_QUIET_TURNS = 3  # a task ends, `gather` or `shield` hears of it, and wakes its own task
_MOST_TURNS = 200  # some tasks go on for ever
_settling: "set[asyncio.Task[object] | None]" = set()


async def settled() -> None:
    """Let every task that can go on do so, until all of them wait."""
    me = asyncio.current_task()
    _settling.add(me)
    try:
        quiet_turns = turns = 0
        while quiet_turns < _QUIET_TURNS and turns < _MOST_TURNS:
            await asyncio.sleep(0)
            quiet_turns = 0 if any(map(_can_go_on, asyncio.all_tasks() - _settling)) else quiet_turns + 1
            turns += 1
    finally:
        _settling.discard(me)


def _can_go_on(task: "asyncio.Task[object]") -> bool:
    awaited = getattr(task, "_fut_waiter", None)  # as anyio's `wait_all_tasks_blocked` tells it
    return awaited is None or awaited.done()


async def prepare_database(path: Path) -> None:
    """Make a database file with `ADMIN_KEY` as its first admin key."""
    ledger = Ledger(f"sqlite:///{path}", ADMIN_KEY, KeyLimits())
    await ledger.start()
    await ledger.stop()


class PlainLauncher:
    """Makes plain engines of one machine, on the real simulated backend, for the NodeAgent in the process `caller`."""

    def __init__(self, system: "PlainSystem", node_id: NodeId, caller: Process) -> None:
        self._system = system
        self._node_id = node_id
        self._caller = caller
        self.killed: list[EngineId] = []

    async def launch(self, order: EngineOrder) -> Engine:
        self._system.start_engine(order, self._node_id)
        return self._system.engine(order.id, self._caller)

    def load_timeout_s(self, model: str) -> float:
        found = self._system.catalogue.find(model)
        assert found is not None
        return found.load_timeout_s

    async def vitals(self, report: EngineReport) -> Vitals | None:
        return None

    async def kill(self, report: EngineReport, at_once: bool = False) -> None:
        self.killed.append(report.id)
        self._system.kill_engine(report.id)

    async def running(self, known: Collection[EngineId]) -> Sequence[tuple[Engine, EngineReport]]:
        unknown = [engine_id for engine_id in self._system.known_engines() if engine_id not in known]
        engines = [self._system.engine(engine_id, self._caller) for engine_id in unknown]
        found = [(engine, await engine.describe()) for engine in engines]
        return [(engine, report) for engine, report in found if report.node_id == self._node_id]


class PlainSystem:
    """A running system with `nodes` machines, each with room for one engine of `SIM`. Use with `async with`."""

    def __init__(
        self,
        database: Path,
        models: Sequence[Model] = (SIM,),
        nodes: int = 1,
        limits: KeyLimits | None = None,
        job_timeout_s: int = 300,
        timing: Timing = QUICK,
        faults: Mapping[EngineId, Mapping[str, object]] | None = None,
        clock: Clock = SYSTEM_CLOCK,
        links: Links | None = None,
        interval_s: float = INTERVAL_S,
        media: Media | None = None,
        fetcher: Fetcher | None = None,
        webhooks: Webhooks | None = None,
    ) -> None:
        """`faults` are options of the simulated backend that one engine has and its model has not."""
        self.path = database
        self.settings = Settings(
            database=f"sqlite:///{database}",
            limits=limits or KeyLimits(),
            job_timeout_s=job_timeout_s,
            models=tuple(models),
            media=media or Media(),
            webhooks=webhooks or Webhooks(),
        )
        self._fetcher = fetcher
        self.timing = timing
        self.clock = clock
        self._links = links or Links()
        self._interval_s = interval_s
        self._faults = faults or {}
        self.catalogue = Catalogue(self.settings.models)
        self.node_ids = [NodeId(f"node_{number:016x}") for number in range(nodes)]
        self.cluster = GivenCluster()
        self.engines: dict[EngineId, Actor] = {}
        self.launchers: dict[NodeId, PlainLauncher] = {}
        self._outside = Process("outside")
        core = ("ledger", "rate_limiter", "journal", "scheduler", "courier")
        self._actors = {name: Actor(name, core=True) for name in core}
        self.nodes: dict[NodeId, Actor] = {}
        self._engine_objects: list[Engine] = []

    async def __aenter__(self) -> Self:
        await self.start_ledger()
        await self.start_rate_limiter()
        principal = await self.ledger.authenticate(secret_hash(ADMIN_KEY))
        assert principal is not None
        self.principal: Principal = principal
        await self.start_journal()
        await self.start_scheduler()
        for node_id in self.node_ids:
            await self.start_node(node_id)
        self.gateway = self.new_gateway()
        await self.gateway_process.run(self.gateway.start())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.gateway.stop()
        for node_id in list(self.nodes):
            await self.kill_node(node_id)
        for name in ("courier", "scheduler", "journal"):
            await self._stop(name)
        for engine_id in list(self.engines):
            self.kill_engine(engine_id)
        for engine in self._engine_objects:
            await engine.stop()
        await self.ledger.stop()

    # Actors -------------------------------------------------------------------------------------------------------

    def engine(self, engine_id: EngineId, caller: Process | None = None) -> Engine:
        actor = self.engines.get(engine_id) or Actor(f"engine/{engine_id}")
        return cast(Engine, Remote(caller or self._outside, actor, self._links))

    def known_engines(self) -> list[EngineId]:
        return [engine_id for engine_id, actor in self.engines.items() if actor.process is not None]

    async def engine_reports(self) -> list[EngineReport]:
        """What each engine that lives says of itself, asked past all links."""
        processes = [self.engines[engine_id].process for engine_id in self.known_engines()]
        return [await cast(Engine, process.content).describe() for process in processes if process is not None]

    def start_engine(self, order: EngineOrder, node_id: NodeId) -> Engine:
        """Start it, unless it runs already."""
        if order.id in self.known_engines():
            return self.engine(order.id)
        model = self.catalogue.find(order.model)
        assert model is not None
        if order.adapters is not None:
            model = replace(model, adapters=order.adapters)
        actor = self.engines[order.id] = Actor(f"engine/{order.id}")
        backend = self.new_backend(replace(model, engine={**model.engine, **self._faults.get(order.id, {})}))
        me = Process(f"engine/{order.id}")
        ledger = self._called("ledger", me)
        engine = me.content = Engine(
            order.id,
            model.id,
            node_id,
            backend,
            self._interval_s,
            actor.kill,
            make_of(model, order.restarts),
            ledger.media,
            EngineTimes(model.id, backend, ledger, self.timing.hand_in_s),
        )
        self._engine_objects.append(engine)
        actor.run_in(me)
        return self.engine(order.id)

    def new_backend(self, model: Model) -> Backend:
        return backends.create(model, "")

    def kill_engine(self, engine_id: EngineId) -> None:
        self.engines[engine_id].kill()

    async def start_ledger(self) -> None:
        me = Process("ledger")
        me.content = self.ledger = Ledger(
            self.settings.database, ADMIN_KEY, self.settings.limits, self.clock, self.timing
        )
        await me.run(self.ledger.start())
        self._actors["ledger"].run_in(me)

    async def start_rate_limiter(self) -> None:
        me = Process("rate_limiter")
        me.content = self.rate_limiter = RateLimiter(self._called("ledger", me), self.clock)
        await me.run(self.rate_limiter.start())
        self._actors["rate_limiter"].run_in(me)

    async def start_journal(self) -> None:
        me = Process("journal")
        me.content = self.journal = Journal(
            self._called("ledger", me),
            self._called("scheduler", me),
            partial(self.engine, caller=me),
            self.known_engines,
            self._interval_s,
            self.clock,
            self.timing,
            partial(self.superseded, me),
        )
        await me.run(self.journal.start())
        self._actors["journal"].run_in(me)

    async def start_courier(self, sends: Sends | None = None, chance: Callable[[], float] = random.random) -> None:
        """Most tests need none: it looks for webhooks all the time."""
        me = Process("courier")
        sends = sends or Poster(self.settings.webhooks)
        me.content = self.courier = Courier(self._called("ledger", me), sends, self.clock, self.timing, chance)
        await me.run(self.courier.start())
        self._actors["courier"].run_in(me)

    async def lose_courier(self) -> None:
        """Its process ends with whatever it was about to do."""
        self._actors["courier"].kill()

    def superseded(self, process: Process) -> None:
        """This process has heard that it is not the one of its name any more."""

    async def restart_journal(self) -> None:
        await self.lose_journal()
        await self.start_journal()

    async def lose_journal(self) -> None:
        """The Journal's process ends, and calls to it wait until there is another."""
        await self._stop("journal")

    async def start_scheduler(self) -> None:
        me = Process("scheduler")
        me.content = self.scheduler = Scheduler(
            self.catalogue,
            self._called("ledger", me),
            self._called("journal", me),
            partial(self.engine, caller=me),
            self.known_engines,
            self.cluster,
            self.clock,
            self.timing,
            partial(self.superseded, me),
        )
        await me.run(self.scheduler.start())
        self._actors["scheduler"].run_in(me)

    async def restart_scheduler(self) -> None:
        await self.lose_scheduler()
        await self.start_scheduler()

    async def lose_scheduler(self) -> None:
        """Its process ends, and calls to it wait until there is another."""
        await self._stop("scheduler")

    async def lose_ledger(self) -> None:
        """Its process ends with whatever it was about to write, and calls to it wait until there is another."""
        self._actors["ledger"].kill()
        await self.ledger.abandon()

    async def change(self, *models: Model) -> None:
        """Other settings of models: what is made of them begins anew, and the engines run on."""
        self.settings = replace(self.settings, models=models)
        self.catalogue = Catalogue(models)
        await self._stop("scheduler")
        for node_id in self.node_ids:
            await self.kill_node(node_id)
        await self.start_scheduler()
        for node_id in self.node_ids:
            await self.start_node(node_id)

    async def ticks(self, count: int) -> None:
        """Wait until the Scheduler has looked at everything so many times."""
        for _ in range(count):
            await self.scheduler.ticking.taken()

    async def start_node(self, node_id: NodeId) -> None:
        me = Process(f"node/{node_id}")
        launcher = self.launchers[node_id] = PlainLauncher(self, node_id, me)
        hardware = Hardware(hostname=node_id, cpus=1.0, memory_bytes=1 << 30)
        self.cluster.join(node_id, hardware)
        scheduler = self._called("scheduler", me)
        node = me.content = NodeAgent(
            node_id, hardware, scheduler, launcher, self.clock, self.timing, partial(self.superseded, me)
        )
        await me.run(node.start())
        self.nodes.setdefault(node_id, Actor(f"node/{node_id}")).run_in(me)

    async def kill_node(self, node_id: NodeId) -> None:
        """End a NodeAgent's process. Its engines, processes of their own, go on."""
        actor = self.nodes.pop(node_id)
        process = actor.process
        actor.kill()
        if process is not None:
            await process.content.abandon()

    def new_gateway(self) -> Gateway:
        me = self.gateway_process = Process("gateway")
        me.content = Gateway(
            self.settings,
            self._called("ledger", me),
            self._called("rate_limiter", me),
            self._called("scheduler", me),
            self._called("journal", me),
            self.timing,
            self.clock,
            lambda engine_id: self.engine(engine_id, me),
            self._fetcher,
        )
        return cast(Gateway, me.content)

    def _called(self, name: str, caller: Process) -> Any:
        return Remote(caller, self._actors[name], self._links)

    async def _stop(self, name: str) -> None:
        process = self._actors[name].process
        self._actors[name].kill()
        if process is not None:
            await process.content.stop()

    # What tests ask -----------------------------------------------------------------------------------------------

    async def ready(self, engines: int | None = None) -> None:
        """Wait until all engines, or so many, can be given jobs."""
        wanted = len(self.node_ids) if engines is None else engines
        await until(lambda: self._ready_engines() >= wanted, "ready")

    def _ready_engines(self) -> int:
        return sum(view.replicas for view in self.scheduler.fleet.models.views({}, 0.0))

    def job(self, text: str = "Hello", max_tokens: int = 40, **fields: Any) -> Job:
        now_ms = self.clock.wall_ms()
        given: dict[str, Any] = {
            "id": new_job_id(),
            "account_id": self.principal.account_id,
            "key_id": self.principal.key_id,
            "model": self.settings.models[0].id,
            "messages": (ChatMessage("user", text),),
            "sampling": Sampling(max_tokens=max_tokens, seed=fields.pop("seed", None), stop=fields.pop("stop", ())),
            "created_ms": now_ms,
            "deadline_ms": now_ms + self.settings.job_timeout_s * 1000,
        }
        return Job(**(given | fields))

    async def read(self, job_id: JobId, after: int = 0, gateway: Gateway | None = None) -> tuple[str, End]:
        """All that a reader is told from `after` on."""
        text = ""
        streams = (gateway or self.gateway).streams
        async with asyncio.timeout(PATIENCE_S):
            async for piece in streams.read(job_id, self.principal.account_id, Position(after)):
                text += piece.text
                if piece.end is not None:
                    return text, piece.end
        raise AssertionError("the stream ended without an end")

    async def record(self, job_id: JobId, account_id: AccountId | None = None) -> JobRecord:
        record = await self.ledger.job(job_id, account_id or self.principal.account_id)
        assert record is not None
        return record

    async def ended(self, job_id: JobId, account_id: AccountId | None = None) -> JobRecord:
        """The job's record, once it has ended."""
        async with asyncio.timeout(PATIENCE_S):
            while not (record := await self.record(job_id, account_id)).status.ended:  # noqa: ASYNC110
                await asyncio.sleep(INTERVAL_S)
        return record

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        connection = sqlite3.connect(self.path)
        try:
            return connection.execute(query).fetchall()
        finally:
            connection.close()

    def client(self, key: str | None = ADMIN_KEY) -> httpx.AsyncClient:
        """An HTTP client of the application itself. Streams arrive when they have ended."""
        transport = httpx.ASGITransport(create_app(self.gateway), raise_app_exceptions=False)
        return httpx.AsyncClient(transport=transport, base_url="http://infernet", headers=_authorization(key))

    @asynccontextmanager
    async def served(self) -> AsyncIterator[httpx.AsyncClient]:
        """An HTTP client of a real server in this loop, for streams that are read as they come."""
        gateway = self.new_gateway()
        config = uvicorn.Config(create_app(gateway), log_config=None, log_level="critical")
        server = uvicorn.Server(config)
        # asyncio sends at once only on sockets that say that they are TCP's.
        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        serving = asyncio.create_task(server.serve([listening]))
        async with httpx.AsyncClient(base_url=url, headers=_authorization(ADMIN_KEY), timeout=PATIENCE_S) as client:
            yield client
        server.should_exit = True
        await serving


def replicated(model: Model, replicas: int) -> Model:
    fields = {name: getattr(model, name) for name in model.__struct_fields__}
    return Model(**(fields | {"replicas": Replicas(replicas, replicas)}))


def _authorization(key: str | None) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"} if key else {}
