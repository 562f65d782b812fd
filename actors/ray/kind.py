"""How a plain class runs as a Ray actor. This is the one place that says `ray.remote` of an actor.

Ray sees one class per kind, named like the plain class, with the methods `call`, `traced` and `stream`. `call` awaits a
method of the plain object, `traced` does so as part of a trace, `stream` passes on the items of an async generator; all
take the method's name. `Remote`
names every call `Class.method`, so that Ray's dashboard, `ray list tasks` and traces show which method ran. `pulse` is
answered by the process itself, whether its object has started or not.
"""

import os
import threading
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from functools import partial
from typing import Any, Generic, TypeVar, cast

import ray
from msgspec import structs
from ray._private import state
from ray.util import list_named_actors

from actors.machine import gc, scheduling_class
from actors.ray.host import Host
from actors.ray.remote import CALL, NAMESPACE, PULSE, STREAM, TRACED, Pulse, Remote
from actors.telemetry import observing, origins, spans
from actors.telemetry.observing import Observing
from cluster import clock
from cluster.messages.origin import Origin
from cluster.release import VERSION, fingerprint

T = TypeVar("T")

_CORE_LOOKUP_S = 60.0
_NAME_S = 5.0
_NAME_STEP_S = 0.02
_CONCURRENT_CALLS = 10_000


class Kind(Generic[T]):
    """A kind of actor: its class, how one is made in its own process, and Ray's options for it.

    `path` is the class as `module:Class`: neither starting nor calling an actor may cost the import of what it is made
    of. `streams` are its methods that are async generators, the others are coroutines. `core` actors restart without
    limit and their methods may be repeated, so that calls to them wait out a restart; what prevents their start is
    tried again, and kills none. Of the others, a start that fails is their death.
    """

    def __init__(
        self,
        path: str,
        make: Callable[..., Awaitable[T]],
        streams: frozenset[str] = frozenset(),
        core: bool = False,
    ) -> None:
        self.path = path
        self.streams = streams
        module, _, self._class_name = path.partition(":")
        self._name = module.rpartition(".")[2]
        self.make = make
        self._core = core
        self._class: Any = None

    def start(self, key: str, *args: object, **options: object) -> None:
        """Start the actor `key` if it does not exist. `make` gets `args` in the new process."""
        if self._handle(key) is not None:
            return
        defaults: dict[str, object] = {
            "name": self.full_name(key),
            "namespace": NAMESPACE,
            "lifetime": "detached",
            "get_if_exists": True,
            "max_concurrency": _CONCURRENT_CALLS,
            "max_restarts": -1 if self._core else 0,
            "num_cpus": 0,
        }
        self.actor_class().options(**(defaults | options)).remote(self.made_of(*args), observing.mine(), *args)

    def made_of(self, *args: object) -> str:
        """Of what an actor is made that this process starts with these `args`, in short."""
        return fingerprint(observing.mine(), *args)

    def at(self, key: str = "") -> T:
        """The actor `key`, to be called like an object of its class."""
        return cast(T, self.remote(key))

    def remote(self, key: str = "") -> Remote:
        """The actor `key` as what it is: something far away, with a pulse."""
        retries, lookup_s = (-1, _CORE_LOOKUP_S) if self._core else (0, 0.0)
        return Remote(self.full_name(key), self._class_name, self.streams, retries, lookup_s)

    def kill(self, key: str = "") -> None:
        """End the actor's process, for good. Returns once another one of its name can be started."""
        if (handle := self._handle(key)) is not None:
            ray.kill(handle, no_restart=True)
            give_up_s = clock.monotonic_s() + _NAME_S
            while self._handle(key) is not None and clock.monotonic_s() < give_up_s:
                time.sleep(_NAME_STEP_S)

    def existing(self) -> list[str]:
        """The keys of all actors of this kind that exist."""
        prefix = f"{self._name}/"
        actors = list_named_actors(all_namespaces=True)
        names = [actor["name"] for actor in actors if actor["namespace"] == NAMESPACE]
        return [name.removeprefix(prefix) for name in names if name.startswith(prefix)]

    def actor_class(self) -> Any:
        """The class that Ray runs. Making it imports nothing of what it hosts."""
        # Once: Ray keeps every class it is ever given, here and in the cluster's head.
        if self._class is None:
            self._class = ray.remote(_hosted(self._class_name, self.make, self._core))
        return self._class

    def actor_id(self, key: str = "") -> str | None:
        """Ray's id of the actor `key`, or None where there is no such actor."""
        handle = self._handle(key)
        return None if handle is None else str(handle._actor_id.hex())

    def restarts(self, key: str = "") -> int:
        """How often Ray has started the actor `key` again: 0 where there is no such actor. Blocks."""
        actor_id = self.actor_id(key)
        return 0 if actor_id is None else int(state.actors(actor_id=actor_id)["NumRestarts"])

    def _handle(self, key: str) -> Any:
        """Ray's handle of the actor `key`, or None where there is no such actor."""
        try:
            return ray.get_actor(self.full_name(key), NAMESPACE)
        except ValueError:
            return None

    def full_name(self, key: str = "") -> str:
        """What Ray calls the actor `key`."""
        return f"{self._name}/{key}" if key else self._name


def _hosted(class_name: str, make: Callable[..., Awaitable[object]], core: bool) -> type:
    """A class for Ray to run: it hosts the plain object in its own process and passes every call on to it.

    It has the plain class's name, for titles of processes, and is made without importing it: the Supervisor, which
    starts everything, would hold all that everything imports.
    """

    async def made(*args: object) -> object:
        hosted = await make(*args)
        gc.freeze()
        return hosted

    async def init(self: Any, made_of: str, observed: Observing, *args: object) -> None:
        scheduling_class.use_batch()
        observing.begin(str(ray.get_runtime_context().get_actor_name()), observed)
        self._made_of = made_of
        self._host = Host(class_name, partial(made, *args))
        if core:
            self._host.begin()
        else:
            await self._host.begin_once()

    async def call(self: Any, method: str, *args: object) -> Any:
        return await self._host.call(method, *args)

    async def traced(self: Any, origin: Origin, method: str, *args: object) -> Any:
        with origins.within(*structs.astuple(origin)), spans.inside(f"{class_name}.{method}", "server"):
            return await self._host.call(method, *args)

    async def stream(self: Any, method: str, *args: object) -> AsyncGenerator[Any, None]:
        async with aclosing(getattr(await self._host.started(), method)(*args)) as items:
            async for item in items:
                yield item

    async def pulse(self: Any) -> Pulse:
        return Pulse(os.getpid(), threading.get_native_id(), VERSION, self._made_of)

    return type(class_name, (), {"__init__": init, CALL: call, TRACED: traced, STREAM: stream, PULSE: pulse})
