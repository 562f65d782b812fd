"""On behalf of which request something is done: what lines in the log say, and where spans belong."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import Context, ContextVar, copy_context

from cluster.messages.origin import UNKNOWN_ORIGIN, Origin

_current: ContextVar[Origin] = ContextVar("origin", default=UNKNOWN_ORIGIN)


def current() -> Origin:
    """The request that is served here, and the span that is under way."""
    return _current.get()


@contextmanager
def within(request_id: str, trace: str) -> Iterator[None]:
    """What is done in here is done for this request."""
    before = _current.set(Origin(request_id, trace))
    try:
        yield
    finally:
        _current.reset(before)


def apart() -> Context:
    """A context for what is done for many requests at once, or for none: a copy of this one, without its request."""
    context = copy_context()
    if _current.get() is not UNKNOWN_ORIGIN:
        context.run(_current.set, UNKNOWN_ORIGIN)
    return context
