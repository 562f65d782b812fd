"""Clients that want a story told, whatever goes wrong: they repeat, resume, cancel and leave."""

import asyncio
from dataclasses import dataclass, field
from random import Random

from cluster.errors import BudgetExceeded, Conflict, InfernetError, RateLimited, StreamLost
from cluster.ids import JobId, new_job_id
from cluster.messages.work import ChatMessage, End, Failed, Job, Order, Position, Sampling
from tests.torture.plan import Story
from tests.torture.world import FREE_SECRET, GATEWAYS, KEY_IDS, MODEL, TIGHT_SECRET, World

PAUSE_S = 0.3
"""Between one attempt of a client and the next."""
ANSWER_WITHIN_S = 30.0
SILENT_S = 30.0
"""A reader that hears nothing for so long, not even a sign of life, connects anew."""


@dataclass
class Reading:
    """What one reader has been told, from `after` on."""

    after: int = 0
    epoch: int = 1
    text: str = ""
    end: End | None = None
    is_lost: bool = False
    """It was told that its text is not the job's any more."""
    faults: list[str] = field(default_factory=list)
    """What it was told that cannot be."""


class Client:
    """One client, and what became of what it wanted."""

    def __init__(self, world: World, number: int, story: Story) -> None:
        self.world = world
        self.story = story
        self.chance = Random(f"{world.plan.seed} {number}")
        self.messages = (ChatMessage("user", f"story {number}"),)
        self.secret = TIGHT_SECRET if story.has_budget else FREE_SECRET
        self.job_id: JobId | None = None
        self.answers: set[JobId] = set()
        """Every id that its submissions were answered with."""
        self.refusal: InfernetError | None = None
        self.asked_to_cancel = False
        self.readings = [Reading() for _ in range(story.readers)]

    async def tell(self) -> None:
        """Live the story, to its end."""
        await asyncio.sleep(self.story.arrives_s)
        self.job_id = await self._submit()
        if self.job_id is not None:
            await asyncio.gather(self._cancel(), *(self._read(reading) for reading in self.readings))

    async def read_late(self, after: int, epoch: int) -> Reading:
        """All that a reader is told who comes when all is over."""
        reading = Reading(after=after, epoch=epoch)
        await self._read(reading)
        return reading

    # Inside -------------------------------------------------------------------------------------------------------

    async def _submit(self) -> JobId | None:
        """Ask until it is accepted, or refused for good."""
        key = f"key of {self.messages[0].content}" if self.story.has_key else None
        sampling = Sampling(max_tokens=self.story.max_tokens, seed=self.story.seed)
        order = Order(MODEL, self.messages, sampling, body_hash=self.messages[0].content)
        job = self._job(sampling) if self.story.time_limit_s is not None else None
        while True:
            door = self.world.door(self.chance.randrange(GATEWAYS))
            try:
                async with asyncio.timeout(ANSWER_WITHIN_S):
                    call = door.accept(self.secret, order, key) if job is None else door.submit(self.secret, job)
                    accepted = await call
            except BudgetExceeded as refusal:
                self.refusal = refusal
                return None
            except RateLimited as refusal:
                await asyncio.sleep(refusal.retry_after_s)
            except Exception:  # noqa: BLE001 - whatever it was, the client asks again
                await asyncio.sleep(PAUSE_S)
            else:
                self.answers.add(accepted.id)
                if not self._repeats():
                    return accepted.id

    def _repeats(self) -> bool:
        """Whether to submit once more what was accepted, as a client that did not hear the answer."""
        return (self.story.has_key or self.story.time_limit_s is not None) and self.chance.random() < 0.3

    def _job(self, sampling: Sampling) -> Job:
        now_ms = self.world.clock.wall_ms()
        assert self.story.time_limit_s is not None
        return Job(
            id=new_job_id(),
            account_id=self.world.account_id,
            key_id=KEY_IDS[self.secret],
            model=MODEL,
            messages=self.messages,
            sampling=sampling,
            created_ms=now_ms,
            deadline_ms=now_ms + round(self.story.time_limit_s * 1000),
        )

    async def _cancel(self) -> None:
        if self.story.cancels_after_s is None:
            return
        assert self.job_id is not None
        await asyncio.sleep(self.story.cancels_after_s)
        self.asked_to_cancel = True
        while True:
            door = self.world.door(self.chance.randrange(GATEWAYS))
            try:
                async with asyncio.timeout(ANSWER_WITHIN_S):
                    await door.cancel(self.job_id, self.world.account_id)
            except Conflict:
                return  # it has ended
            except Exception:  # noqa: BLE001 - whatever it was, the client asks again
                await asyncio.sleep(PAUSE_S)
            else:
                return

    async def _read(self, reading: Reading) -> None:
        leaves_after = self.story.leaves_after
        while reading.end is None:
            try:
                await self._read_on(reading, leaves_after)
            except Exception:  # noqa: BLE001 - whatever it was, the client resumes
                await asyncio.sleep(PAUSE_S)
            leaves_after = self.chance.choice((0, self.story.leaves_after))

    async def _read_on(self, reading: Reading, leaves_after: int) -> None:
        """Read at some replica, from where the reader is."""
        assert self.job_id is not None
        door = self.world.door(self.chance.randrange(GATEWAYS))
        pieces = 0
        position = Position(reading.after + len(reading.text), reading.epoch)
        stream = door.read(self.job_id, self.world.account_id, position)
        try:
            while reading.end is None:
                async with asyncio.timeout(SILENT_S):
                    piece = await anext(stream)
                reading.text += piece.text
                reading.epoch = piece.epoch if piece.text else reading.epoch
                reading.end = piece.end
                reading.is_lost = isinstance(piece.end, Failed) and piece.end.error == StreamLost.code
                if piece.text and piece.offset != reading.after + len(reading.text):
                    reading.faults.append(f"at {reading.after + len(reading.text)}, told that it is at {piece.offset}")
                pieces += bool(piece.text)
                if pieces == leaves_after > 0:
                    return
        finally:
            await stream.aclose()
