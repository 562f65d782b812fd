"""The Ledger: sole writer of the database. What it has answered is durable.

Everything of a noun is in its book, in `actors/bookkeeping`.
"""

from functools import partial

from actors.bookkeeping.accounts import AccountBook
from actors.bookkeeping.alarms import AlarmBook
from actors.bookkeeping.desk import Desk
from actors.bookkeeping.figures import FigureBook
from actors.bookkeeping.jobs import JobBook
from actors.bookkeeping.keys import KeyBook
from actors.bookkeeping.marks import MarkBook
from actors.bookkeeping.media import MediaBook
from actors.bookkeeping.models import ModelBook
from actors.bookkeeping.removals import RemovalBook
from actors.bookkeeping.sessions import SessionBook
from actors.bookkeeping.webhooks import WebhookBook
from actors.database.access import Access
from actors.wire.handing_in import HandingIn
from cluster.clock import SYSTEM_CLOCK, Clock
from cluster.errors import StartError
from cluster.keys import checksum, new_secret
from cluster.measures.tallies import COMMIT_SECONDS, COMMITS, WRITES
from cluster.messages.people import KeyLimits
from cluster.store import first_admin, keys
from cluster.store.database import Database
from cluster.timing import Timing


class Ledger(
    AccountBook,
    KeyBook,
    SessionBook,
    JobBook,
    RemovalBook,
    ModelBook,
    MediaBook,
    WebhookBook,
    AlarmBook,
    FigureBook,
    MarkBook,
):
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
        self._database = Access(database_url, self._prepare, clock, timing)
        super().__init__(Desk(self._database, default_limits, retention_days, clock, timing))
        self._admin_key = admin_key
        self._first_admin_key: str | None = None
        self._told_writes = 0
        self._handing_in = HandingIn(self._desk.tallies, self, timing, before=self._count_commits)
        self._database.repeat(self._handing_in.loop)

    async def start(self) -> None:
        """Opens the database, brings its schema up to date, makes the first admin key if there is no key.

        Raises `StartError`, also when another system has the database. May be repeated; any other method does it where
        it has not been done, so that a restarted Ledger serves at once.
        """
        await self._database.open()

    async def stop(self) -> None:
        """Finishes the writes under way and closes the database. A stopped Ledger stays stopped."""
        self._database.rest()
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
        return self._desk.roles.hold(role, holder, begins)

    async def first_admin_key(self) -> str | None:
        """The secret of the admin key that this process made, once; None if it was given, or is not new."""
        await self._database.opened()
        secret, self._first_admin_key = self._first_admin_key, None
        return secret

    def _prepare(self, database: Database) -> None:
        self._learn_who_listens(database)
        if not database.read(keys.any_exists):
            self._make_first_admin_key(database)

    def _make_first_admin_key(self, database: Database) -> None:
        secret = self._admin_key or new_secret()
        if checksum(secret) == "wrong":
            # Said before it is stored: the door would let nobody in with it.
            raise StartError("The first admin key looks like one that was made here, but a character of it is wrong")
        add = partial(first_admin.add, secret=secret, now_ms=self._now_ms())
        database.commit_all([add])
        self._first_admin_key = None if self._admin_key else secret

    def _count_commits(self) -> None:
        """That this was handed in is no reason to hand it in again: a system at rest writes nothing."""
        commits = self._database.commits
        if commits.writes > self._told_writes + 1:
            self._told_writes = commits.writes
            self._desk.tallies.reach(COMMITS, total=commits.count)
            self._desk.tallies.reach(WRITES, total=commits.writes)
            self._desk.tallies.reach(COMMIT_SECONDS, total=commits.seconds)
