"""A further machine of a simulated replica: it books its room, and does nothing."""

from threading import Event


class SimulatedPart:
    """It runs until its process ends."""

    def run(self) -> None:
        Event().wait()
