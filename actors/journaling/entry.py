"""What the Journal keeps of one job."""

import asyncio

from msgspec.structs import replace

from actors.wire.frames import JobLog
from cluster.ids import EngineId, JobId
from cluster.messages.placements import Heard, Placed
from cluster.messages.records import EndedRecord
from cluster.messages.work import Delta, End, Output
from cluster.text.attempts import Attempts
from cluster.text.token_log import TokenLog


class Entry(JobLog):
    """A job's output here, which attempt may add to it, where the last one runs, and which engines have told of it."""

    __slots__ = ("attempts", "heard_before", "now_heard", "ran", "settling", "spared_tokens", "told_by")

    def __init__(self, job_id: JobId, overtaken_by: int = 0) -> None:
        """Attempts before `overtaken_by` are not heard."""
        super().__init__(job_id)
        self.attempts = Attempts()
        self.attempts.overtake(overtaken_by)
        self.ran: Placed | None = None
        # How many of the prompt's tokens the first engine that has told it had in its cache: what its client is told.
        self.spared_tokens: int | None = None
        # The engines that have told of it, and the attempts that they made.
        self.told_by: list[tuple[EngineId, int]] = []
        self.settling: asyncio.Task[None] | None = None
        # When tokens of the attempt were heard, and when those of the ones before it.
        self.now_heard: Heard | None = None
        self.heard_before: tuple[Heard, ...] = ()

    @property
    def empty(self) -> bool:
        """Only a reader's question made it, and that reader has gone."""
        return self.attempts.empty and not self.watchers

    @property
    def is_unsure(self) -> bool:
        """Something is known of it, and no end: a Journal before this one may have ended it."""
        return not (self.attempts.empty or self.attempts.ending)

    @property
    def heard(self) -> tuple[Heard, ...]:
        """When tokens of its attempts were heard here."""
        return self.heard_before if self.now_heard is None else (*self.heard_before, self.now_heard)

    @property
    def output(self) -> Output:
        return self.log.output(self.prompt_tokens, self.prompt_ids)

    def begin(self, delta: Delta, ran: Placed) -> None:
        """An attempt is heard for the first time: what it does not say is not the job's."""
        self.heard_before, self.now_heard = self.heard, None
        self.attempt = delta.attempt
        self.ran = ran
        self.cached_tokens = None
        self.note_teller(ran.engine_id, ran.attempt)
        self.origin = delta.origin or self.origin
        self._turn_to(delta.epoch)
        if delta.token_offset + len(delta.token_ids) < len(self.log.token_ids):
            self.cut(delta.token_offset + len(delta.token_ids))

    def note_teller(self, engine_id: EngineId, attempt: int) -> None:
        """This engine keeps something of the job, and may forget it when the job has ended."""
        if (engine_id, attempt) not in self.told_by:
            self.told_by.append((engine_id, attempt))

    def take(self, delta: Delta, now_ms: int) -> None:
        """Add what the current attempt says. Raises Gap."""
        if delta.token_ids:
            first_ms = now_ms if self.now_heard is None else self.now_heard.first_ms
            self.now_heard = Heard(delta.attempt, first_ms, now_ms)
        self.prompt_tokens = delta.prompt_tokens or self.prompt_tokens
        self.keep_prompt(delta.prompt_ids)
        if delta.cached_tokens is not None:
            self.cached_tokens = delta.cached_tokens
            if self.spared_tokens is None:
                self.spared_tokens = delta.cached_tokens
        self._give_way(delta.token_offset, delta.token_ids)
        said = delta.offset, delta.text, delta.token_offset, delta.token_ids, delta.ends
        self.log.append_at(*said, delta.mark_offset, delta.marks)
        self.touch()

    def counted(self, end: End) -> End:
        """How an attempt has ended, with what is known of the job and not of the attempt."""
        return replace(end, usage=replace(end.usage, cached_tokens=self.spared_tokens))

    def turn_to(self, record: EndedRecord) -> None:
        """The job had ended already, as this says: its text is this one, and so is its end."""
        held = self.log.epoch, self.log.text, tuple(self.log.marks)
        if (record.epoch, record.content, record.marks) != held:
            log = TokenLog(epoch=record.epoch)
            log.append(record.content, marks=record.marks)
            self.begin_anew(log)
        self.log.close(record.end)

    def take_output(self, output: Output) -> None:
        """Add what the Scheduler has of the job, unless it is of an earlier text."""
        self.prompt_tokens = output.prompt_tokens or self.prompt_tokens
        if output.epoch >= self.log.epoch:
            self._turn_to(output.epoch)
            self.keep_prompt(output.prompt_ids)
            self._give_way(0, output.token_ids)
            self.log.append_at(0, output.text, 0, output.token_ids, output.ends, 0, output.marks)
            self.touch()

    def _give_way(self, token_offset: int, token_ids: tuple[int, ...]) -> None:
        """What is here already and says otherwise was said by a former attempt, and does not count."""
        held = len(self.log.token_ids)
        if token_offset < held and (agreed := self.log.agreed(token_offset, token_ids)) < held:
            self.cut(agreed)

    def _turn_to(self, epoch: int) -> None:
        """Texts of two epochs are two texts: nothing of the one goes on in the other."""
        if epoch == self.log.epoch:
            return
        if self.log.length:
            self.begin_anew(TokenLog(epoch=epoch))
        self.log.epoch = epoch
