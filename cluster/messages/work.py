"""What is said of jobs: by clients, Scheduler, engines, Journal and Ledger.

Small, frozen, typed; no ORM rows, dicts or requests cross a process border. Times are milliseconds since the Unix epoch
(`_ms`), durations seconds (`_s`), positions in a text Unicode code points.
"""

from collections.abc import Collection, Mapping
from itertools import pairwise
from typing import Any, Literal

from msgspec import Struct, field

from cluster.ids import AccountId, JobId, KeyId, NodeId, WebhookId
from cluster.job_states import JobState
from cluster.messages.marks import FinishReason, Mark
from cluster.messages.media import Given, MediumHash
from cluster.messages.money import Rates, Usage
from cluster.messages.origin import UNKNOWN_ORIGIN, Origin
from cluster.messages.placements import Heard, Placed

Role = Literal["system", "user", "assistant"]


class ChatMessage(Struct, frozen=True):
    role: Role
    content: str


AS_CONTEXT_LEAVES = 0
"""In an order, the `max_tokens` of who asks for as much as the model's context leaves. A job has a number."""


class Sampling(Struct, frozen=True):
    """How to generate. The names and meanings are vLLM's.

    Without `temperature` or `top_p` they are what the model's authors recommend. `json_schema` is a JSON Schema, as
    JSON text, that the answer has to follow. There are `n` choices for each prompt. `others` are what else vLLM is
    told, by its own names: its `SamplingParams` say what there is. `return_token_ids` and
    `return_tokens_as_token_ids` say how the answer's tokens are told.
    """

    max_tokens: int = 512
    temperature: float | None = 0.7
    top_p: float | None = 1.0
    stop: tuple[str, ...] = ()
    seed: int | None = None
    json_schema: str | None = None
    min_tokens: int = 0
    include_stop_str_in_output: bool = False
    skip_special_tokens: bool = True
    others: Mapping[str, Any] = field(default_factory=dict)
    n: int = 1
    return_token_ids: bool = False
    return_tokens_as_token_ids: bool = False


FormKind = Literal["chat", "completion", "tokens", "embedding", "score", "rerank"]

POOLING: Collection[FormKind] = ("embedding", "score", "rerank")
"""The kinds of forms that pooling models answer."""

NOTHING_GENERATED = 0
"""The `max_tokens` of a job that generates no text."""


class Form(Struct, frozen=True):
    """What is asked for where it is more than a dialogue of texts: the body, as JSON, of vLLM's own request.

    It has what rendering the prompt and parsing the answer need; how tokens are drawn is in the job's `Sampling`.
    What only asks for `tokens` is never a job's. `why` is the field that no dialogue of texts could stand for, nothing
    where one can. It asks so many `prompts`; of a form that scores, these are pairs of texts. `media` are the hashes of
    the pictures and sounds that its body names by number.
    """

    kind: FormKind
    body: str
    why: str = ""
    prompts: int = 1
    media: tuple[MediumHash, ...] = ()

    @property
    def pools(self) -> bool:
        """Whether numbers are asked for, of a model that generates nothing."""
        return self.kind in POOLING


class Asking(Struct, frozen=True):
    """What an engine makes of a form: how many tokens its prompts have, and which those of a single one are.

    One that cannot be used is refused, in words for the client.
    """

    tokens: int = 0
    ids: tuple[int, ...] = ()
    refusal: str = ""


Priority = Literal["high", "normal", "low"]
"""Which of an account's jobs come first. It gives nothing of what other accounts have."""


