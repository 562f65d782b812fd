"""How an order becomes a job: what is asked in which order, and that what is refused is not submitted."""

from collections.abc import Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from actors.backends.prompts.by_length import TOKEN_BYTES, prompt_bytes
from api.replica.gateway import Gateway
from api.replica.intake import Intake
from cluster.errors import BadRequest, Forbidden, InfernetError, ModelNotFound, RateLimited
from cluster.ids import AccountId, JobId, KeyId, NodeId
from cluster.limits.windows import Decision, Take
from cluster.messages.models import ModelSettings
from cluster.messages.people import KeyLimits, Principal, SignedIn
from cluster.messages.work import Accepted, ChatMessage, Idempotency, Job, Order, Sampling, Submission
from cluster.prefixes.chain import HASH_BYTES, chain
from cluster.settings.schema import Settings
from tests.support.clocks import StillClock
from tests.support.plain_system import SIM, run

NOW_MS = 1_700_000_000_000
TIMEOUT_S = 300
EARLIER = Accepted(JobId("job_earlier"), SIM.id, 1)
ORDER = Order(
    model=SIM.id,
    messages=(ChatMessage("user", "Hello"),),
    sampling=Sampling(max_tokens=7),
    body_hash="hash",
    node_id=NodeId("node_1"),
    metadata={"trace": "1"},
    priority="high",
)


def caller(models: tuple[str, ...] = (), tokens_per_minute: int | None = None) -> Principal:
    limits = KeyLimits(tokens_per_minute=tokens_per_minute)
    return Principal(AccountId("acct"), KeyId("key"), "member", limits, models)


class ControlPlane:
    """Ledger, RateLimiter and Scheduler in one: it notes what it is asked, and has room for `tokens`."""

    def __init__(self, tokens: int = 1_000_000) -> None:
        self.tokens = tokens
        self.asked: list[str] = []
        self.jobs: list[Job] = []
        self.prefixes: list[bytes] = []

    async def principals(self, shown: Sequence[SignedIn]) -> list[None]:
        return [None] * len(shown)

    async def model_settings(self) -> list[ModelSettings]:
        return []

    async def repeated(self, account_id: AccountId, idempotency: Idempotency) -> Accepted | None:
        self.asked.append("repeated")
        return EARLIER if idempotency == Idempotency("known", ORDER.body_hash) else None

    async def take(self, takes: Sequence[Take]) -> list[Decision]:
        self.asked.append("charge")
        return [Decision(take.amount <= self.tokens, self.tokens, 0, 60, 1) for take in takes]

    async def submit(self, submissions: Sequence[Submission]) -> list[Accepted]:
        self.asked.append("submit")
        self.jobs += [submission.job for submission in submissions]
        self.prefixes += [submission.prefix for submission in submissions]
        return [Accepted(job.id, job.model, job.created_ms) for job in self.jobs]


def intake(control_plane: Any) -> Intake:
    settings = Settings(models=(SIM,), job_timeout_s=TIMEOUT_S)
    clock = StillClock(ms=NOW_MS)
    return Gateway(settings, control_plane, control_plane, control_plane, control_plane, clock=clock).intake


def test_an_order_becomes_a_job_of_its_caller_with_a_deadline() -> None:
    async def scenario() -> None:
        plane = ControlPlane()
        accepted = await intake(plane).accept(caller(), ORDER, None)
        (job,) = plane.jobs
        assert accepted == Accepted(job.id, SIM.id, NOW_MS)
        assert (job.account_id, job.key_id, job.model) == ("acct", "key", SIM.id)
        assert (job.messages, job.sampling, job.node_id) == (ORDER.messages, ORDER.sampling, ORDER.node_id)
        assert job.priority == ORDER.priority
        assert (job.metadata, job.deadline_ms - job.created_ms) == (ORDER.metadata, TIMEOUT_S * 1000)
        assert plane.asked == ["submit"]

    run(scenario())


def test_a_job_comes_with_the_hashes_of_its_prompt() -> None:
    async def scenario() -> None:
        plane = ControlPlane()
        messages = (ChatMessage("user", "Hello, hello. " * 80),)
        await intake(plane).accept(caller(), replace(ORDER, messages=messages), None)
        assert plane.prefixes == [chain(prompt_bytes(messages), 64 * TOKEN_BYTES)]
        assert len(plane.prefixes[0]) == 4 * HASH_BYTES

    run(scenario())


@pytest.mark.parametrize(
    ("key", "asked"), [("known", ["repeated"]), ("new", ["repeated", "charge", "submit"]), (None, ["charge", "submit"])]
)
def test_what_was_submitted_before_is_neither_charged_nor_submitted_again(key: str | None, asked: list[str]) -> None:
    async def scenario() -> None:
        plane = ControlPlane()
        accepted = await intake(plane).accept(caller(tokens_per_minute=1_000_000), ORDER, key)
        assert (accepted == EARLIER) == (key == "known")
        assert plane.asked == asked

    run(scenario())


@pytest.mark.parametrize(
    ("who", "model", "key", "refusal", "asked"),
    [
        (caller(), "unknown", "", BadRequest, []),
        (caller(), "unknown", "x" * 256, BadRequest, []),
        (caller(("other",), 1), "unknown", None, ModelNotFound, []),
        (caller(("other",), 1), SIM.id, None, Forbidden, []),
        (caller(tokens_per_minute=1), SIM.id, None, BadRequest, []),
        (caller(tokens_per_minute=1_000_000), SIM.id, None, RateLimited, ["charge"]),
    ],
)
def test_the_first_check_that_fails_is_the_one_that_is_told(
    who: Principal, model: str, key: str | None, refusal: type[InfernetError], asked: list[str]
) -> None:
    async def scenario() -> None:
        plane = ControlPlane(tokens=0)
        order = Order(model, ORDER.messages, ORDER.sampling, ORDER.body_hash)
        with pytest.raises(refusal):
            await intake(plane).accept(who, order, key)
        assert plane.asked == asked

    run(scenario())
