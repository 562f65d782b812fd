"""An actor seen as a plain object: `await scheduler.submit(jobs)`, `async for frame in journal.frames(me)`.

Plain classes call each other through this, or directly in tests, and know no Ray.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from functools import partial
from typing import Any, cast

import ray
from msgspec import Struct
from ray.exceptions import ActorDiedError, ActorUnschedulableError, RayError, RayTaskError, RuntimeEnvSetupError

from actors.telemetry import origins, spans
from actors.wire.calls import Gone, Unreachable, Unreached
from cluster import clock

NAMESPACE = "infernet"
# The methods of every actor, as Ray knows it: each takes the name of a method of the plain object, and its arguments.
CALL = "call"
STREAM = "stream"
# As `call`, for a request that is traced: before all else it takes the request, and the span that called.
TRACED = "traced"
# This one takes nothing: it is answered by the process, not by the object in it.
PULSE = "pulse"
_LOOKUP_STEP_S = 0.1
# What Ray raises of an actor that will not answer again. Whatever else it raises may pass.
_FINAL = (ActorDiedError, ActorUnschedulableError, RuntimeEnvSetupError)


class Pulse(Struct, frozen=True):
    """The process that answers, and the thread of its event loop, by the ids of the machine it runs on.

    `version` is that of the code which runs in it, `made_of` the fingerprint of what its object was made of.
    """

    pid: int
    loop_thread: int
    version: str
    made_of: str


class Remote:
    """Calls go to the actor `name`, looked up when first needed, for up to `lookup_s`.

    Ray's own views, and the process's title, show a call as `class_name.method`, as they do for a class of Ray's own.
    `streams` are the methods that are async generators. `retries` is Ray's `max_task_retries`: -1 for an actor that
    comes back and whose methods may be repeated. Methods raise what the actor raised, or `Gone` or
    `Unreached`.
    """

    def __init__(self, name: str, class_name: str, streams: frozenset[str], retries: int, lookup_s: float) -> None:
        self._name = name
        self._class_name = class_name
        self._streams = streams
        self._retries = retries
        self._lookup_s = lookup_s
        self._handle: Any = None
        self._methods: dict[tuple[str, str], Any] = {}

    def __getattr__(self, method: str) -> Callable[..., Any]:
        if method.startswith("_"):
            raise AttributeError(method)
        call = partial(self._stream if method in self._streams else self._call, method)
        setattr(self, method, call)
        return call

    async def pulse(self) -> Pulse:
        """A sign of life, whether the object there has started or not. Raises `Unreachable` at once when it is dead."""
        return cast(Pulse, await self._answer(PULSE, PULSE, 0))

    async def _call(self, method: str, *args: Any) -> Any:
        if not origins.current().trace:
            return await self._answer(CALL, method, self._retries, method, *args)
        with spans.inside(f"{self._class_name}.{method}", "client"):
            return await self._answer(TRACED, method, self._retries, origins.current(), method, *args)

    async def _answer(self, ray_method: str, shown: str, retries: int, *args: Any) -> Any:
        try:
            call = await self._method(ray_method, shown, max_task_retries=retries)
            return await call.remote(*args)
        except RayTaskError as error:
            raise error.cause from None
        except RayError as error:
            raise self._unreachable(error) from None

    async def _stream(self, method: str, *args: Any) -> AsyncGenerator[Any, None]:
        # Ray repeats a stream from its first item, so a broken one is never retried here.
        stream = await self._method(STREAM, method, num_returns="streaming", max_task_retries=0)
        items = stream.remote(method, *args)
        try:
            async for item in items:
                yield await item
        except RayTaskError as error:
            raise error.cause from None
        except RayError as error:
            raise self._unreachable(error) from None
        finally:
            # Dropping the generator does not stop its producer.
            ray.cancel(items)

    async def _method(self, ray_method: str, method: str, **options: Any) -> Any:
        if (ray_method, method) not in self._methods:
            if self._handle is None:
                self._handle = await _find(self._name, self._lookup_s)
            shown = f"{self._class_name}.{method}"
            self._methods[ray_method, method] = getattr(self._handle, ray_method).options(name=shown, **options)
        return self._methods[ray_method, method]

    def _unreachable(self, error: RayError) -> Unreachable:
        self._handle = None
        self._methods.clear()
        if isinstance(error, _FINAL):
            return Gone(f"{self._name} died")
        return Unreached(f"{self._name} cannot be reached ({type(error).__name__})")


async def _find(name: str, lookup_s: float) -> Any:
    """The handle of a named actor; waits up to `lookup_s` for one that is being started."""
    give_up_s = clock.monotonic_s() + lookup_s
    while True:
        try:
            return await asyncio.to_thread(ray.get_actor, name, NAMESPACE)
        except ValueError:
            if clock.monotonic_s() >= give_up_s:
                raise Gone(f"{name} does not exist") from None
            await asyncio.sleep(_LOOKUP_STEP_S)