class Job(Struct, frozen=True, array_like=True):
    """A job as it was accepted. Never changes.

    One that has a `form` is asked by that, and has no `messages`. `prompt_tokens` were counted at the door, None where
    they could not be; `rates` are what its tokens cost. With an `adapter`, the id of one of the model's, engines of the
    model generate with that: with the one that had this `adapter_number` when the job was accepted. The endpoint
    `webhook_id` is told of its end.
    """

    id: JobId
    account_id: AccountId
    key_id: KeyId
    model: str
    messages: tuple[ChatMessage, ...]
    sampling: Sampling
    created_ms: int
    deadline_ms: int
    node_id: NodeId | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    prompt_tokens: int | None = None
    rates: Rates = Rates()
    priority: Priority = "normal"
    form: Form | None = None
    adapter: str = ""
    webhook_id: WebhookId | None = None
    origin: Origin = UNKNOWN_ORIGIN
    adapter_number: int = 0

    @property
    def asked_for(self) -> str:
        """The id that its client knows the model by, and that its usage is counted under."""
        return self.adapter or self.model

    @property
    def choices(self) -> int:
        """How many answers there are to be."""
        return self.sampling.n * (1 if self.form is None else self.form.prompts)


class Order(Struct, frozen=True):
    """What a client wants done. `body_hash` tells this order from others under the same idempotency key.

    `model` may be None where there is only one.
    Where there is a `form`, `messages` is as much of it as texts can say. `media` are what its body names by number.
    They may be large: whoever has kept them clears the list. An answer of as much as the context leaves has
    `most_tokens` at most. `webhook_url` is that of the account's endpoint that is to be told of the end.
    """

    model: str | None
    messages: tuple[ChatMessage, ...]
    sampling: Sampling
    body_hash: str
    node_id: NodeId | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    priority: Priority = "normal"
    form: Form | None = None
    media: list[Given] = field(default_factory=list)
    most_tokens: int | None = None
    webhook_url: str | None = None


class Position(Struct, frozen=True):
    """Where a reader stands in a job's text: so many code points of the text of this epoch have been delivered."""

    offset: int = 0
    epoch: int = 1


class Idempotency(Struct, frozen=True):
    """A client's name for one submission, and the hash of what it submitted under it."""

    key: str
    body_hash: str


class Submission(Struct, frozen=True):
    """A job that asks to be accepted. `prompt_ids` are its prompt's token ids, where the door has made them.

    `max_queued` is how many jobs of its account may wait, this one among them; None means any number. `prefix` are
    hashes of its prompt's beginnings (`cluster/prefixes/chain.py`), where it can be told.
    """

    job: Job
    idempotency: Idempotency | None = None
    prompt_ids: tuple[int, ...] = ()
    max_queued: int | None = None
    prefix: bytes = b""


class Accepted(Struct, frozen=True):
    """A job that has been accepted: the one submitted, or the one submitted before under the same idempotency key."""

    id: JobId
    model: str
    created_ms: int


class Output(Struct, frozen=True, array_like=True):
    """What a job has produced so far: `text` is exactly the text of `token_ids`, of which each ends at its `ends`.

    A token that ends within a character brings no text: the one that completes the character does. The last token
    brings text, so that this is a point to go on from.

    `epoch` tells texts apart that were drawn independently of each other: the first one of a job has 1, one that begins
    in the place of another the job's age in milliseconds. It is 0 where nothing has been drawn. `prompt_tokens` is 0
    where they are not known.

    `prompt_ids` are the prompt's tokens where another rendering would not make the same: its template tells the time.
    `marks` say what the text means; then it is what was delivered of the tokens, each choice's for itself.
    """

    text: str = ""
    token_ids: tuple[int, ...] = ()
    ends: tuple[int, ...] = ()
    epoch: int = 0
    prompt_tokens: int = 0
    prompt_ids: tuple[int, ...] = ()
    marks: tuple[Mark, ...] = ()


LAST_EPOCH = 999_999_999

UNTOLD = Output(epoch=1)
"""What a job has of which nobody has been told any text: it can begin anew, and lose nothing."""


class Dispatch(Struct, frozen=True):
    """An order to an engine: generate this job from `resume` on, as attempt number `attempt`.

    Nobody may hear of a job that is not `confirmed` yet: it may still be refused. Without `prompt_ids` the engine makes
    the prompt's tokens itself.
    """

    job: Job
    attempt: int
    resume: Output = Output()
    confirmed: bool = True
    prompt_ids: tuple[int, ...] = ()

    @property
    def epoch(self) -> int:
        """Whoever goes on from a text keeps its epoch."""
        return self.resume.epoch or self.attempt


