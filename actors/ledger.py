"""The Ledger: sole writer of the database. What it has answered is durable."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from secrets import token_urlsafe

from msgspec.structs import replace
from sqlalchemy import Connection

from actors.database.access import Access
from actors.database.gauges import Gauges
from actors.database.holders import Holders
from actors.machine.log_lines import about, about_job
from actors.telemetry import spans
from actors.wire.every import Every
from actors.wire.handing_in import HandingIn
from cluster.catalogue import Replicas
from cluster.clock import SYSTEM_CLOCK, Clock
from cluster.errors import BudgetExceeded, DatabaseFailed, InfernetError, StartError, Superseded
from cluster.ids import AccountId, DeliveryId, JobId, KeyId, WebhookId, new_holder_id
from cluster.keys import checksum, new_secret
from cluster.liveness.roles import JOURNAL_ROLE, SCHEDULER_ROLE, Roles
from cluster.measures.activity import MINUTE_MS
from cluster.measures.history import EndedMinutes
from cluster.measures.measures import Totals
from cluster.measures.tallies import COMMIT_SECONDS, COMMITS, WEBHOOKS, WRITES, Sheet, Tallies
from cluster.messages.media import Medium, MediumHash
from cluster.messages.models import BoundsChange, ModelSettings
from cluster.messages.money import UsageQuery, UsageSum
from cluster.messages.people import (
    Account,
    AccountChange,
    Key,
    KeyChange,
    KeyLimits,
    NewKey,
    Principal,
    ShareMark,
    SignedIn,
    WindowMark,
)
from cluster.messages.placements import Placed
from cluster.messages.records import EndedRecord, JobPage, JobQuery, JobRecord
from cluster.messages.webhooks import (
    Attempted,
    Delivery,
    DeliveryQuery,
    Due,
    Event,
    NewWebhook,
    Room,
    Webhook,
    WebhookChange,
)
from cluster.messages.work import Accepted, Ended, Idempotency, Job, OpenAttempt, OpenJob, Submission
from cluster.store import (
    accounts,
    budgets,
    deliveries,
    first_admin,
    idempotency,
    job_search,
    jobs,
    keys,
    measures,
    media,
    model_settings,
    own_secrets,
    placements,
    removal,
    sessions,
    shares,
    speeds,
    submissions,
    tallies,
    usage,
    webhooks,
    windows,
)
from cluster.store.database import Database
from cluster.store.usage_days import DAY_MS
from cluster.timing import Timing

logger = logging.getLogger(__name__)

# So many jobs are read at once, however many there are: each may be a megabyte.
_PAGE = 500


class Ledger:
    """Accounts, keys, budgets, jobs, results and usage.

    Writes that arrive while a commit is under way gather and are committed together; one that fails does so
    alone. Reads do not wait for writes. Every method may raise `DatabaseUnavailable`, within `timing.database_s`: the
    caller may call again, because every write may be repeated; a write that was not answered may have been made. Once
    another system has taken the database over, every write raises `DatabaseTaken`.
    """

    def __init__(
        self,
        database_url: str,
        admin_key: str | None,
        default_limits: KeyLimits,
        clock: Clock = SYSTEM_CLOCK,
        timing: Timing = Timing(),
        retention_days: int | None = None,
    ) -> None:
        """Jobs that ended more than `retention_days` ago are removed; None keeps them for ever."""
        self._admin_key = admin_key
        self._default_limits = default_limits
        self._retention_ms = None if retention_days is None else retention_days * DAY_MS
        self._clock = clock
        self._timing = timing
        self._now_ms = clock.wall_ms
        # The uses of the last interval are lost with the process.
        self._writing_uses = Every(timing.key_uses_s, self.write_uses, "writing when keys were used last")
        self._pruning = Every(timing.prune_media_s, self.prune_media, "removing media that no job needs")
        self._pruning_jobs = Every(timing.prune_jobs_s, self.prune_jobs, "removing jobs that ended too long ago")
        self._pruning_minutes = Every(timing.prune_minutes_s, self.prune_minutes, "removing minutes that are over")
        self._pruning_deliveries = Every(timing.prune_deliveries_s, self.prune_deliveries, "removing old deliveries")
        self._told_writes = 0
        self._tallies = Tallies(new_holder_id())
        self._handing_in = HandingIn(self._tallies, self, timing, before=self._count_commits)
        self._loops = (
            self._writing_uses,
            self._pruning,
            self._pruning_jobs,
            self._pruning_minutes,
            self._pruning_deliveries,
        )
        from_then_on = (*self._loops, self._handing_in.loop)
        self._database = Access(database_url, self._prepare, from_then_on, clock, timing)
        self._read = self._database.read
        self._write = self._database.write
        self._first_admin_key: str | None = None
        self._gauges = Gauges(clock, timing.gauges_s)
        self._roles = Roles()
        self._uses: dict[KeyId, int] = {}
        self._holders = Holders(timing.known_keys_s)
        self._has_removed = False
        # The accounts that have, or had, endpoints: known here, so that the end of most jobs asks nothing of them.
        self._listening: set[AccountId] = set()
        self._something_to_tell = asyncio.Event()

    async def start(self) -> None:
        """Opens the database, brings its schema up to date, makes the first admin key if there is no key.

        Raises `StartError`, also when another system has the database. May be repeated; any other method does it where
        it has not been done, so that a restarted Ledger serves at once.
        """
        await self._database.open()

    async def stop(self) -> None:
        """Finishes the writes under way and closes the database. A stopped Ledger stays stopped."""
        for loop in self._loops:
            loop.stop()
        await self.write_uses()
        await self._handing_in.stop()
        await self._database.close()

    async def abandon(self) -> None:
        """Lets go of the database with nothing finished: what the death of this process does."""
        await self._database.abandon()

    async def ready(self) -> None:
        """Raises what a write would raise now."""
        await self._database.ready()

    async def hold(self, role: str, holder: str, begins: bool) -> bool:
        """Whether this process, and no other that began later, is the one in this role.

        Asked of no database: what this process does not know, it takes for true.
        """
        return self._roles.hold(role, holder, begins)

    async def first_admin_key(self) -> str | None:
        """The secret of the admin key that this process made, once; None if it was given, or is not new."""
        await self._database.opened()
        secret, self._first_admin_key = self._first_admin_key, None
        return secret

    # Who may ask --------------------------------------------------------------------------------------------------

    async def principals(self, shown: Sequence[SignedIn]) -> list[Principal | None]:
        """The holders of these keys, and of these sessions' keys.

        None for each key that is unknown, revoked or expired, and for each session that was ended.
        """
        now_ms = self._now_ms()
        find = partial(sessions.principals, shown=shown, now_ms=now_ms, default=self._default_limits)
        principals = await self._holders.find(shown, lambda: self._read(find), now_ms)
        self._uses |= {principal.key_id: now_ms for principal in principals if principal is not None}
        return principals

    async def session_secret(self) -> str:
        """The secret by which sessions are signed: made when it is asked for first, and kept."""
        return await self._write(partial(own_secrets.kept, name="sessions", new=token_urlsafe(32)))

    async def end_session(self, session_id: str, until_ms: int) -> None:
        """This session is over, which it would be at `until_ms`. May be repeated."""
        try:
            await self._write(partial(sessions.end, session_id=session_id, until_ms=until_ms, now_ms=self._now_ms()))
        finally:
            self._holders.forget()

    async def authenticate(self, key_hash: str) -> Principal | None:
        """The holder of the key with this hash; None if it is unknown, revoked or expired."""
        return (await self.principals([SignedIn(key_hash)]))[0]

    async def write_uses(self) -> None:
        """Records when keys were used last. What cannot be written now is kept for the next time."""
        if not self._uses:
            return
        uses = dict(self._uses)
        try:
            await self._write(partial(keys.used, uses=uses))
        except DatabaseFailed as error:
            logger.warning("when keys were used last was not written, and will be with the next uses: %s", error)
            return
        # A key that was used meanwhile stays for the next time.
        self._uses = {key_id: at_ms for key_id, at_ms in self._uses.items() if at_ms != uses.get(key_id)}

    async def create_account(self, account: Account) -> Account:
        """The account as it stands; repeated, nothing changes."""
        return await self._write(partial(accounts.create, account=account, now_ms=self._now_ms()))

    async def change_account(self, account_id: AccountId, change: AccountChange) -> Account:
        """The account as it stands then. May be repeated. Raises AccountNotFound."""
        changed = partial(accounts.change, account_id=account_id, asked=change, now_ms=self._now_ms())
        try:
            return await self._write(changed)
        finally:
            self._holders.forget()

    async def account(self, account_id: AccountId) -> Account | None:
        """The account with this id."""
        return await self._read(partial(accounts.find, account_id=account_id, now_ms=self._now_ms()))

    async def accounts(self) -> list[Account]:
        """All accounts, oldest first."""
        return await self._read(partial(accounts.all_of_them, now_ms=self._now_ms()))

    async def weights(self) -> dict[AccountId, int]:
        """The accounts whose share of a model is not 1, and what it is."""
        return await self._read(accounts.weights)

    async def create_key(self, maker: Principal, key: NewKey) -> Key:
        """The key as it stands; repeated, nothing changes.

        Raises Forbidden or BadRequest for what `maker` may not give away, and for an account that does not exist.
        """
        default, now_ms = self._default_limits, self._now_ms()
        return await self._write(partial(keys.create, maker=maker, asked=key, default=default, now_ms=now_ms))

    async def change_key(self, changer: Principal, key_id: KeyId, change: KeyChange) -> Key:
        """The key as it stands then. May be repeated.

        Raises KeyNotFound for a key that the changer does not see, Conflict for a revoked one and for the admin key
        that is valid longest, and Forbidden or BadRequest for what the changer may not give away.
        """
        default, now_ms = self._default_limits, self._now_ms()
        changed = partial(keys.change, changer=changer, key_id=key_id, asked=change, default=default, now_ms=now_ms)
        try:
            return self._with_last_use(await self._write(changed))
        finally:
            self._holders.forget()

    async def key(self, key_id: KeyId) -> Key | None:
        """The key with this id."""
        default, now_ms = self._default_limits, self._now_ms()
        found = await self._read(partial(keys.find, key_id=key_id, default=default, now_ms=now_ms))
        return None if found is None else self._with_last_use(found)

    async def keys(self, account_id: AccountId | None) -> list[Key]:
        """The account's keys, or everybody's, oldest first; revoked and expired ones too."""
        default, now_ms = self._default_limits, self._now_ms()
        found = await self._read(partial(keys.of_account, account_id=account_id, default=default, now_ms=now_ms))
        return [self._with_last_use(key) for key in found]

    async def revoke_key(self, key_id: KeyId, account_id: AccountId | None) -> None:
        """The key is not valid any more. May be repeated.

        Raises KeyNotFound (for another account's key too, unless `account_id` is None), and Conflict for the last
        valid admin key.
        """
        try:
            await self._write(partial(keys.revoke, key_id=key_id, account_id=account_id, now_ms=self._now_ms()))
        finally:
            # Also when it failed: it may have been written.
            self._holders.forget()

    # Jobs ---------------------------------------------------------------------------------------------------------

    async def create(self, new: Sequence[Submission], begun: Sequence[Placed] = ()) -> list[Accepted | InfernetError]:
        """Per submission the job that it became, now or before, or what refuses it: Conflict, BudgetExceeded.

        What a job may consume at most is reserved of its budgets with that, once however often this is called. `begun`
        is where some of them run already.
        """
        with spans.of_jobs("ledger write", spans.SUBMIT, ((each.job.id, each.job.origin) for each in new)):
            accept = partial(submissions.accept, submissions=new, begun=begun, now_ms=self._now_ms())
            answers = await self._write(partial(accept, listening=self._listening))
        if self._listening and any(isinstance(answer, BudgetExceeded) for answer in answers):
            self._something_to_tell.set()
        for each in new:
            logger.debug("is written down", extra=about_job(each.job))
        return answers

    async def over_budget(self, submissions_: Sequence[Submission]) -> dict[JobId, BudgetExceeded]:
        """Those of these jobs that their budgets have no room for now, each looked at alone."""
        return await self._read(partial(submissions.over_budget, submissions=submissions_, now_ms=self._now_ms()))

    async def repeated(self, account_id: AccountId, idempotency_: Idempotency) -> Accepted | None:
        """The job submitted before under this idempotency key. Raises Conflict when its body was another one."""
        now_ms = self._now_ms()
        return await self._read(partial(idempotency.repeated, account_id=account_id, asked=idempotency_, now_ms=now_ms))

    async def placed(self, placed: Sequence[Placed]) -> None:
        """Records where jobs run. What has ended, and what a later attempt has overtaken, stays as it is."""
        await self._write(partial(jobs.place, placed=placed))

    async def finish(self, ended: Sequence[Ended], journal: str | None = None) -> dict[JobId, EndedRecord]:
        """Records results, usage and what budgets spend together, once per job: the first end wins.

        Answers how those ended that had ended before. Raises Superseded when `journal` is not the Journal any more:
        what it remembers may be older than what another one has told.
        """
        if journal is not None and not self._roles.hold(JOURNAL_ROLE, journal, begins=False):
            raise Superseded("another Journal has begun")
        with spans.of_jobs("ledger write", spans.END, ((each.job_id, each.origin) for each in ended)):
            billed, before = await self._write(partial(jobs.finish, ended=ended, listening=self._listening))
        for end in ended:
            logger.debug("its end is written down", extra=about(end.job_id, end.origin))
        if any(each.account_id in self._listening for each in billed):
            self._something_to_tell.set()
        return before

    async def job(self, job_id: JobId, account_id: AccountId | None) -> JobRecord | None:
        """The job; None if there is none, or it is another account's than the one named."""
        return await self._read(partial(jobs.record, job_id=job_id, account_id=account_id))

    async def asked(self, job_id: JobId, account_id: AccountId | None) -> Job | None:
        """The job as it was accepted; None if there is none, or it is another account's than the one named."""
        return await self._read(partial(jobs.asked, job_id=job_id, account_id=account_id))

    async def jobs(self, account_id: AccountId | None, query: JobQuery) -> JobPage:
        """The account's jobs that `query` asks for, or everybody's, newest first."""
        return await self._read(partial(job_search.search, account_id=account_id, query=query, clock=self._clock))

    async def open_jobs(self, job_ids: Sequence[JobId] | None = None) -> list[OpenJob]:
        """All jobs that have not ended, or those of these, in the order of their creation.

        No limit is on how long this takes in all.
        """
        found: list[OpenJob] = []
        after = (-1, JobId(""))
        while True:
            page = await self._read(partial(jobs.open_jobs, after=after, limit=_PAGE, job_ids=job_ids))
            found += page
            if len(page) < _PAGE:
                return found
            after = (page[-1].job.created_ms, page[-1].job.id)

    async def open_attempts(self) -> list[OpenAttempt]:
        """Of all jobs that have not ended: the id, the last attempt recorded and when the job was created."""
        return await self._read(jobs.open_attempts)

    async def placements(self, job_id: JobId) -> list[Placed]:
        """Every attempt to run this job, in their order."""
        return await self._read(partial(placements.of_job, job_id=job_id))

    async def remove(self, job_id: JobId, account_id: AccountId | None) -> None:
        """Removes this ended job, but for what it used; with an account, only one of its jobs. A removed one stays so.

        Raises Conflict for one that has not ended, and JobNotFound.
        """
        await self._write(partial(removal.remove, job_id=job_id, account_id=account_id))
        self._has_removed = True

    async def prune_jobs(self) -> None:
        """Removes all jobs that ended too long ago, and has the database hold nothing any more of any removed one.

        What cannot be done now is done the next time.
        """
        try:
            if self._retention_ms is not None:
                await self._prune(self._now_ms() - self._retention_ms)
            if self._has_removed:
                self._has_removed = not await self._database.forget()
        except DatabaseFailed as error:
            logger.warning("jobs that ended too long ago were not removed, and will be later: %s", error)

    # Models -------------------------------------------------------------------------------------------------------

    async def model_settings(self) -> list[ModelSettings]:
        """What admins have set of models while the system runs."""
        return await self._read(model_settings.all_of_them)

    async def change_bounds(self, model: str, change: BoundsChange, replicas: Replicas) -> ModelSettings:
        """What is set of this model then. May be repeated. `replicas` is what its settings say.

        Raises BadRequest for bounds that do not go together.
        """
        changed = partial(model_settings.change_bounds, model=model, change=change, replicas=replicas)
        return await self._write(changed)

    async def restart_model(self, model: str, restarts: int) -> ModelSettings:
        """The model's engines have been restarted so many times, or more often already. May be repeated."""
        return await self._write(partial(model_settings.restart, model=model, restarts=restarts))

    # Pictures and sounds ------------------------------------------------------------------------------------------

    async def wanted_media(self, hashes: Sequence[MediumHash]) -> list[MediumHash]:
        """Those of these that are to be brought. The others are there, and stay long enough for a job to be made."""
        return await self._write(partial(media.want, hashes=hashes, now_ms=self._now_ms()))

    async def keep_media(self, brought: Sequence[Medium]) -> None:
        """Keeps these until no open job needs them. May be repeated."""
        await self._write(partial(media.keep, media=brought, now_ms=self._now_ms()))

    async def media(self, hashes: Sequence[MediumHash]) -> list[bytes | None]:
        """What is kept under each of these hashes, None where nothing is."""
        return await self._read(partial(media.contents, hashes=hashes))

    async def prune_media(self) -> None:
        """Removes what no open job needs and nobody has brought for a while. What cannot be now is the next time."""
        try:
            await self._write(partial(media.prune, now_ms=self._now_ms()))
        except DatabaseFailed as error:
            logger.warning("media that no job needs were not removed, and will be later: %s", error)

    # Webhooks -----------------------------------------------------------------------------------------------------

    async def create_webhook(self, maker: Principal, webhook: NewWebhook) -> Webhook:
        """The endpoint as it stands; repeated, nothing changes. Raises BadRequest, Forbidden and Conflict."""
        # Before it is written: whatever ends from then on is looked at.
        self._listening.add(webhook.account_id)
        return await self._write(partial(webhooks.create, maker=maker, asked=webhook))

    async def webhooks(self, account_id: AccountId | None) -> list[Webhook]:
        """The account's endpoints, or everybody's, the oldest first."""
        return await self._read(partial(webhooks.of_account, account_id=account_id))

    async def webhook_at(self, account_id: AccountId, url: str) -> WebhookId:
        """The account's endpoint with this URL. Raises BadRequest where there is none that is enabled."""
        return await self._read(partial(webhooks.at, account_id=account_id, url=url))

    async def change_webhook(self, caller: Principal, webhook_id: WebhookId, change: WebhookChange) -> Webhook:
        """The endpoint as it stands then. May be repeated. Raises WebhookNotFound, Forbidden and Conflict."""
        return await self._write(partial(webhooks.change, caller=caller, webhook_id=webhook_id, asked=change))

    async def rotate_webhook(self, caller: Principal, webhook_id: WebhookId, secret: str) -> Webhook:
        """From now on this secret signs, and the one before for a day. Raises WebhookNotFound and Forbidden."""
        rotate = partial(webhooks.rotate, caller=caller, webhook_id=webhook_id, secret=secret, now_ms=self._now_ms())
        return await self._write(rotate)

    async def remove_webhook(self, caller: Principal, webhook_id: WebhookId) -> None:
        """Nothing more is told to it. Raises WebhookNotFound."""
        now_ms = self._now_ms()
        await self._write(partial(webhooks.remove, caller=caller, webhook_id=webhook_id, now_ms=now_ms))
        self._has_removed = True

    async def test_webhook(self, caller: Principal, webhook_id: WebhookId, event: Event) -> Delivery:
        """This event on its way to this endpoint alone. Raises WebhookNotFound, and Conflict for a disabled one."""
        delivery = await self._write(partial(deliveries.test, caller=caller, webhook_id=webhook_id, event=event))
        self._something_to_tell.set()
        return delivery

    async def deliveries(self, caller: Principal, webhook_id: WebhookId, query: DeliveryQuery) -> list[Delivery]:
        """The endpoint's deliveries that `query` asks for, the newest first. Raises WebhookNotFound."""
        return await self._read(partial(deliveries.of_webhook, caller=caller, webhook_id=webhook_id, query=query))

    async def redeliver(self, caller: Principal, webhook_id: WebhookId, delivery: DeliveryId) -> Delivery:
        """The delivery, tried again from now on. Raises WebhookNotFound, DeliveryNotFound and Conflict."""
        now_ms = self._now_ms()
        again = await self._write(
            partial(deliveries.redeliver, caller=caller, webhook_id=webhook_id, delivery=delivery, now_ms=now_ms)
        )
        self._something_to_tell.set()
        return again

    async def happened(self, events: Sequence[Event]) -> None:
        """Writes down whom these are to be told. May be repeated: each is told once."""
        if await self._somebody_listens():
            await self._write(partial(deliveries.add, events=events, named={}))
            self._something_to_tell.set()

    async def due_deliveries(self, room: Room, wait_s: float) -> list[Due]:
        """What is to be told now, as far as there is room; where there is nothing, it is waited for so long."""
        if found := await self._due(room):
            return found
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._something_to_tell.wait()
        return await self._due(room)

    async def record_attempts(self, attempted: Sequence[Attempted]) -> None:
        """Writes down what came of these attempts. May be repeated."""
        await self._write(partial(deliveries.record, attempted=attempted))
        for each in attempted:
            self._tallies.count(WEBHOOKS, _came_to(each))

    async def prune_deliveries(self) -> None:
        """Removes deliveries that ended long ago, some at a time. What cannot be now is the next time."""
        if not self._listening:
            return
        prune = partial(deliveries.prune, now_ms=self._now_ms())
        try:
            while True:
                may_be_more = await self._write(prune)
                if not may_be_more:
                    return
                await asyncio.sleep(self._timing.prune_pause_s)
        except DatabaseFailed as error:
            logger.warning("old deliveries were not removed, and will be later: %s", error)

    # What adds up -------------------------------------------------------------------------------------------------

    async def usage(self, query: UsageQuery) -> list[UsageSum]:
        """Usage added up, in the order of the groups; without a grouping one sum, even of nothing."""
        return await self._read(partial(usage.sums, query=query))

    async def totals(self) -> Totals:
        """All that is counted, of jobs and by processes."""
        return await self._read(_totals)

    async def tally(self, source: str, sheet: Sheet | None, gauges: Mapping[str, float]) -> None:
        """Adds up what this process has counted, each sheet once, and takes what it tells of now for its present."""
        self._gauges.tell(source, gauges)
        if sheet is not None:
            await self._write(partial(tallies.take, sheet=sheet, now_ms=self._now_ms()))

    async def gauges(self) -> dict[str, float]:
        """What the processes that are heard tell of now, added up. Asked of no database."""
        return self._gauges.sums()

    async def ended_minutes(self, minutes: int) -> EndedMinutes:
        """What has ended in each of the last so many minutes, the current one among them, and the cost of today."""
        now_ms = self._now_ms()
        since_ms = now_ms - (minutes - 1) * MINUTE_MS
        return await self._read(partial(measures.ended_minutes, since_ms=since_ms, now_ms=now_ms))

    async def prune_minutes(self) -> None:
        """Removes what was measured of minutes that nobody asks for any more. What cannot be now is the next time."""
        try:
            await self._write(partial(measures.prune, now_ms=self._now_ms()))
            await self._write(partial(tallies.prune, now_ms=self._now_ms()))
        except DatabaseFailed as error:
            logger.warning("minutes that are over were not removed, and will be later: %s", error)

    async def speeds(self) -> dict[str, int]:
        """Per model: output tokens per second of generation, averaged over its last 32 completed jobs."""
        return await self._read(speeds.averages)

    async def window_marks(self) -> list[WindowMark]:
        """How far the windows of rate limits that are not over have been marked as used."""
        return await self._read(partial(windows.marks, now_ms=self._now_ms()))

    async def mark_windows(self, marks: Sequence[WindowMark]) -> None:
        """Records these marks. Of the marks of one window the one with the most used holds."""
        await self._write(partial(windows.mark, marks=marks, now_ms=self._now_ms()))

    async def settle_windows(self, marks: Sequence[WindowMark]) -> None:
        """Records how much of these windows was used in fact, however far ahead of it their marks were."""
        await self._write(partial(windows.settle, marks=marks, now_ms=self._now_ms()))

    async def share_marks(self) -> list[ShareMark]:
        """What accounts have had of models, as it was written down last."""
        # A read would not see what waits to be committed, and nobody would ever take it out.
        return await self._write(shares.marks)

    async def mark_shares(self, marks: Sequence[ShareMark], scheduler: str) -> None:
        """Records what accounts have had. Raises Superseded when `scheduler` is not the Scheduler any more."""
        if not self._roles.hold(SCHEDULER_ROLE, scheduler, begins=False):
            raise Superseded("another Scheduler has begun")
        await self._write(partial(shares.mark, marks=marks))

    def _count_commits(self) -> None:
        """That this was handed in is no reason to hand it in again: a system at rest writes nothing."""
        commits = self._database.commits
        if commits.writes > self._told_writes + 1:
            self._told_writes = commits.writes
            self._tallies.reach(COMMITS, total=commits.count)
            self._tallies.reach(WRITES, total=commits.writes)
            self._tallies.reach(COMMIT_SECONDS, total=commits.seconds)

    # Inside -------------------------------------------------------------------------------------------------------

    def _with_last_use(self, key: Key) -> Key:
        at_ms = self._uses.get(key.id)
        return key if at_ms is None else replace(key, last_used_ms=max(at_ms, key.last_used_ms or 0))

    async def _due(self, room: Room) -> list[Due]:
        if not await self._somebody_listens():
            return []
        # Cleared first: what is written down from here on is looked at again.
        self._something_to_tell.clear()
        return await self._read(partial(deliveries.due, room=room, now_ms=self._now_ms()))

    async def _somebody_listens(self) -> bool:
        """Or did, once. It is known as soon as the database has been opened."""
        await self._database.opened()
        return bool(self._listening)

    async def _prune(self, before_ms: int) -> None:
        """In turns, between which others write."""
        turn = partial(removal.prune, before_ms=before_ms, turn_s=self._timing.prune_turn_s, clock=self._clock)
        while True:
            pruned = await self._write(turn)
            self._has_removed |= pruned.jobs > 0
            if not pruned.may_be_more:
                return
            await asyncio.sleep(self._timing.prune_pause_s)

    def _prepare(self, database: Database) -> None:
        """Learns who listens, and makes the first admin key, if there is no key."""
        self._listening |= database.read(webhooks.accounts)
        if database.read(keys.any_exists):
            return
        secret = self._admin_key or new_secret()
        if checksum(secret) == "wrong":
            # Said before it is stored: the door would let nobody in with it.
            raise StartError("The first admin key looks like one that was made here, but a character of it is wrong")
        add = partial(first_admin.add, secret=secret, now_ms=self._now_ms())
        for answer in database.commit([add]):
            if answer is not None:
                raise answer
        self._first_admin_key = None if self._admin_key else secret


def _totals(connection: Connection) -> Totals:
    return Totals(
        measures.totals(connection),
        tallies.sums(connection),
        budgets.reserved(connection),
        deliveries.untold(connection),
    )


def _came_to(attempted: Attempted) -> str:
    if attempted.problem is None:
        return "delivered"
    return "given_up" if attempted.next_ms is None else "failed"
