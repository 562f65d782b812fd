"""All that routes may talk to: who asks, what they may still ask for, and what of the cluster they asked for."""

import asyncio
import math
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from hmac import compare_digest
from typing import TYPE_CHECKING, NamedTuple, TypeVar, cast

from msgspec import UNSET
from msgspec.structs import replace

from actors.backends.prompts.counter import PromptCounter
from actors.outgoing import urls
from actors.outgoing.urls import UrlRefused
from actors.wire.calls import AWAY, Gone, InTime, tell, within
from actors.wire.handing_in import HandingIn
from api.replica.allowances import Allowances
from api.replica.asking import ask
from api.replica.contexts import Contexts
from api.replica.door_counts import DoorCounts
from api.replica.forms import Forms
from api.replica.intake import Intake
from api.replica.media.fetching import Fetcher
from api.replica.media.keeping import MediaKeeping
from api.replica.principals import Principals
from api.replica.room import Room
from api.replica.sessions import Session, Sessions
from api.replica.streams import StreamHub
from cluster.catalogue import Catalogue
from cluster.clock import SYSTEM_CLOCK, Clock
from cluster.errors import (
    AccountNotFound,
    BadRequest,
    Conflict,
    JobCancelled,
    JobNotFound,
    KeyNotFound,
    ModelNotFound,
    NodeNotFound,
    RateLimited,
    Unauthorized,
)
from cluster.ids import AccountId, DeliveryId, EngineId, JobId, KeyId, NodeId, WebhookId
from cluster.keys import secret_hash
from cluster.limits.attempts import MOST_FAILURES
from cluster.limits.windows import Bucket, Decision
from cluster.measures.history import History, history
from cluster.measures.measures import Totals
from cluster.messages.explanations import Explanation, Moment
from cluster.messages.machines import ModelView, NodeView
from cluster.messages.models import BoundsChange, ModelDetail
from cluster.messages.money import UsageQuery, UsageSum
from cluster.messages.people import Account, AccountChange, Key, KeyChange, NewKey, Principal
from cluster.messages.records import FailedRecord, JobPage, JobQuery, JobRecord
from cluster.messages.webhooks import Delivery, DeliveryQuery, NewWebhook, Webhook, WebhookChange
from cluster.messages.work import Job
from cluster.settings.schema import Settings
from cluster.timeline import timeline
from cluster.timing import Timing
from cluster.webhooks import events as webhook_events
from cluster.webhooks import signing

if TYPE_CHECKING:
    from actors.engine import Engine
    from actors.journal import Journal
    from actors.ledger import Ledger
    from actors.rate_limiter import RateLimiter
    from actors.scheduler import Scheduler


T = TypeVar("T")

_FIRST_SHARE = 0.25
"""Of the time in which metrics are told, this part is for what the replica hands in first."""

_USAGE_PART = 10_000
"""So many sums are asked for at once."""


def _no_engine(engine_id: EngineId) -> "Engine":
    raise Gone(f"no engine is known here, nor is {engine_id}")


async def _nothing() -> None:
    """What is not asked for."""


async def _no_restarts() -> Mapping[str, int]:
    raise Gone("no supervisor is known here")


class ModelsNow(NamedTuple):
    """The models, and the average output tokens per second of those that have completed jobs."""

    views: Sequence[ModelView]
    speeds: Mapping[str, int]

    def tokens_per_second(self, model: str) -> int:
        """0 before the model's first job has completed."""
        return self.speeds.get(model, 0)


class Course(NamedTuple):
    """Why a job runs where it runs, and what became of it, as far as it is known now; `away` did not answer."""

    explanation: Explanation
    moments: Sequence[Moment]
    away: Sequence[str]


