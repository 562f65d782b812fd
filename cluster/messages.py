"""What processes say to each other: small, frozen, typed. No ORM rows, dicts or requests cross a process border.

Times are milliseconds since the Unix epoch (`_ms`), durations seconds (`_s`), positions in a text Unicode code points.
"""

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct, field

from cluster.ids import AccountId, EngineId, JobId, KeyId, NodeId
from cluster.jobs import JobState

Role = Literal["system", "user", "assistant"]
FinishReason = Literal["stop", "length"]
KeyRole = Literal["member", "admin"]


class ChatMessage(Struct, frozen=True):
    role: Role
    content: str


class Sampling(Struct, frozen=True):
    """How to generate. The names and meanings are vLLM's.

    `json_schema` is a JSON Schema, as JSON text, that the answer has to follow.
    """

    max_tokens: int = 512
    temperature: float = 0.7
    top_p: float = 1.0
    stop: tuple[str, ...] = ()
    seed: int | None = None
    json_schema: str | None = None


class Rates(Struct, frozen=True, array_like=True):
    """What tokens cost: millionths of the currency unit per million tokens."""

    prompt: int = 0
    completion: int = 0


class Job(Struct, frozen=True, array_like=True):
    """A job as it was accepted. Never changes.

    `prompt_tokens` were counted at the door, None where they could not be; `rates` are what its tokens cost.
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


class Idempotency(Struct, frozen=True):
    """A client's name for one submission, and the hash of what it submitted under it."""

    key: str
    body_hash: str


class Submission(Struct, frozen=True):
    """A job that asks to be accepted. `prompt_ids` are its prompt's token ids, where the door has made them."""

    job: Job
    idempotency: Idempotency | None = None
    prompt_ids: tuple[int, ...] = ()


class Accepted(Struct, frozen=True):
    """A job that has been accepted: the one submitted, or the one submitted before under the same idempotency key."""

    id: JobId
    model: str
    created_ms: int


class Usage(Struct, frozen=True):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class Output(Struct, frozen=True, array_like=True):
    """What a job has produced so far: `text` is exactly the text of `token_ids`."""

    text: str = ""
    token_ids: tuple[int, ...] = ()


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


class End(Struct, frozen=True):
    """How a generation ended: with a finish reason, or with an error code and a message for the client."""

    usage: Usage
    finish_reason: FinishReason | None = None
    error: str | None = None
    error_message: str | None = None


class Delta(Struct, frozen=True, array_like=True):
    """What is new of one job: `text`, which begins at code point `offset`, and the token ids it came from.

    `token_offset` is how many tokens came before them. `prompt_tokens` is 0 until the prompt has been tokenised.
    """

    job_id: JobId
    attempt: int
    offset: int
    text: str
    token_offset: int = 0
    token_ids: tuple[int, ...] = ()
    prompt_tokens: int = 0
    end: End | None = None


class JobRecord(Struct, frozen=True):
    """A job as the Ledger tells it."""

    id: JobId
    account_id: AccountId
    model: str
    status: JobState
    created_ms: int
    node_id: NodeId | None = None
    content: str | None = None
    finish_reason: FinishReason | None = None
    usage: Usage | None = None
    error: str | None = None
    error_message: str | None = None
    ended_ms: int | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


RuledOut = Literal["offline", "serves another model", "draining", "not ready", "no room", "not the pinned node"]


class Verdict(Struct, frozen=True):
    """What was made of one engine when a job was placed. The lower `score` wins, of those that nothing ruled out."""

    engine_id: EngineId
    node_id: NodeId
    ruled_out_by: RuledOut | None
    score: int


class Placed(Struct, frozen=True):
    """A job has been given to an engine. `considered` is what was made of this one and of the others."""

    job_id: JobId
    node_id: NodeId
    engine_id: EngineId
    attempt: int
    placed_ms: int
    considered: tuple[Verdict, ...] = ()


class Placement(Struct, frozen=True):
    """Why a job runs where it runs: every attempt, and, of a job that waits, what rules the engines out now."""

    job_id: JobId
    attempts: tuple[Placed, ...]
    waiting: tuple[Verdict, ...] | None = None


class OpenJob(Struct, frozen=True):
    """A job that has not ended, as the Ledger knows it: what the Scheduler rebuilds its queue from."""

    job: Job
    status: JobState
    attempt: int = 0


class JobQuery(Struct, frozen=True):
    """Which jobs to list, newest first. `before` is the (created_ms, id) of the last job already listed."""

    limit: int = 20
    status: JobState | None = None
    since_ms: int | None = None
    before: tuple[int, str] | None = None


class Ended(Struct, frozen=True):
    """A job has ended: what the Ledger writes, once. `ran` is where, for a job so quick that this is told first."""

    job_id: JobId
    content: str
    end: End
    ended_ms: int
    ran: Placed | None = None


class KeyLimits(Struct, frozen=True):
    """What a key may ask for, in windows that are fixed on the clock. None means no limit."""

    submissions_per_minute: int = 60
    submissions_per_hour: int = 1000
    reads_per_minute: int = 600
    tokens_per_minute: int | None = None


BudgetUnit = Literal["tokens", "money"]
BudgetPeriod = Literal["month", "all"]


class Budget(Struct, frozen=True):
    """What a key or an account may consume: tokens or millionths of the currency unit, per month (UTC) or in all."""

    unit: BudgetUnit
    amount: int
    period: BudgetPeriod


