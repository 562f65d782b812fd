"""The system under torture: the plain one in virtual time, on ways and a database that fail as the plan orders."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import Executor
from pathlib import Path
from random import Random
from typing import Any, Self, cast
from unittest import mock

from actors.backends.base import Backend
from actors.backends.simulated import SimulatedBackend
from actors.courier import Sends
from actors.ledger import Ledger
from actors.wire.calls import Unreachable
from api.replica.gateway import Gateway
from api.replica.live import Piece
from cluster.catalogue import Model, Replicas
from cluster.clock import Clock
from cluster.ids import AccountId, EngineId, JobId, KeyId, NodeId, new_webhook_id
from cluster.limits.windows import refusal
from cluster.messages.money import Budget
from cluster.messages.people import KeyLimits, NewKey, Principal
from cluster.messages.records import JobRecord
from cluster.messages.webhooks import EventType, NewWebhook
from cluster.messages.work import Accepted, Job, Order, Position, Submission
from cluster.timing import Timing
from cluster.webhooks.signing import new_secret
from tests.support.faults import Fault, FaultyDatabase, FaultyLinks
from tests.support.plain_processes import Actor, Links, Process, Remote
from tests.support.plain_system import PlainSystem
from tests.support.virtual_time import TurnCondition, TurnThread, VirtualClock, VirtualLoop
from tests.torture.plan import CORE, SWITCHES, SYSTEM, Plan
from tests.torture.receiver import URL, TakingReceiver

MODEL = "sim"
GATEWAYS = 2
TOKEN_S = 0.05
INTERVAL_S = 0.02
SUBMISSIONS_PER_MINUTE = 40
BUDGET_TOKENS = 400
JOB_TIMEOUT_S = 120
"""Much longer than everything that goes wrong takes."""
SUPERSEDED_S = 20.0
"""How long a process goes on whose name another one has."""
LOOK_S = 1.0
"""How soon something that is missing is started again, as the Supervisor does."""

FREE_SECRET, TIGHT_SECRET = "inft_" + "f" * 32, "inft_" + "t" * 32
KEY_IDS = {FREE_SECRET: KeyId("key_free"), TIGHT_SECRET: KeyId("key_tight")}
LIMITS = KeyLimits(submissions_per_minute=SUBMISSIONS_PER_MINUTE, submissions_per_hour=10_000, reads_per_minute=10_000)

THREADS = "actors.backends.simulated.backend.Thread"
CONDITIONS = "actors.backends.simulated.backend.Condition"


class Door:
    """What clients reach of an ingress replica: what its routes do with their requests."""

    def __init__(self, gateway: Gateway, admitted: Counter[int]) -> None:
        self.gateway = gateway
        self._admitted = admitted

    async def accept(self, secret: str, order: Order, idempotency_key: str | None) -> Accepted:
        return await self.gateway.intake.accept(await self._admit(secret), order, idempotency_key)

    async def submit(self, secret: str, job: Job) -> Accepted:
        """Submit a job with a deadline of its own."""
        await self._admit(secret)
        return await self.gateway.intake.submit(Submission(job))

    async def cancel(self, job_id: JobId, account_id: AccountId) -> JobRecord:
        return await self.gateway.jobs.cancel(job_id, account_id)

    async def read(self, job_id: JobId, account_id: AccountId, after: Position) -> AsyncGenerator[Piece, None]:
        async for piece in self.gateway.streams.read(job_id, account_id, after):
            yield piece

    async def _admit(self, secret: str) -> Principal:
        principal = await self.gateway.authenticate(secret)
        decision = await self.gateway.charge(principal, "submissions")
        if not decision.allowed:
            raise refusal(decision, "submissions")
        self._admitted[decision.reset_s] += 1
        return principal


class World(PlainSystem):
    """A running system, two ingress replicas and their clients' keys. Use with `async with`, in a `VirtualLoop`."""

    def __init__(self, database: Path, plan: Plan) -> None:
        self.plan = plan
        self.injected: Counter[str] = Counter()
        """What went wrong, by `Fault.name`."""
        self.admitted: Counter[int] = Counter()
        """Submissions that were let in, by the end of their minute."""
        self.chance = Random(plan.seed)
        self.links = FaultyLinks(self.chance, self.injected)
        self._outer_links = Links()
        self.faulty_database = FaultyDatabase(self.injected)
        self.replicas: list[Actor] = []
        self._frozen_until_s = 0.0
        self._ledgers: list[Ledger] = []
        self._returning: set[asyncio.Task[None]] = set()
        self._gone: asyncio.Queue[Actor] = asyncio.Queue()
        self.receiver = TakingReceiver(self.chance)
        super().__init__(
            database,
            [_model(plan)],
            nodes=plan.nodes,
            limits=LIMITS,
            job_timeout_s=JOB_TIMEOUT_S,
            timing=Timing(scaling_window_s=2.0, seat_s=2.0),
            faults={EngineId(f"{MODEL}/{number}"): switches for number, switches in plan.failing.items()},
            clock=cast(Clock, VirtualClock()),
            links=self.links,
            interval_s=INTERVAL_S,
        )

    async def __aenter__(self) -> Self:
        self._patches = [mock.patch(THREADS, TurnThread), mock.patch(CONDITIONS, TurnCondition)]
        for patch in self._patches:
            patch.start()
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        self._loop = loop
        loop.work_s = self._work_s
        self.faulty_database.__enter__()
        await super().__aenter__()
        self.account_id = self.principal.account_id
        for secret, budget in ((FREE_SECRET, None), (TIGHT_SECRET, Budget("tokens", BUDGET_TOKENS, "all"))):
            key = NewKey(KEY_IDS[secret], self.account_id, "a key", secret, "member", 0, budget=budget)
            await self.ledger.create_key(self.principal, key)
        events: tuple[EventType, ...] = ("job.completed", "job.failed")
        webhook = NewWebhook(new_webhook_id(), self.account_id, URL, events, new_secret(), 0)
        await self.ledger.create_webhook(self.principal, webhook)
        await self.start_courier()
        for number in range(GATEWAYS):
            self.replicas.append(Actor(f"gateway/{number}"))
            await self.start_replica(self.replicas[number])
        await self.ready(0 if self.plan.elastic else self.plan.replicas)
        self.began_s = loop.time()
        self._bringing_back = asyncio.create_task(self._bring_back_what_is_gone())
        return self

    async def __aexit__(self, *error: Any) -> None:
        try:
            self.mend()
            for task in (*self._returning, self._bringing_back):
                task.cancel()
            self._loop.let_all_go()
            await super().__aexit__(*error)
            for ledger in self._ledgers[:-1]:
                await ledger.stop()
        finally:
            self.faulty_database.__exit__(None, None, None)
            for patch in self._patches:
                patch.stop()

    # What the plan orders -----------------------------------------------------------------------------------------

    async def suffer(self) -> None:
        """Let all faults of the plan happen, each at its moment; then nothing more goes wrong."""
        for fault in self.plan.faults:
            await self._until(fault.at_s)
            self._let_happen(fault)
        await asyncio.gather(*self._returning)
        self.mend()

    def mend(self) -> None:
        self.links.end()
        self.faulty_database.end()

    def now_s(self) -> float:
        """Seconds since the beginning."""
        return self._loop.time() - self.began_s

    async def _until(self, at_s: float) -> None:
        await asyncio.sleep(max(0.0, at_s - self.now_s()))

    def _let_happen(self, fault: Fault) -> None:
        match fault.kind:
            case "kill":
                self._soon(fault, self._kill(fault.target, fault.for_s))
            case "hang":
                self._soon(fault, self._hang(fault.target, fault.for_s))
            case "hang_and_kill":
                self._soon(fault, self._hang_and_kill(fault.target, fault.for_s))
            case "replace":
                self._soon(fault, self._replace(fault.target, fault.for_s))
            case "skew":
                self._skew(fault)
            case "drain":
                self._soon(fault, self._drain(fault.target, fault.for_s))
            case "away":
                self._soon(fault, self._database_away(fault.for_s))
            case "frozen":
                self.injected[fault.name] += 1
                self._frozen_until_s = self._loop.time() + fault.for_s
            case "commit_fails" | "commit_unknown":
                self.faulty_database.order(fault.kind)
            case "cut":
                self.injected[fault.name] += 1
                self.links.order(fault)
            case _:
                self.links.order(fault)

    def _soon(self, fault: Fault, happening: Any) -> None:
        self.injected[f"{fault.kind} {fault.target.partition('/')[0]}"] += 1
        task = asyncio.create_task(happening)
        self._returning.add(task)

    def _skew(self, fault: Fault) -> None:
        actor = self._actor(fault.target)
        if actor is not None and actor.process is not None:
            self.injected[f"skew {fault.target.partition('/')[0]}"] += 1
            actor.process.skew_s += fault.for_s

    async def _kill(self, target: str, for_s: float) -> None:
        actors = self._everybody() if target == SYSTEM else [self._actor(target)]
        killed = [actor for actor in actors if actor is not None and actor.process is not None]
        for actor in killed:
            await self._end(actor)
        await asyncio.sleep(for_s)
        for actor in killed:
            await self._bring_back(actor)

    async def _end(self, actor: Actor) -> None:
        """End its process. The kernel takes a Ledger's lock from it, which is this process's here."""
        process = actor.process
        actor.kill()
        if process is not None and isinstance(process.content, Ledger):
            await process.content.abandon()

    async def _hang(self, target: str, for_s: float) -> None:
        process = self._process(target)
        if process is not None:
            process.halt()
            await asyncio.sleep(for_s)
            process.go_on()

    async def _hang_and_kill(self, target: str, for_s: float) -> None:
        actor, process = self._actor(target), self._process(target)
        if actor is None or process is None:
            return
        process.halt()
        await asyncio.sleep(for_s)
        if actor.process is process:
            await self._end(actor)
            await self._bring_back(actor)

    async def _replace(self, target: str, for_s: float) -> None:
        """Another process takes the name of one that stands still, and is not needed any more when it wakes up.

        It goes on for a while, as one does whose machine was cut off, until somebody ends it.
        """
        actor = self._actor(target)
        process = actor.forget() if actor is not None else None
        if actor is None or process is None:
            return
        process.halt()
        await self._bring_back(actor)
        await asyncio.sleep(for_s)
        process.go_on()
        await asyncio.sleep(SUPERSEDED_S)
        process.kill()

    async def _drain(self, target: str, for_s: float) -> None:
        """Somebody drains a node, and has it back after a while."""
        node_id = self.node_ids[int(target.partition("/")[2]) % len(self.node_ids)]
        for drains in (True, False):
            await self._insist(node_id, drains)
            await asyncio.sleep(for_s if drains else 0.0)

    async def _insist(self, node_id: NodeId, drains: bool) -> None:
        """Ask until there is an answer, as who drains a node does."""
        scheduler = self._called("scheduler", self._outside)
        while True:
            try:
                return await scheduler.drain_node(node_id, drains)
            except Unreachable:
                await asyncio.sleep(LOOK_S)

    async def _database_away(self, for_s: float) -> None:
        self.faulty_database.away = True
        await asyncio.sleep(for_s)
        self.faulty_database.away = False

    async def _bring_back(self, actor: Actor) -> None:
        """Start it again and again until it runs, as the Supervisor does. Engines are ordered by the Scheduler."""
        kind, _, key = actor.name.partition("/")
        if kind == "engine":
            return
        while actor.process is None:
            try:
                await self._start(actor, kind, key)
            except Exception:  # noqa: BLE001 - whatever it was, it is tried again
                await asyncio.sleep(LOOK_S)

    async def _start(self, actor: Actor, kind: str, key: str) -> None:
        if kind in CORE:
            await getattr(self, f"start_{kind}")()
        elif kind == "gateway":
            await self.start_replica(actor)
        else:
            await self.start_node(NodeId(key))

    def _everybody(self) -> list[Actor]:
        """All actors, in the order in which they need each other."""
        return [*self._actors.values(), *self.nodes.values(), *self.replicas, *self.engines.values()]

    def _process(self, target: str) -> Process | None:
        actor = self._actor(target)
        return None if actor is None else actor.process

    def _actor(self, target: str) -> Actor | None:
        """The actor that is meant: by its name, or as so-and-so-manieth of those that live."""
        kind, _, number = target.partition("/")
        if kind in CORE:
            return self._actors[kind]
        if kind == "gateway":
            return self.replicas[int(number) % GATEWAYS]
        if kind == "node":
            nodes = [self.nodes[node_id] for node_id in sorted(self.nodes)]
            return nodes[int(number) % len(nodes)] if nodes else None
        engines = [self.engines[engine_id] for engine_id in sorted(self.known_engines())]
        return engines[int(number) % len(engines)] if engines else None

    def _work_s(self, executor: Executor | None) -> float:
        """How long what is given to a thread takes; the database is what actors have threads of their own for."""
        frozen_s = 0.0 if executor is None else self._frozen_until_s - self._loop.time()
        return max(0.0, frozen_s) + self.chance.random() * 0.002

    def superseded(self, process: Process) -> None:
        """It ends itself. If it was the one of its name all the same, it is started again, as Ray does."""
        for actor in (*self._actors.values(), *self.nodes.values()):
            if actor.process is process:
                actor.kill()
                self._gone.put_nowait(actor)
                return
        process.kill()

    async def _bring_back_what_is_gone(self) -> None:
        while True:
            await self._bring_back(await self._gone.get())

    # What runs ----------------------------------------------------------------------------------------------------

    async def start_ledger(self) -> None:
        await super().start_ledger()
        self._ledgers.append(self.ledger)

    async def start_courier(self, sends: Sends | None = None, chance: Callable[[], float] | None = None) -> None:
        await super().start_courier(self.receiver, self.chance.random)

    async def start_replica(self, actor: Actor) -> None:
        door = Door(self.new_gateway(), self.admitted)
        process = self.gateway_process
        process.content = door
        await process.run(door.gateway.start())
        actor.run_in(process)

    def door(self, number: int) -> Door:
        """An ingress replica, as a client reaches it."""
        return cast(Door, Remote(self._outside, self.replicas[number % GATEWAYS], self._outer_links))

    def new_backend(self, model: Model) -> Backend:
        for switch in SWITCHES:
            if switch in model.engine:
                self.injected[f"{switch} engine"] += 1
        return SimulatedBackend(model.engine, self.clock, model.adapters)


def _model(plan: Plan) -> Model:
    options = {"first_token_s": 0.0, "token_s": TOKEN_S, "batch_slots": plan.slots, "output_tokens": 1000}
    options |= {"prefix_blocks": 20, "block_size": 1}
    return Model(
        id=MODEL,
        backend="simulated",
        gpus=0,
        cpus=1.0,
        replicas=Replicas(0 if plan.elastic else plan.replicas, plan.replicas, target_jobs=2, idle_s=2, drain_s=1),
        engine={**options, "vary_by_attempt": True},
    )
