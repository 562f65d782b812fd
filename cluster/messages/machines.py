"""What nodes, engines and the Scheduler tell each other, and what clients are told of them."""

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct, field

from cluster.catalogue import Adapter
from cluster.ids import EngineId, JobId, NodeId
from cluster.messages.work import JobAttempt

EngineState = Literal["starting", "ready", "failed", "stopped"]


class FailedAttempt(Struct, frozen=True):
    """An attempt that failed before its first token, for no fault of the job's: it may do better elsewhere."""

    job_id: JobId
    attempt: int
    message: str


class Make(Struct, frozen=True):
    """What an engine was made of: it is outdated once its model's settings make another `fingerprint`.

    Its token ids mean the same as those of another one of this `vocabulary`. It books `gpus` and `cpus`.
    """

    fingerprint: str
    vocabulary: str
    gpus: int
    cpus: float


class AdapterRefusal(Struct, frozen=True):
    """An adapter, by its number, that an engine cannot load, and why, in its backend's words.

    Where the engine is `outgrown`, one that is made anew may have room for it.
    """

    number: int
    reason: str
    outgrown: bool = False


class EngineFigures(Struct, frozen=True, array_like=True):
    """What vLLM counts of itself, by its own names: https://docs.vllm.ai/en/stable/usage/metrics/

    The first three are so now, the others are since the engine began. `request_success` are by how requests finished.
    Those of speculative decoding are 0 where there is none.
    """

    num_requests_running: int = 0
    num_requests_waiting: int = 0
    kv_cache_usage_perc: float = 0.0
    prefix_cache_queries: int = 0
    prefix_cache_hits: int = 0
    mm_cache_queries: int = 0
    mm_cache_hits: int = 0
    num_preemptions: int = 0
    prompt_tokens: int = 0
    prompt_tokens_cached: int = 0
    generation_tokens: int = 0
    spec_decode_num_drafts: int = 0
    spec_decode_num_draft_tokens: int = 0
    spec_decode_num_accepted_tokens: int = 0
    request_success: Mapping[str, int] = field(default_factory=dict)