class BudgetState(Struct, frozen=True):
    """A budget, what has been spent of it in its period, and what is reserved for jobs that have not ended."""

    budget: Budget
    spent: int = 0
    reserved: int = 0


class Principal(Struct, frozen=True):
    """Who asks: the holder of a valid key. `models` are the only ones it may use; none means all."""

    account_id: AccountId
    key_id: KeyId
    role: KeyRole
    limits: KeyLimits
    models: tuple[str, ...] = ()
    expires_ms: int | None = None


class Account(Struct, frozen=True):
    """An account. Without `limits` of its own its keys have the default ones."""

    id: AccountId
    name: str
    created_ms: int
    limits: KeyLimits | None = None
    budget: BudgetState | None = None


class NewKey(Struct, frozen=True):
    """A key to be made. Without `limits` it has its account's, or else the default ones."""

    id: KeyId
    account_id: AccountId
    name: str
    secret: str
    role: KeyRole
    created_ms: int
    expires_ms: int | None = None
    limits: KeyLimits | None = None
    budget: Budget | None = None
    models: tuple[str, ...] = ()


class Key(Struct, frozen=True):
    """A key as its owner is told of it. `prefix` is the beginning of its secret, `limits` are those in force."""

    id: KeyId
    account_id: AccountId
    name: str
    prefix: str
    role: KeyRole
    created_ms: int
    limits: KeyLimits
    expires_ms: int | None = None
    revoked_ms: int | None = None
    last_used_ms: int | None = None
    budget: BudgetState | None = None
    models: tuple[str, ...] = ()


UsageGrouping = Literal["key", "model", "day"]


class UsageQuery(Struct, frozen=True):
    """Which usage to add up: of jobs that ended from `since_ms` on and before `until_ms`."""

    account_id: AccountId
    since_ms: int | None = None
    until_ms: int | None = None
    group_by: UsageGrouping | None = None


class UsageSum(Struct, frozen=True):
    """Usage added up. `group` is a key's id, a model's id or a day (`YYYY-MM-DD`, UTC); `cost` is in millionths."""

    group: str | None
    jobs: int
    prompt_tokens: int
    completion_tokens: int
    cost: int


class WindowMark(Struct, frozen=True):
    """At most `used` has been let through of this window of a key's bucket, as the Ledger knows for good."""

    key_id: KeyId
    bucket: str
    length_s: int
    number: int
    used: int


class ModelTotals(Struct, frozen=True):
    """What has ended of one model since the Ledger's process began."""

    model: str
    completed: int = 0
    failed: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0


EngineState = Literal["starting", "ready", "failed", "stopped"]
JobAttempt = tuple[str, int]


class EngineReport(Struct, frozen=True):
    """An engine as it tells of itself.

    `message` is why it failed, in the backend's own words. `running` are the jobs whose output it keeps, and `age_s` is
    how long ago it told all this.
    """

    id: EngineId
    model: str
    node_id: NodeId
    state: EngineState
    message: str = ""
    pid: int = 0
    slots: int = 0
    context_length: int = 0
    running: tuple[JobAttempt, ...] = ()
    age_s: float = 0.0


class Gpu(Struct, frozen=True):
    name: str
    memory_bytes: int


class Hardware(Struct, frozen=True):
    """What a machine has. `cpus` and `gpu_count` are what Ray may give out there, `gpus` what NVML tells."""

    hostname: str
    cpus: float
    memory_bytes: int
    gpu_count: int = 0
    gpus: tuple[Gpu, ...] = ()


class NodeReport(Struct, frozen=True):
    """A node's heartbeat: all that the Scheduler may know of it, each time.

    `draining` is what the node was told, so that a Scheduler that lost its memory hears of it again.
    """

    node_id: NodeId
    hardware: Hardware
    engines: tuple[EngineReport, ...] = ()
    draining: bool = False


class EngineOrder(Struct, frozen=True):
    """An engine that a node is to keep running."""

    id: EngineId
    model: str


class NodeOrders(Struct, frozen=True):
    """All that a node is to do: the engines to run, and whether it is being drained."""

    engines: tuple[EngineOrder, ...] = ()
    draining: bool = False


class Fenced(Struct, frozen=True):
    """A job after its earlier attempts were shut out: what it has, and the number of the attempt to make next.

    `ended` jobs need no further attempt.
    """

    job_id: JobId
    attempt: int
    output: Output
    ended: bool


class Failure(Struct, frozen=True):
    """A job that fails for a reason found outside its engine."""

    job_id: JobId
    error: str
    error_message: str


class Released(Struct, frozen=True):
    """This attempt has ended its job, durably."""

    job_id: JobId
    attempt: int


NodeStatus = Literal["online", "draining", "offline"]
ModelState = Literal["ready", "starting", "idle", "failed"]


class NodeView(Struct, frozen=True):
    """A node as clients are told of it."""

    id: NodeId
    status: NodeStatus
    last_heartbeat_ms: int
    hardware: Hardware
    engines: tuple[EngineReport, ...]


class ModelView(Struct, frozen=True):
    """A model as clients are told of it.

    `nodes` is the number of machines with a ready replica, `fits` whether there is room for all that are wanted,
    `message` why it failed or does not fit.
    """

    id: str
    state: ModelState
    fits: bool
    message: str
    nodes: int
    replicas: int
    queued: int
    context_length: int
