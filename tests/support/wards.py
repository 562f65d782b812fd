"""An actor that is watched, and does what a test says."""

import asyncio

from msgspec.structs import replace

from actors.wire.calls import Gone
from cluster.liveness.silence import Vitals

RUNNING = Vitals(pid=7, born_s=100.0, stopped=False, busy_s=5.0, queued_s=1.0, hindered=True)


class PlainWard:
    """An actor that answers while it is `awake`; as a new process once it was ended."""

    def __init__(self, name: str = "journal") -> None:
        self.name = name
        self.seen: Vitals | None = RUNNING
        self.awake = asyncio.Event()
        self.awake.set()
        self.gone = False
        self.asked = 0
        self.ended: list[Vitals] = []

    async def pulse(self) -> None:
        self.asked += 1
        if self.gone:
            raise Gone("journal died")
        await self.awake.wait()

    async def vitals(self) -> Vitals | None:
        return self.seen

    async def end(self, vitals: Vitals) -> None:
        self.ended.append(vitals)

    def stop(self) -> None:
        self.awake.clear()
        self.seen = replace(RUNNING, stopped=True, hindered=False)
