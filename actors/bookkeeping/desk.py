"""What the Ledger's books share."""

from actors.bookkeeping.leftovers import Leftovers
from actors.bookkeeping.listeners import Listeners
from actors.database.access import Access
from actors.database.holders import Holders
from cluster.clock import Clock
from cluster.ids import new_holder_id
from cluster.liveness.roles import Roles
from cluster.measures.tallies import Tallies
from cluster.messages.people import KeyLimits
from cluster.timing import Timing


class Desk:
    """The database, the time, and what one book notes and another one looks at.

    `limits` are those of keys and accounts that have none of their own.
    """

    def __init__(
        self, database: Access, limits: KeyLimits, retention_days: int | None, clock: Clock, timing: Timing
    ) -> None:
        self.database = database
        self.limits = limits
        self.retention_days = retention_days
        self.clock = clock
        self.timing = timing
        self.holders = Holders(timing.known_keys_s)
        self.listeners = Listeners()
        self.leftovers = Leftovers(database)
        self.roles = Roles()
        self.tallies = Tallies(new_holder_id())