class EngineReport(Struct, frozen=True):
    """An engine as it tells of itself.

    `message` is why it failed, in the backend's own words. `running` are the attempts whose output it keeps, `tokens`
    how many each has of it; of these,
    `unconfirmed` may not be told of yet, `stopped` were given up on somebody's word, and `failed` have ended without
    anything to tell. `steps` counts the steps of
    the thread that generates, `generating` is for how many jobs it has to make some, and `prefill_tokens` are the
    prompts' tokens of those that have no output yet. `age_s` is how long ago it told all this. `phase` is what one that
    starts is doing. It keeps `cache_tokens` of prompts, in blocks of `block_tokens`; both are 0 where it keeps none.
    What it is `made_of` is not known before its process has told. It has these `adapters` loaded, the one used last
    last; it can generate with those of the numbers that it has `known`, and not with those that it has `refused`. Of
    `figures` there are none where its backend counts none.
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
    tokens: tuple[int, ...] = ()
    age_s: float = 0.0
    unconfirmed: tuple[JobAttempt, ...] = ()
    stopped: tuple[JobAttempt, ...] = ()
    failed: tuple[FailedAttempt, ...] = ()
    steps: int = 0
    generating: int = 0
    prefill_tokens: int = 0
    phase: str = ""
    cache_tokens: int = 0
    block_tokens: int = 0
    made_of: Make | None = None
    adapters: tuple[str, ...] = ()
    figures: EngineFigures | None = None
    known: tuple[int, ...] = ()
    refused: tuple[AdapterRefusal, ...] = ()


class Gpu(Struct, frozen=True):
    name: str
    memory_bytes: int


class GpuLoad(Struct, frozen=True, array_like=True):
    """What a GPU is used for now: memory, and the share of time in which it did anything, as its driver tells.

    None where it does not tell.
    """

    memory_used_bytes: int | None
    utilization: float | None


class Hardware(Struct, frozen=True):
    """What a machine has. `cpus` and `gpu_count` are what Ray may give out there, `gpus` what NVML tells."""

    hostname: str
    cpus: float
    memory_bytes: int
    gpu_count: int = 0
    gpus: tuple[Gpu, ...] = ()


class NodeReport(Struct, frozen=True):
    """A node's heartbeat: all that the Scheduler may know of it, each time.

    `draining` is what the node was told, so that a Scheduler that lost its memory hears of it again. Until a new
    NodeAgent has asked the engines that ran before it, its report is not `complete`: there may be more of them. `agent`
    tells it from the one before it, which may only have stood still; it `begins` until it has been answered. `ending`
    are engines that it tells no more of, and that may still hold what they booked. `cached` are the models whose
    weights are on the machine; None until it has looked. `gpu_loads` are of the GPUs that NVML tells, in their order.
    """

    node_id: NodeId
    hardware: Hardware
    engines: tuple[EngineReport, ...] = ()
    draining: bool = False
    complete: bool = True
    agent: str = ""
    begins: bool = False
    ending: tuple[EngineId, ...] = ()
    cached: tuple[str, ...] | None = None
    gpu_loads: tuple[GpuLoad, ...] = ()


class EngineOrder(Struct, frozen=True):
    """An engine that a node is to keep running, after so many restarts of its model's.

    It is to know these `adapters` of its model, and no others; None where it has told that it does.
    """

    id: EngineId
    model: str
    restarts: int = 0
    adapters: tuple[Adapter, ...] | None = None


class NodeOrders(Struct, frozen=True):
    """All that a node is to do: the engines to run, and whether it is being drained.

    Nothing any more where it is `superseded`: another NodeAgent has begun on its machine.
    """

    engines: tuple[EngineOrder, ...] = ()
    draining: bool = False
    superseded: bool = False


NodeStatus = Literal["online", "draining", "offline", "idle"]
"""`idle`: in the cluster, and nothing runs there. What is offline is not there, or does not answer."""


ModelState = Literal["ready", "starting", "idle", "failed"]


class CacheTotals(Struct, frozen=True):
    """Prompt tokens of jobs whose engines have told: all, those expected in their engine's cache, those found there."""

    prompt: int = 0
    predicted: int = 0
    actual: int = 0


class NodeView(Struct, frozen=True):
    """A node as clients are told of it. `weights` are the models whose weights are on its machine.

    An engine on several machines is among the `engines` of each.
    """

    id: NodeId
    status: NodeStatus
    last_heartbeat_ms: int
    hardware: Hardware
    engines: tuple[EngineReport, ...]
    weights: tuple[str, ...] = ()
    gpu_loads: tuple[GpuLoad, ...] = ()


class AdapterView(Struct, frozen=True):
    """An adapter of a model, as clients are told of it. So many `engines` have it loaded.

    No jobs are taken for it while it is `missing`: engines serve the model that do not know it, and `message` is why.
    """

    adapter: Adapter
    engines: int
    missing: bool = False
    message: str = ""

    @property
    def id(self) -> str:
        return self.adapter.id


class ModelView(Struct, frozen=True):
    """A model as clients are told of it.

    `nodes` is the number of machines with a ready replica, `fits` whether there is room for all that are wanted,
    `message` why it failed or does not fit. `wanted` is how many replicas there are to be, `scaling` why. `starting` is
    what the one that is nearest to being ready waits for. `cache` tells how much of prompts was found in engines'
    caches, since the Scheduler began. Engines have been `leased` so many jobs.
    """

    id: str
    state: ModelState
    fits: bool
    message: str
    nodes: int
    replicas: int
    queued: int
    context_length: int
    wanted: int
    scaling: str
    starting: str = ""
    cache: CacheTotals = CacheTotals()
    adapters: tuple[AdapterView, ...] = ()
    leased: int = 0
