"""A further machine of a simulated replica: it books its room, and does nothing."""

from threading import Event

from actors.backends.base import BackendDied


class SimulatedPart:
    """It runs until it is closed."""

    def __init__(self) -> None:
        self._closed = Event()

    def run(self) -> None:
        self._closed.wait()
        raise BackendDied("it was closed")

    def close(self) -> None:
        self._closed.set()
