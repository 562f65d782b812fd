"""The whole control plane as plain objects in one event loop, without Ray: real rules, store, engines and doors.

What Ray gives is played here: a `Process` ends at once when it is killed, calls to what is gone raise `Unreachable`
or, to a core actor, wait until it is back, and what a dead process was about to say is never heard.
"""

import asyncio
import socket
import sqlite3
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar, cast

import httpx
import uvicorn
from msgspec.structs import replace

from actors import backends
from actors.engine import Engine
from actors.journal import Journal
from actors.ledger import Ledger
from actors.node import NodeAgent
from actors.rate_limiter import RateLimiter
from actors.scheduler import Scheduler
from actors.wire.calls import Unreachable
from api.app import create_app
from api.replica.gateway import Gateway
from cluster.catalogue import Catalogue, Model, Replicas
from cluster.clock import SYSTEM_CLOCK, wall_ms
from cluster.ids import EngineId, JobId, NodeId, new_job_id
from cluster.keys import secret_hash
from cluster.messages.machines import EngineOrder, EngineReport, Hardware
from cluster.messages.people import KeyLimits, Principal
from cluster.messages.work import ChatMessage, End, Job, JobRecord, Position, Sampling
from cluster.settings.schema import Settings
from cluster.timing import Timing

T = TypeVar("T")

PATIENCE_S = 10.0
"""How long a test waits for a signal before it fails."""

ADMIN_KEY = "inft_" + "a" * 32

INTERVAL_S = 0.001

