"""An endpoint of webhooks under torture: it refuses, is silent, asks for pauses, and takes everything in the end."""

import asyncio
import json
from collections import Counter, defaultdict
from collections.abc import Mapping
from random import Random

from actors.couriering.posting import Answer

URL = "https://hooks.test/"
MOST_REFUSALS = 1
"""Of one event: it is tried again after seconds, and after another one only after a minute."""

_ANSWERS = (
    Answer(500, "refused"),
    Answer(429, "refused", "3"),
    Answer(302, "redirected"),
    Answer(problem="timeout"),
    Answer(problem="connection_failed"),
)


class TakingReceiver:
    """What it has taken, and under which ids, by the jobs that it was told of. It also takes what it refuses."""

    def __init__(self, chance: Random) -> None:
        self._chance = chance
        self._refusals: Counter[str] = Counter()
        self.taken: dict[str, set[str]] = defaultdict(set)
        self.events: dict[str, set[str]] = defaultdict(set)

    async def post(self, url: str, headers: Mapping[str, str], body: str) -> Answer:
        message, event = headers["webhook-id"], json.loads(body)
        job_id = event["data"]["id"]
        await asyncio.sleep(self._chance.choice((0.0, 0.01, 0.5, 5.0)))
        self.events[job_id].add(event["type"])
        if self._refusals[message] < MOST_REFUSALS and self._chance.random() < 0.3:
            self._refusals[message] += 1
            return self._chance.choice(_ANSWERS)
        self.taken[job_id].add(message)
        return Answer(self._chance.choice((200, 204)))

    async def close(self) -> None:
        """Nothing of it is open."""
