"""The spans of an engine: its generations, of each how long the prompt took and how long the answer."""

from actors.backends.base import Chunk
from actors.telemetry import inference, spans
from actors.telemetry.spans import Attribute
from cluster import clock, traceparent
from cluster.ids import EngineId, JobId
from cluster.messages.work import Dispatch, Job


class _Generation:
    __slots__ = ("attempt", "attributes", "began_ns", "first_ns", "job", "place")

    def __init__(self, dispatch: Dispatch, attributes: dict[str, Attribute]) -> None:
        self.job: Job = dispatch.job
        self.attempt = dispatch.attempt
        self.place = inference.place(dispatch.job, dispatch.attempt)
        self.began_ns = clock.wall_ns()
        self.first_ns = 0
        self.attributes = attributes


class GenerationSpans:
    """Tells of generations that come to their end. Of those that are stopped, whoever stops them tells."""

    def __init__(self, engine_id: EngineId) -> None:
        self._engine_id = engine_id
        self._generations: dict[JobId, _Generation] = {}

    def begin(self, dispatch: Dispatch) -> None:
        """This one begins, if it is traced."""
        job, resume = dispatch.job, dispatch.resume
        if job.origin.trace and spans.are_told():
            attributes = inference.asked(job) | {
                "infernet.engine.id": self._engine_id,
                "infernet.attempt": dispatch.attempt,
                "infernet.resumed_tokens": len(resume.token_ids),
            }
            self._generations[job.id] = _Generation(dispatch, attributes)

    def hear(self, chunk: Chunk) -> None:
        """A step's part of it."""
        generation = self._generations.get(chunk.job_id)
        if generation is None or generation.attempt != chunk.attempt:
            return
        if not generation.first_ns and (chunk.token_ids or chunk.text):
            generation.first_ns = clock.wall_ns()
            self._tell(generation, "prefill", generation.began_ns, generation.first_ns)
        if chunk.end is not None:
            del self._generations[chunk.job_id]
            ended_ns = clock.wall_ns()
            if generation.first_ns:
                self._tell(generation, "decode", generation.first_ns, ended_ns)
            spans.tell(
                inference.name(generation.job),
                generation.place,
                traceparent.of_job(generation.job.origin.trace, generation.job.id),
                generation.began_ns,
                ended_ns,
                generation.attributes | inference.answered(chunk.end),
                inference.error(chunk.end),
            )

    def drop(self, job_id: JobId) -> None:
        """It is stopped, or of no interest any more."""
        self._generations.pop(job_id, None)

    def _tell(self, generation: _Generation, name: str, began_ns: int, ended_ns: int) -> None:
        place = str(spans.new_place(traceparent.read(generation.place)))
        spans.tell(name, place, generation.place, began_ns, ended_ns, {})