QUICK = Timing(
    tick_s=0.02,
    order_s=0.1,
    settle_s=0.3,
    heartbeat_s=0.02,
    look_s=0.02,
    repeat_s=0.005,
    reconnect_s=0.005,
    ask_again_s=0.5,
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


def run(scenario: Coroutine[Any, Any, T]) -> T:
    """Run a test's scenario in a loop of its own."""

    async def in_time() -> T:
        async with asyncio.timeout(2 * PATIENCE_S):
            return await scenario

    return asyncio.run(in_time())


async def until(condition: Callable[[], object], what: str = "what was waited for") -> None:
    """Wait for `condition`, which may be async, looking at it each time that something may have happened."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            while not await _answer(condition):  # noqa: ASYNC110 - whatever the condition looks at
                await asyncio.sleep(INTERVAL_S)
    except TimeoutError:
        raise AssertionError(f"{what} did not happen within {PATIENCE_S:.0f} s") from None


async def _answer(condition: Callable[[], object]) -> object:
    answer = condition()
    return await answer if isinstance(answer, Awaitable) else answer


async def settled(turns: int = 20) -> None:
    """Let every task that can go on do so."""
    for _ in range(turns):
        await asyncio.sleep(0)


async def prepare_database(path: Path) -> None:
    """Make a database file with `ADMIN_KEY` as its first admin key."""
    ledger = Ledger(f"sqlite:///{path}", ADMIN_KEY, KeyLimits())
    await ledger.start()
    await ledger.stop()


class Process:
    """Where one object lives, until it is killed."""

    def __init__(self, content: Any = None) -> None:
        self.content = content
        self.dead = asyncio.Event()


class Actor:
    """A name, and the process that answers to it now. A `core` actor is waited for while it is gone."""

    def __init__(self, name: str, core: bool = False) -> None:
        self.name = name
        self.core = core
        self.process: Process | None = None
        self.changed = asyncio.Event()

    def run_in(self, process: Process) -> None:
        self.process = process
        self.changed.set()

    def kill(self) -> None:
        if self.process is not None:
            self.process.dead.set()
            self.process = None
            self.changed.clear()

    async def reached(self) -> Process:
        while self.process is None and self.core:
            await self.changed.wait()
        return self.now()

    def now(self) -> Process:
        if self.process is None:
            raise Unreachable(f"{self.name} died")
        return self.process


class Remote:
    """What `caller` knows of an actor, to be called like the object itself."""

    def __init__(self, caller: Process, actor: Actor) -> None:
        self._caller = caller
        self._actor = actor

    def __getattr__(self, method: str) -> Callable[..., Any]:
        if method.startswith("_"):
            raise AttributeError(method)
        return partial(self._stream if method == "frames" else self._call, method)

    async def _call(self, method: str, *args: Any) -> Any:
        while True:
            self._unless_dead()
            process = await self._actor.reached()
            try:
                result = await _alive(process, getattr(process.content, method)(*args))
            except Unreachable:
                if process.dead.is_set() and self._actor.core:
                    continue
                raise
            self._unless_dead()
            return result

    async def _stream(self, method: str, *args: Any) -> AsyncGenerator[Any, None]:
        process = self._actor.now()
        async with aclosing(getattr(process.content, method)(*args)) as items:
            while (item := await _alive(process, anext(items, None))) is not None:
                yield item

    def _unless_dead(self) -> None:
        if self._caller.dead.is_set():
            raise asyncio.CancelledError


async def _alive(process: Process, call: Awaitable[T]) -> T:
    """The result of `call`. Raises Unreachable when the process that works on it dies first."""
    work, death = asyncio.ensure_future(call), asyncio.ensure_future(process.dead.wait())
    try:
        await asyncio.wait({work, death}, return_when=asyncio.FIRST_COMPLETED)
        if process.dead.is_set():
            raise Unreachable("it died meanwhile")
        return await work
    finally:
        for task in (work, death):
            task.cancel()
        await asyncio.gather(work, death, return_exceptions=True)


class PlainLauncher:
    """Makes plain engines of one machine, on the real simulated backend."""

    def __init__(self, system: "PlainSystem", node_id: NodeId) -> None:
        self._system = system
        self._node_id = node_id
        self.killed: list[EngineId] = []

    async def launch(self, order: EngineOrder) -> Engine:
        return self._system.start_engine(order, self._node_id)

    async def kill(self, report: EngineReport) -> None:
        self.killed.append(report.id)
        self._system.kill_engine(report.id)

    async def running(self) -> Sequence[tuple[Engine, EngineReport]]:
        engines = [self._system.engine(engine_id) for engine_id in self._system.known_engines()]
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
    ) -> None:
        """`faults` are options of the simulated backend that one engine has and its model has not."""
        self.path = database
        self.settings = Settings(
            database=f"sqlite:///{database}",
            limits=limits or KeyLimits(),
            job_timeout_s=job_timeout_s,
            models=tuple(models),
        )
        self.timing = timing
        self._faults = faults or {}
        self.catalogue = Catalogue(self.settings.models)
        self.node_ids = [NodeId(f"node_{number:016x}") for number in range(nodes)]
        self.engines: dict[EngineId, Actor] = {}
        self.launchers: dict[NodeId, PlainLauncher] = {}
        self._outside = Process()
        self._engine_objects: list[Engine] = []

    async def __aenter__(self) -> Self:
        self.ledger = Ledger(self.settings.database, ADMIN_KEY, self.settings.limits)
        await self.ledger.start()
        self.rate_limiter = RateLimiter(self.ledger)
        await self.rate_limiter.start()
        principal = await self.ledger.authenticate(secret_hash(ADMIN_KEY))
        assert principal is not None
        self.principal: Principal = principal
        self._actors = {name: Actor(name, core=True) for name in ("ledger", "journal", "scheduler")}
        self._actors["ledger"].run_in(Process(self.ledger))
        self.nodes: dict[NodeId, Actor] = {}
        await self.start_journal()
        await self.start_scheduler()
        for node_id in self.node_ids:
            await self.start_node(node_id)
        self.gateway = self.new_gateway()
        await self.gateway.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.gateway.stop()
        for node_id in list(self.nodes):
            await self.kill_node(node_id)
        for name in ("scheduler", "journal"):
            await self._stop(name)
        for engine_id in list(self.engines):
            self.kill_engine(engine_id)
        for engine in self._engine_objects:
            await engine.stop()
        await self.ledger.stop()

    # Actors -------------------------------------------------------------------------------------------------------

    def engine(self, engine_id: EngineId, caller: Process | None = None) -> Engine:
        actor = self.engines.get(engine_id) or Actor(engine_id)
        return cast(Engine, Remote(caller or self._outside, actor))

    def known_engines(self) -> list[EngineId]:
        return [engine_id for engine_id, actor in self.engines.items() if actor.process is not None]

    def start_engine(self, order: EngineOrder, node_id: NodeId) -> Engine:
        model = self.catalogue.find(order.model)
        assert model is not None
        actor = self.engines[order.id] = Actor(order.id)
        backend = backends.create(replace(model, engine={**model.engine, **self._faults.get(order.id, {})}), "")
        engine = Engine(order.id, model.id, node_id, backend, INTERVAL_S, on_death=actor.kill)
        self._engine_objects.append(engine)
        actor.run_in(Process(engine))
        return self.engine(order.id)

    def kill_engine(self, engine_id: EngineId) -> None:
        self.engines[engine_id].kill()

    async def start_journal(self) -> None:
        me = Process()
        me.content = self.journal = Journal(
            self._called("ledger", me),
            self._called("scheduler", me),
            partial(self.engine, caller=me),
            self.known_engines,
            INTERVAL_S,
            timing=self.timing,
        )
        await self.journal.start()
        self._actors["journal"].run_in(me)

    async def restart_journal(self) -> None:
        await self.lose_journal()
        await self.start_journal()

    async def lose_journal(self) -> None:
        """The Journal's process ends, and calls to it wait until there is another."""
        await self._stop("journal")

    async def start_scheduler(self) -> None:
        me = Process()
        me.content = self.scheduler = Scheduler(
            self.catalogue,
            self._called("ledger", me),
            self._called("journal", me),
            partial(self.engine, caller=me),
            self.known_engines,
            SYSTEM_CLOCK,
            self.timing,
        )
        await self.scheduler.start()
        self._actors["scheduler"].run_in(me)

    async def restart_scheduler(self) -> None:
        await self._stop("scheduler")
        await self.start_scheduler()

    async def ticks(self, count: int) -> None:
        """Wait until the Scheduler has looked at everything so many times."""
        for _ in range(count):
            await self.scheduler.ticking.taken()

    async def start_node(self, node_id: NodeId) -> None:
        me = Process()
        launcher = self.launchers[node_id] = PlainLauncher(self, node_id)
        hardware = Hardware(hostname=node_id, cpus=1.0, memory_bytes=1 << 30)
        node = me.content = NodeAgent(node_id, hardware, self._called("scheduler", me), launcher, timing=self.timing)
        await node.start()
        self.nodes[node_id] = Actor(node_id)
        self.nodes[node_id].run_in(me)

    async def kill_node(self, node_id: NodeId) -> None:
        """End a NodeAgent's process. Its engines, processes of their own, go on."""
        process = self.nodes.pop(node_id).process
        assert process is not None
        process.dead.set()
        await process.content.abandon()

    def new_gateway(self) -> Gateway:
        me = Process()
        self.gateway_process = me
        return Gateway(
            self.settings,
            self._called("ledger", me),
            self.rate_limiter,
            self._called("scheduler", me),
            self._called("journal", me),
            self.timing,
        )

    def _called(self, name: str, caller: Process) -> Any:
        return Remote(caller, self._actors[name])

    async def _stop(self, name: str) -> None:
        process = self._actors[name].process
        assert process is not None
        self._actors[name].kill()
        await process.content.stop()

    # What tests ask -----------------------------------------------------------------------------------------------

    async def ready(self, engines: int | None = None) -> None:
        """Wait until all engines, or so many, can be given jobs."""
        wanted = len(self.node_ids) if engines is None else engines
        await until(lambda: self._ready_engines() >= wanted, "ready")

    def _ready_engines(self) -> int:
        return sum(view.replicas for view in self.scheduler.fleet.model_views({}))

    def job(self, text: str = "Hello", max_tokens: int = 40, **fields: Any) -> Job:
        now_ms = wall_ms()
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

    async def record(self, job_id: JobId) -> JobRecord:
        record = await self.ledger.job(job_id, self.principal.account_id)
        assert record is not None
        return record

    async def ended(self, job_id: JobId) -> JobRecord:
        """The job's record, once it has ended."""
        async with asyncio.timeout(PATIENCE_S):
            while not (record := await self.record(job_id)).status.ended:  # noqa: ASYNC110
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
        listening = socket.create_server(("127.0.0.1", 0))
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
