"""All that routes may talk to: who asks, may they, and what of the cluster they asked for."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from actors.backends.prompts.counter import PromptCounter
from actors.wire.batcher import Batcher
from api.replica.allowances import Allowances
from api.replica.principals import Principals
from api.replica.streams import StreamHub
from cluster import clock
from cluster.catalogue import Catalogue, Model
from cluster.errors import BadRequest, Conflict, InfernetError, JobCancelled, JobNotFound, ModelNotFound, NodeNotFound
from cluster.ids import AccountId, JobId, KeyId, NodeId
from cluster.limits.pricing import most_usage
from cluster.limits.windows import Bucket, Decision, refusal
from cluster.messages.machines import ModelView, NodeView
from cluster.messages.money import ModelTotals, UsageQuery, UsageSum
from cluster.messages.people import Account, Key, NewKey, Principal
from cluster.messages.work import Accepted, Idempotency, Job, JobQuery, JobRecord, Placement, Submission
from cluster.settings.schema import Settings
from cluster.timing import Timing

if TYPE_CHECKING:
    from actors.journal import Journal
    from actors.ledger import Ledger
    from actors.rate_limiter import RateLimiter
    from actors.scheduler import Scheduler


class Gateway:
    """One per ingress replica. It owns nothing that matters: another replica answers the same."""

    def __init__(
        self,
        settings: Settings,
        ledger: "Ledger",
        rate_limiter: "RateLimiter",
        scheduler: "Scheduler",
        journal: "Journal",
        timing: Timing = Timing(),
    ) -> None:
        self.catalogue = Catalogue(settings.models)
        self.default_limits = settings.limits
        self.job_timeout_ms = settings.job_timeout_s * 1000
        self._ledger = ledger
        self._scheduler = scheduler
        self._principals = Principals(ledger)
        self._allowances = Allowances(rate_limiter)
        self._submissions = Batcher[Submission, Accepted](self._submit_batch)
        self.streams = StreamHub(journal, ledger, timing=timing)
        self.prompts = PromptCounter(settings.models)

    async def start(self) -> None:
        await self.streams.start()
        await self.prompts.start()

    async def stop(self) -> None:
        await self.streams.stop()
        await self.prompts.stop()

    async def authenticate(self, token: str) -> Principal:
        """Raises Unauthorized."""
        return await self._principals.find(token)

    async def admit(self, principal: Principal, bucket: Bucket) -> Decision:
        """Charge a request to the key, whichever replica it reached."""
        return await self._allowances.take(principal, bucket)

    async def admit_tokens(self, principal: Principal, job: Job) -> None:
        """Charge the most that a job can consume to its key. Raises RateLimited, and BadRequest if it never fits."""
        limit = principal.limits.tokens_per_minute
        if limit is None:
            return
        most = most_usage(job)
        tokens = most.prompt_tokens + most.completion_tokens
        if tokens > limit:
            raise BadRequest(f"max_tokens: prompt and max_tokens are {tokens} tokens; the key has {limit} a minute")
        decision = await self._allowances.take_tokens(principal, tokens)
        if not decision.allowed:
            raise refusal(decision, "tokens")

    def model(self, name: str) -> Model:
        """The catalogue's entry. Raises ModelNotFound."""
        model = self.catalogue.find(name)
        if model is None:
            raise ModelNotFound(f"Model {name} is not registered on the network")
        return model

    async def repeated(self, principal: Principal, idempotency: Idempotency) -> Accepted | None:
        """The job submitted before under this idempotency key. Raises Conflict when its body was another one."""
        return await self._ledger.repeated(principal.account_id, idempotency)

    async def submit(self, submission: Submission) -> Accepted:
        """Returns once the job is durable. Raises what refuses it; then there is no such job."""
        return await self._submissions.add(submission)

    async def job(self, job_id: str, account_id: AccountId) -> JobRecord:
        """Raises JobNotFound, for another account's job too."""
        record = await self._ledger.job(JobId(job_id), account_id)
        if record is None:
            raise JobNotFound("No such job")
        return record

    async def cancel(self, job_id: str, account_id: AccountId) -> JobRecord:
        """The job, cancelled. Raises JobNotFound, and Conflict when it ended otherwise before."""
        record = await self.job(job_id, account_id)
        if not record.status.ended:
            await self._scheduler.cancel(record.id)
            record = await self.job(job_id, account_id)
            if record.error == JobCancelled.code:
                return record
        raise Conflict(f"Job {job_id} has ended already")

    async def forsake(self, job_id: JobId) -> None:
        """Cancel a job whose client has gone, unless it has ended or somebody still reads it, at whichever replica."""
        if await self.streams.unread(job_id):
            await self._scheduler.cancel(job_id)

    async def job_within(self, job_id: str, account_id: AccountId, seconds: int) -> JobRecord:
        """The job as soon as it has ended, or as it is after this time. Raises JobNotFound."""
        record = await self.job(job_id, account_id)
        if record.status.ended or seconds == 0:
            return record
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.streams.until_end(record.id, account_id)
        return await self.job(job_id, account_id)

    async def jobs(self, account_id: AccountId, query: JobQuery) -> list[JobRecord]:
        return await self._ledger.jobs(account_id, query)

    async def placement(self, job_id: str, account_id: AccountId) -> Placement:
        """Why the job runs where it runs, or waits. Raises JobNotFound."""
        record = await self.job(job_id, account_id)
        attempts = await self._ledger.placements(record.id)
        waiting = None if record.status.ended else await self._scheduler.explain(record.id)
        return Placement(record.id, tuple(attempts), None if waiting is None else tuple(waiting))

    async def models(self) -> tuple[Sequence[ModelView], dict[str, int]]:
        """The models, and the average output tokens per second of those that have completed jobs."""
        views, speeds = await asyncio.gather(self.model_views(), self._ledger.speeds())
        return views, speeds

    async def model_views(self) -> Sequence[ModelView]:
        return await self._scheduler.models()

    async def nodes(self) -> Sequence[NodeView]:
        return await self._scheduler.nodes()

    async def node(self, node_id: str) -> NodeView:
        """Raises NodeNotFound."""
        for view in await self._scheduler.nodes():
            if view.id == NodeId(node_id):
                return view
        raise NodeNotFound("No such node")

    async def drain_node(self, node_id: str) -> NodeView:
        """Give this node no more work. Raises NodeNotFound."""
        await self.node(node_id)
        await self._scheduler.drain_node(NodeId(node_id))
        return await self.node(node_id)

    async def create_account(self, account: Account) -> Account:
        return await self._ledger.create_account(account)

    async def accounts(self) -> list[Account]:
        """All accounts, oldest first."""
        return await self._ledger.accounts()

    async def create_key(self, maker: Principal, key: NewKey) -> Key:
        """Raises BadRequest for what `maker` may not give away, or an account that does not exist."""
        return await self._ledger.create_key(maker, key)

    async def keys(self, account_id: AccountId | None) -> list[Key]:
        """The account's keys, or everybody's, oldest first; revoked and expired ones too."""
        return await self._ledger.keys(account_id)

    async def revoke_key(self, key_id: str, account_id: AccountId | None) -> None:
        """With an account, only of its keys. Raises KeyNotFound, and Conflict for the last admin key."""
        await self._ledger.revoke_key(KeyId(key_id), account_id)

    async def usage(self, query: UsageQuery) -> list[UsageSum]:
        """Usage added up, in the order of the groups' names."""
        return await self._ledger.usage(query)

    async def totals(self) -> list[ModelTotals]:
        """What has ended, per model, since the Ledger's process began."""
        return await self._ledger.totals()

    def deadline_ms(self, created_ms: int) -> int:
        return created_ms + self.job_timeout_ms

    @staticmethod
    def now_ms() -> int:
        return clock.wall_ms()

    async def _submit_batch(self, submissions: list[Submission]) -> Sequence[Accepted | InfernetError]:
        return await self._scheduler.submit(submissions)