class State(NamedTuple):
    """What is known of the whole system; None stands for what could not be asked."""

    models: Sequence[ModelView] | None
    nodes: Sequence[NodeView] | None
    totals: Totals | None
    gauges: Mapping[str, float] | None
    speeds: Mapping[str, int] | None
    can_write: bool | None
    counts: bool | None
    streams: bool | None
    restarts: Mapping[str, int] | None


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
        clock: Clock = SYSTEM_CLOCK,
        engine: "Callable[[EngineId], Engine]" = _no_engine,
        fetcher: Fetcher | None = None,
        restarts: Callable[[], Awaitable[Mapping[str, int]]] = _no_restarts,
    ) -> None:
        self.catalogue = Catalogue(settings.models)
        self.default_limits = settings.limits
        self._metrics_key = settings.metrics.key
        self._clock = clock
        self._timing = timing
        self._ledger = cast("Ledger", InTime(ledger, timing.answer_s, "the ledger"))
        self._scheduler = cast("Scheduler", InTime(scheduler, timing.answer_s, "the scheduler"))
        self._journal = cast("Journal", InTime(journal, timing.answer_s, "the journal"))
        self._principals = Principals(self._ledger, clock, timing)
        self._sessions = Sessions(self._ledger, clock)
        self._rate_limiter = cast("RateLimiter", InTime(rate_limiter, timing.answer_s, "the rate limiter"))
        self.counts = DoorCounts()
        self._handing_in = HandingIn(self.counts.tallies, self._ledger, timing, self.counts.gauges)
        self._allowances = Allowances(self._rate_limiter, clock, answer_s=timing.answer_s, decided=self.counts.decided)
        self.prompts = PromptCounter(settings.models)
        self.contexts = Contexts(self._scheduler, timing.answer_s)
        self.streams = StreamHub(journal, self._ledger, clock, timing)
        self.forms = Forms(self._scheduler, engine, clock)
        self.max_body_bytes = settings.media.max_body_bytes
        self.room = Room(settings.media.max_body_bytes)
        self._fetcher = fetcher or Fetcher(settings.media)
        self._webhook_hosts = settings.webhooks.private_hosts
        self._restarts = restarts
        self._speeds: Mapping[str, int] = {}
        self.intake = Intake(
            self.catalogue,
            self.prompts,
            self._allowances,
            self._ledger,
            self._scheduler,
            self.contexts,
            self.forms,
            MediaKeeping(settings.media, self._ledger, self._fetcher, self.room),
            settings.job_timeout_s,
            clock,
            timing.answer_s,
        )

    async def start(self) -> None:
        await self.streams.start()
        await self.prompts.start()
        self._handing_in.start()

    async def stop(self) -> None:
        await self._handing_in.stop()
        await self.streams.stop()
        await self.prompts.stop()
        await self._fetcher.close()

    async def authenticate(self, token: str) -> Principal:
        """Raises Unauthorized."""
        return await self._principals.find(token)

    async def sign_in(self, token: str, address: str) -> str:
        """The cookie of a new session of the holder of this key. Raises Unauthorized.

        Raises RateLimited when somebody at this address has failed too often, at whichever replica.
        """
        wait_s = math.ceil(await self._rate_limiter.try_to_sign_in(address))
        if wait_s:
            message = f"Too many attempts; try again in {wait_s} s"
            raise RateLimited(message, wait_s, MOST_FAILURES, self.now_ms() // 1000 + wait_s)
        has_failed = False
        try:
            await self._principals.find(token)
        except Unauthorized:
            has_failed = True
            raise
        finally:
            # Neither who is let in has failed, nor who cannot be told because something is away.
            if not has_failed:
                tell(self._rate_limiter.did_not_fail(address), "rate_limiter.did_not_fail")
        return await self._sessions.begin(secret_hash(token))

    async def session(self, cookie: str) -> Session:
        """The session of this cookie. Raises Unauthorized when its time is over, or it is none."""
        return await self._sessions.read(cookie)

    async def signed_in(self, session: Session) -> Principal:
        """Who has this session. Raises Unauthorized when it was ended, or its key is not valid any more."""
        return await self._principals.signed_in(session.signed_in)

    def leave(self, cookie: str) -> None:
        """Who signs in anew has left this session, and cannot sign out of it any more. Its end is not waited for."""
        tell(self._leave(cookie), "ending a session that another one follows")

    async def _leave(self, cookie: str) -> None:
        with suppress(Unauthorized):
            await self.sign_out(await self._sessions.read(cookie))

    async def sign_out(self, session: Session) -> None:
        """End this session: every replica refuses it within 5 s."""
        await self._sessions.end(session)
        self._principals.forget(session.signed_in)

    async def require_metrics_reader(self, token: Callable[[], str]) -> None:
        """Where metrics have a key, raises Unauthorized for who presents neither that nor an admin's."""
        if not self._metrics_key:
            return
        presented = token()
        if not compare_digest(presented, self._metrics_key) and (await self.authenticate(presented)).role != "admin":
            raise Unauthorized()

    async def charge(self, principal: Principal, bucket: Bucket) -> Decision:
        """Charge a request to the key, whichever replica it reached."""
        return await self._allowances.charge(principal, bucket)

    async def ready(self) -> Sequence[ModelView]:
        """The models, when a job for them could be accepted durably. Raises what is away, or NoCapacity, otherwise."""
        asked = asyncio.gather(self.model_views(), self._scheduler.ready(), self._ledger.ready(), self._counts())
        views, *_ = await self._promptly(asked)
        return views

    async def state(self, with_totals: bool = True) -> State:
        """All that can be told now, each part of it whatever the others do; what was ever counted, if asked for."""
        if with_totals:
            await self._hand_in_promptly()
        (models, nodes), (totals, gauges, speeds, can_write), (counts, streams, restarts) = await asyncio.gather(
            asyncio.gather(self._if_promptly(self.model_views()), self._if_promptly(self.nodes())),
            asyncio.gather(
                self._if_promptly(self._ledger.totals() if with_totals else _nothing()),
                self._if_promptly(self._ledger.gauges()),
                self._if_promptly(self._ledger.speeds()),
                self._if_promptly(self._can_write()),
            ),
            asyncio.gather(
                self._if_promptly(self._counts()),
                self._if_promptly(self.streams.awake()),
                self._if_promptly(self._restarts()),
            ),
        )
        return State(models, nodes, totals, gauges, speeds, can_write, counts, streams, restarts)

    async def away(self) -> Sequence[str]:
        """The parts of the system that do not answer now."""
        parts = {
            "ledger": self._ledger.gauges(),
            "database": self._can_write(),
            "scheduler": self._scheduler.has_looked_for_room(),
            "rate limiter": self._counts(),
            "journal": self.streams.awake(),
        }
        return (await ask(parts, self._timing.health_s)).away

    async def _hand_in_promptly(self) -> None:
        """What this replica has counted is told with the rest, where that takes no time."""
        with suppress(*AWAY):
            await within(self._timing.health_s * _FIRST_SHARE, self._handing_in.hand_in())

    async def _can_write(self) -> bool:
        await self._ledger.ready()
        return True

    async def _counts(self) -> bool:
        """Whether the RateLimiter answers, which every request waits for."""
        await self._rate_limiter.take([])
        return True

    async def _if_promptly(self, call: Awaitable[T]) -> T | None:
        try:
            return await self._promptly(call)
        except AWAY:
            return None

    async def _promptly(self, call: Awaitable[T]) -> T:
        """For who watches the system, and does not wait for as long as others do."""
        return await within(self._timing.health_s, call)

    # Of jobs: with an account, only that one's; for an admin, everybody's.

    async def job(self, job_id: JobId, account_id: AccountId | None) -> JobRecord:
        """Raises JobNotFound, for another account's job too."""
        record = await self._ledger.job(job_id, account_id)
        if record is None:
            raise JobNotFound("No such job")
        return record

    async def asked(self, job_id: JobId, account_id: AccountId | None) -> Job:
        """The job as it was accepted: what was asked, and how. Raises JobNotFound, for another account's job too."""
        job = await self._ledger.asked(job_id, account_id)
        if job is None:
            raise JobNotFound("No such job")
        return job

    async def cancel(self, job_id: JobId, account_id: AccountId | None) -> JobRecord:
        """The job, cancelled. Raises JobNotFound, and Conflict when it ended otherwise before."""
        record = await self.job(job_id, account_id)
        if not record.status.ended:
            await self._scheduler.cancel(record.id)
            record = await self.job(job_id, account_id)
            if isinstance(record, FailedRecord) and record.error == JobCancelled.code:
                return record
        raise Conflict(f"Job {job_id} has ended already")

    async def remove(self, job_id: JobId, account_id: AccountId | None) -> None:
        """Remove an ended job; one that has been removed stays so. Raises JobNotFound, and Conflict for an open one."""
        await self._ledger.remove(job_id, account_id)

    async def cancel_if_unread(self, job_id: JobId) -> None:
        """Cancel a job whose client has gone, unless it has ended or somebody still reads it, at whichever replica."""
        if await self.streams.unread(job_id):
            await self._scheduler.cancel(job_id)

    async def job_within(self, job_id: JobId, account_id: AccountId | None, seconds: int) -> JobRecord:
        """The job as soon as it has ended, or as it is after this time. Raises JobNotFound."""
        record = await self.job(job_id, account_id)
        if record.status.ended or seconds == 0:
            return record
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.streams.until_end(record.id, record.account_id)
        return await self.job(job_id, account_id)

    async def jobs(self, account_id: AccountId | None, query: JobQuery) -> JobPage:
        """The account's jobs, or everybody's, newest first. The model may be named by an alias."""
        if query.model is not None:
            query = replace(query, model=self.catalogue.id_of(query.model))
        return await self._ledger.jobs(account_id, query)

    async def placement(self, job_id: JobId, account_id: AccountId | None) -> Explanation:
        """Why the job runs where it runs, or waits. Raises JobNotFound."""
        record = await self.job(job_id, account_id)
        attempts = await self._ledger.placements(record.id)
        standing = None if record.status.ended else await self._scheduler.explain(record.id)
        return Explanation(record.id, tuple(attempts), standing)

    async def timeline(self, job_id: JobId, account_id: AccountId | None) -> Sequence[Moment]:
        """What became of the job, in its order. Raises JobNotFound."""
        record = await self.job(job_id, account_id)
        attempts = await self._ledger.placements(record.id)
        heard = () if record.status.ended else await self._journal.heard(record.id)
        return timeline(record, attempts, heard)

    async def course(self, record: JobRecord) -> Course:
        """What `placement` and `timeline` tell of this job, as far as those who know it answer promptly."""
        attempts = await self._ledger.placements(record.id)
        if record.status.ended:
            return Course(Explanation(record.id, tuple(attempts), None), timeline(record, attempts, ()), ())
        asked = {"scheduler": self._scheduler.explain(record.id), "journal": self._journal.heard(record.id)}
        answers, away = await ask(asked, self._timing.health_s)
        explanation = Explanation(record.id, tuple(attempts), answers.get("scheduler"))
        return Course(explanation, timeline(record, attempts, answers.get("journal", ())), away)

    async def model_states(self) -> Mapping[str, str]:
        """The state of each model; nothing while the Scheduler cannot tell them."""
        views = await self._if_promptly(self.model_views())
        return {view.id: view.state for view in views or ()}

    async def models(self) -> ModelsNow:
        """Their speeds as they were known last, where the database cannot tell them now."""
        return ModelsNow(*await asyncio.gather(self.model_views(), self.speeds()))

    async def model(self, name: str) -> ModelDetail:
        """All that is known of the model of this name, or of this adapter's. Raises ModelNotFound."""
        model = self.catalogue.model(name)
        detail = await self._scheduler.model(model.id)
        if detail is None:
            raise ModelNotFound(f"Model {name} is not registered on the network")
        return detail

    async def speeds(self) -> Mapping[str, int]:
        """Output tokens per second by model and adapter, as they were known last."""
        speeds = await self._if_promptly(self._ledger.speeds())
        self._speeds = self._speeds if speeds is None else speeds
        return self._speeds

    async def change_model(self, name: str, change: BoundsChange) -> ModelDetail:
        """The model, with other bounds of its replicas. Raises ModelNotFound, and BadRequest for what is no bounds."""
        model = self.catalogue.model(name)
        await self._ledger.change_bounds(model.id, change, model.replicas)
        await self._scheduler.learn_model_settings()
        return await self.model(model.id)

    async def restart_model(self, name: str) -> ModelDetail:
        """The model, whose replicas are replaced one after the other from now on. Raises ModelNotFound."""
        model = self.catalogue.model(name)
        before = {each.model: each.restarts for each in await self._ledger.model_settings()}
        await self._ledger.restart_model(model.id, before.get(model.id, 0) + 1)
        await self._scheduler.learn_model_settings()
        return await self.model(model.id)

    async def model_views(self) -> Sequence[ModelView]:
        return await self._scheduler.models()

    async def nodes(self) -> Sequence[NodeView]:
        return await self._scheduler.nodes()

    async def node(self, node_id: NodeId) -> NodeView:
        """Raises NodeNotFound."""
        for view in await self._scheduler.nodes():
            if view.id == node_id:
                return view
        raise NodeNotFound("No such node")

    async def drain_node(self, node_id: NodeId, drains: bool) -> NodeView:
        """Give this node no more work, or work again. Raises NodeNotFound."""
        await self.node(node_id)
        await self._scheduler.drain_node(node_id, drains)
        return await self.node(node_id)

    async def create_account(self, account: Account) -> Account:
        created = await self._ledger.create_account(account)
        if created.weight != 1:
            tell(self._scheduler.learn_weights(), "scheduler.learn_weights")  # it asks by itself, too, after a while
        return created

    async def change_account(self, account_id: AccountId, change: AccountChange) -> Account:
        """Raises AccountNotFound."""
        changed = await self._ledger.change_account(account_id, change)
        if change.weight is not UNSET:
            tell(self._scheduler.learn_weights(), "scheduler.learn_weights")
        return changed

    async def account(self, account_id: AccountId) -> Account:
        """Raises AccountNotFound."""
        found = await self._ledger.account(account_id)
        if found is None:
            raise AccountNotFound("No such account")
        return found

    async def accounts(self) -> list[Account]:
        """All accounts, oldest first."""
        return await self._ledger.accounts()

    async def create_key(self, maker: Principal, key: NewKey) -> Key:
        """Raises BadRequest for what `maker` may not give away, or an account that does not exist."""
        return await self._ledger.create_key(maker, key)

    async def change_key(self, changer: Principal, key_id: KeyId, change: KeyChange) -> Key:
        """The key as it stands then.

        Raises KeyNotFound for a key that `changer` does not see, Conflict for a revoked one and for the admin key that
        is valid longest, and Forbidden or BadRequest for what `changer` may not give away.
        """
        return await self._ledger.change_key(changer, key_id, change)

    async def key(self, key_id: KeyId, account_id: AccountId | None) -> Key:
        """With an account, only one of its keys. Raises KeyNotFound."""
        found = await self._ledger.key(key_id)
        if found is None or account_id not in (None, found.account_id):
            raise KeyNotFound("No such key")
        return found

    async def keys(self, account_id: AccountId | None) -> list[Key]:
        """The account's keys, or everybody's, oldest first; revoked and expired ones too."""
        return await self._ledger.keys(account_id)

    async def revoke_key(self, key_id: KeyId, account_id: AccountId | None) -> None:
        """With an account, only of its keys. Raises KeyNotFound, and Conflict for the last admin key."""
        await self._ledger.revoke_key(key_id, account_id)

    async def create_webhook(self, maker: Principal, webhook: NewWebhook) -> Webhook:
        """Raises BadRequest for a URL that nothing may be sent to, Forbidden for events that are not for `maker`, and
        Conflict for a URL that the account has already, or one too many.
        """
        self._check_webhook_url(webhook.url)
        return await self._ledger.create_webhook(maker, webhook)

    async def webhooks(self, account_id: AccountId | None) -> list[Webhook]:
        """The account's endpoints, or everybody's, the oldest first."""
        return await self._ledger.webhooks(account_id)

    async def change_webhook(self, caller: Principal, webhook_id: WebhookId, change: WebhookChange) -> Webhook:
        """Raises what `create_webhook` does, and WebhookNotFound; so do all that follow."""
        if change.url is not UNSET:
            self._check_webhook_url(change.url)
        return await self._ledger.change_webhook(caller, webhook_id, change)

    async def rotate_webhook(self, caller: Principal, webhook_id: WebhookId) -> tuple[Webhook, str]:
        """The endpoint and its new secret. The one before signs for a day yet. Raises Forbidden."""
        secret = signing.new_secret()
        return await self._ledger.rotate_webhook(caller, webhook_id, secret), secret

    async def remove_webhook(self, caller: Principal, webhook_id: WebhookId) -> None:
        await self._ledger.remove_webhook(caller, webhook_id)

    async def test_webhook(self, caller: Principal, webhook_id: WebhookId) -> Delivery:
        """An event of the type `webhook.test` on its way. Raises Conflict where the endpoint is disabled."""
        event = webhook_events.tested(webhook_id, caller.account_id, self.now_ms())
        return await self._ledger.test_webhook(caller, webhook_id, event)

    async def deliveries(self, caller: Principal, webhook_id: WebhookId, query: DeliveryQuery) -> list[Delivery]:
        """The endpoint's deliveries that `query` asks for, the newest first."""
        return await self._ledger.deliveries(caller, webhook_id, query)

    async def redeliver(self, caller: Principal, webhook_id: WebhookId, delivery: DeliveryId) -> Delivery:
        """The delivery, tried again from now on. Raises DeliveryNotFound, and Conflict for a disabled endpoint."""
        return await self._ledger.redeliver(caller, webhook_id, delivery)

    def _check_webhook_url(self, url: str) -> None:
        try:
            urls.checked(url, self._webhook_hosts)
        except UrlRefused as refusal:
            raise BadRequest(f"url: {refusal}") from None

    async def usage(self, query: UsageQuery) -> list[UsageSum]:
        """Usage added up, in the order of the groups' names."""
        return await self._ledger.usage(query)

    async def history(self, minutes: int) -> History:
        """The last so many minutes, the current one among them, of the whole system."""
        ended, active = await asyncio.gather(self._ledger.ended_minutes(minutes), self._scheduler.activity(minutes))
        return history(self.now_ms(), minutes, ended, active)

    async def all_usage(self, query: UsageQuery) -> AsyncGenerator[list[UsageSum], None]:
        """The same, however many groups there are, some at a time. What ends meanwhile is in none of them."""
        if query.until_ms is None:
            query = replace(query, until_ms=self.now_ms())
        query = replace(query, limit=_USAGE_PART)
        while True:
            part = await self.usage(query)
            yield part
            if len(part) < _USAGE_PART or not query.group_by:
                return
            query = replace(query, after=part[-1].groups)

    def now_ms(self) -> int:
        return self._clock.wall_ms()