class Finished(Struct, frozen=True, tag=True):
    """A generation that came to its end. `stop_reason` is the stop string or token that ended it, if one did.

    Of several choices it tells of the first.
    """

    usage: Usage
    finish_reason: FinishReason
    stop_reason: int | str | None = None


class Failed(Struct, frozen=True, tag=True):
    """A generation that failed: an error code, and a message for the client."""

    usage: Usage
    error: str
    error_message: str


End = Finished | Failed
"""How a job ended."""


class Delta(Struct, frozen=True, array_like=True):
    """What is new of one job: `text`, which begins at code point `offset`, and the token ids it came from.

    `token_offset` is how many tokens came before them, `ends` the position in the job's text at which each ends.
    `prompt_tokens` is 0 until the prompt has been tokenised. Texts of two epochs are two texts. `prompt_ids`, where
    there are any, and `cached_tokens`, how many of the prompt's the engine had in its cache, come with the first that
    a reader of tokens is told, and so does the job's `origin`. `mark_offset` is how many marks came before these.
    """

    job_id: JobId
    attempt: int
    offset: int
    text: str
    token_offset: int = 0
    token_ids: tuple[int, ...] = ()
    prompt_tokens: int = 0
    end: End | None = None
    ends: tuple[int, ...] = ()
    epoch: int = 0
    prompt_ids: tuple[int, ...] = ()
    cached_tokens: int | None = None
    mark_offset: int = 0
    marks: tuple[Mark, ...] = ()
    origin: Origin | None = None


class OpenJob(Struct, frozen=True):
    """A job that has not ended, as the Ledger knows it: what the Scheduler rebuilds its queue from."""

    job: Job
    status: JobState
    attempt: int = 0


class Ended(Struct, frozen=True):
    """A job has ended: what the Ledger writes, once. `ran` is where, for a job so quick that this is told first.

    `content` is its text of this `epoch`, which is 0 where it has none and one that was told may have been lost.
    `marks` say what the text means. `heard` is when tokens of its attempts were heard, as far as that is known;
    `first_text_ms` is when the first of all came, None where none came or nobody can tell.
    """

    job_id: JobId
    content: str
    end: End
    ended_ms: int
    ran: Placed | None = None
    epoch: int = 1
    marks: tuple[Mark, ...] = ()
    heard: tuple[Heard, ...] = ()
    first_text_ms: int | None = None
    origin: Origin = UNKNOWN_ORIGIN

    @property
    def gaps_ms(self) -> tuple[int, ...]:
        """How long the text was silent each time that the job had moved."""
        return tuple(then.first_ms - before.last_ms for before, then in pairwise(self.heard))


JobAttempt = tuple[JobId, int]

OpenAttempt = tuple[JobId, int, int]
"""A job that has not ended, its last attempt and when it was created, in milliseconds."""


class Fenced(Struct, frozen=True):
    """A job after its earlier attempts were shut out: what it has, and the number of the attempt to make next.

    `ended` jobs need no further attempt.
    """

    job_id: JobId
    attempt: int
    output: Output
    ended: bool


class Failure(Struct, frozen=True):
    """A job that fails for a reason found outside its engine.

    `attempt` is the last one made, 0 for none, and `output` what whoever found the reason has of the job.
    """

    job_id: JobId
    error: str
    error_message: str
    attempt: int = 0
    output: Output = Output()
    origin: Origin = UNKNOWN_ORIGIN


class Released(Struct, frozen=True):
    """This attempt has ended its job, durably, at so many tokens. `failed`: it was its engine that failed.

    `cached_tokens` of the prompt were in the engine's cache, None where it has not told.
    """

    job_id: JobId
    attempt: int
    failed: bool = False
    tokens: int = 0
    cached_tokens: int | None = None
