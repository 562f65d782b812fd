"""All that routes may talk to: who asks, may they, and what of the cluster they asked for."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from actors.batcher import Batcher
from api.principals import Principals
from api.stream_hub import StreamHub
from cluster import clock
from cluster.catalogue import Catalogue, Model
from cluster.errors import Conflict, InfernetError, JobCancelled, JobNotFound, ModelNotFound, NodeNotFound
from cluster.ids import AccountId, JobId, NodeId
from cluster.limits import Bucket, Decision, Take
from cluster.messages import Job, JobQuery, JobRecord, ModelView, NodeView, Principal
from cluster.settings import Settings

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
    ) -> None:
        self.catalogue = Catalogue(settings.models)
        self.job_timeout_ms = settings.job_timeout_s * 1000
        self._ledger = ledger
        self._scheduler = scheduler
        self._principals = Principals(ledger)
        self._takes = Batcher[Take, Decision](rate_limiter.take)
        self._submissions = Batcher[Job, InfernetError | None](self._submit_batch)
        self.streams = StreamHub(journal, ledger)

    async def start(self) -> None:
        await self.streams.start()

    async def stop(self) -> None:
        await self.streams.stop()

    async def authenticate(self, token: str) -> Principal:
        """Raises Unauthorized."""
        return await self._principals.find(token)

    async def admit(self, principal: Principal, bucket: Bucket) -> Decision:
        """Charge a request to the key, exactly, whichever replica it reached."""
        return await self._takes.add(Take(principal.key_id, bucket, principal.limits))

    def model(self, name: str) -> Model:
        """The catalogue's entry. Raises ModelNotFound."""
        model = self.catalogue.find(name)
        if model is None:
            raise ModelNotFound(f"Model {name} is not registered on the network")
        return model

    async def submit(self, job: Job) -> None:
        """Returns once the job is durable. Raises what refuses it; then there is no such job."""
        await self._submissions.add(job)

    async def job(self, job_id: str, account_id: AccountId) -> JobRecord:
        """Raises JobNotFound, for another account's job too."""
        record = await self._ledger.job(JobId(job_id), account_id)
        if record is None:
            raise JobNotFound(f"No job {job_id}")
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

    async def models(self) -> tuple[Sequence[ModelView], dict[str, int]]:
        """The models, and the average output tokens per second of those that have completed jobs."""
        views, speeds = await asyncio.gather(self._scheduler.models(), self._ledger.speeds())
        return views, speeds

    async def nodes(self) -> Sequence[NodeView]:
        return await self._scheduler.nodes()

    async def node(self, node_id: str) -> NodeView:
        """Raises NodeNotFound."""
        for view in await self._scheduler.nodes():
            if view.id == NodeId(node_id):
                return view
        raise NodeNotFound(f"No node {node_id}")

    def deadline_ms(self, created_ms: int) -> int:
        return created_ms + self.job_timeout_ms

    @staticmethod
    def now_ms() -> int:
        return clock.wall_ms()

    async def _submit_batch(self, jobs: list[Job]) -> Sequence[InfernetError | None]:
        return await self._scheduler.submit(jobs)
