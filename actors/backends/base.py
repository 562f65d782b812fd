"""The promise every backend keeps.

A backend generates in a thread of its own and hands each step's output to its sink in one call, which is
the natural frame: cost follows engine steps, not tokens times streams. Every backend passes the same suite
(`tests/support/backend_suite.py`).
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Protocol

from msgspec import Struct

from cluster.catalogue import Adapter
from cluster.ids import JobId
from cluster.measures.engine_times import Times
from cluster.messages.machines import AdapterRefusal, EngineFigures
from cluster.messages.marks import Mark
from cluster.messages.media import MediumHash
from cluster.messages.work import Asking, Dispatch, End, Form, JobAttempt, Sampling


class Chunk(Struct, frozen=True):
    """What one step produced for one generation.

    `text` is exactly the text of `token_ids`: token ids whose text is still withheld (half a character, a
    possible stop string) come with the chunk that brings their text, and the last one brings text. `ends` is where in
    `text` each token ends; it is empty where all of it came with the last. Ids that never bring text (the one that ends
    the answer, one cut by a stop string) are left out, but counted in the usage. A text of no tokens comes as a whole,
    with the end.
    A generation's first chunk carries `prompt_tokens`, `cached_tokens`, how many of these were in the cache, and
    `prompt_ids` where another rendering of the prompt would not make the same. The last one carries `end`, whose usage
    counts the whole job: the tokens resumed from as well. `retryable` says of an end that it is a failure which another
    attempt, here or elsewhere, need not meet. `marks` say what the text means, at positions of the job's whole text.
    """

    job_id: JobId
    attempt: int
    text: str = ""
    token_ids: tuple[int, ...] = ()
    prompt_tokens: int = 0
    end: End | None = None
    ends: tuple[int, ...] = ()
    retryable: bool = False
    prompt_ids: tuple[int, ...] = ()
    cached_tokens: int | None = None
    marks: tuple[Mark, ...] = ()


Sink = Callable[[Sequence[Chunk]], None]

Media = Mapping[MediumHash, bytes]
"""The pictures and sounds of forms, by their hashes."""

NO_MEDIA: Media = {}


class Loaded(Struct, frozen=True):
    """What a loaded model offers. `slots` is how many generations it batches, `context_length` is in tokens.

    It caches `cache_tokens` of prompts, in blocks of `block_tokens`; both are 0 where it caches none.
    """

    slots: int
    context_length: int
    cache_tokens: int = 0
    block_tokens: int = 0


class Adapted(Struct, frozen=True):
    """Which adapters a backend can generate with, by their numbers, and which it cannot load."""

    known: tuple[int, ...] = ()
    refused: tuple[AdapterRefusal, ...] = ()


class Place(Struct, frozen=True):
    """Which part of a replica this is, of one for each of its machines, and the address of its own machine.

    All parts meet at `meeting_port` of the machine of the first, whose rank is 0.
    """

    rank: int
    address: str
    meeting_address: str
    meeting_port: int


class BackendDied(Exception):
    """The backend cannot go on: its generations must continue elsewhere. The message is its own reason."""


class Backend(Protocol):
    """Called from one event loop; `load` and `close` block and are called in a thread."""

    @property
    def steps(self) -> int:
        """How many steps the thread that generates has made. While it has something to generate, it makes more."""
        ...

    @property
    def adapters(self) -> Sequence[str]:
        """The model's adapters that it has loaded, the one used last last. Asked from any thread."""
        ...

    @property
    def adapted(self) -> Adapted:
        """What it makes of the adapters that it was made with, or told of since. Asked from any thread."""
        ...

    def adapt(self, adapters: Sequence[Adapter]) -> "Future[None]":
        """Know these adapters from now on, and no others. Does not block; done when `adapted` tells of each.

        Each is loaded once, as a check. What is being generated goes on with the adapter that it has.
        """
        ...

    @property
    def figures(self) -> EngineFigures | None:
        """What it counts of itself; None where it counts nothing. Asked from any thread."""
        ...

    @property
    def times(self) -> Times:
        """How long things took since it was loaded, as it counts it of itself. Asked from any thread."""
        ...

    @property
    def phase(self) -> str:
        """What `load` is doing, in words; nothing where it does not say, or has ended. Asked from any thread."""
        ...

    def load(self, sink: Sink, died: Callable[[BackendDied], None]) -> Loaded:
        """Load the model. Then `sink` is called from the backend's thread, at most once per step.

        `died` is called, once and from any thread, when the backend cannot go on.
        Raises BackendDied with the backend's own reason when the model does not load.
        """
        ...

    def start(self, dispatches: Sequence[Dispatch], media: Media = NO_MEDIA) -> None:
        """Begin to generate. Does not block. A job that cannot be generated ends with an error chunk.

        `media` has all that the forms of these jobs name.
        What a dead or closed backend is given is ignored: `died` has said that nothing will come.
        """
        ...

    def ask(self, form: Form, sampling: Sampling, media: Media = NO_MEDIA) -> "Future[Asking]":
        """What this form asks, judged as if it were to be generated. Nothing is. `media` has all that it names."""
        ...

    def abort(self, jobs: Sequence[JobAttempt]) -> None:
        """Stop generating (job id, attempt) without an end. Does not block; what is unknown is ignored.

        Takes effect in the order of the calls: a chunk of the step under way may still come, but none after
        the first chunk of a job that was started later.
        """
        ...

    def close(self) -> None:
        """Stop, free what was held, and leave no thread and no process behind. Blocks until done.

        Nothing more comes: no chunk, no end, no `died`. Closing twice, or what never loaded, is fine.
        """
        ...


class Part(Protocol):
    """What a backend has on a further machine of a replica that spans several."""

    def run(self) -> None:
        """Be this part. Blocks for as long as there is anything of it, and raises BackendDied with the reason then."""
        ...

    def close(self) -> None:
        """End, and leave nothing behind. Blocks until done; `run` then raises."""
        ...
