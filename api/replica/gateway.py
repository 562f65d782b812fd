"""All that routes may talk to: who asks, what they may still ask for, and what of the cluster they asked for."""

from collections.abc import Awaitable, Callable, Mapping
from hmac import compare_digest
from typing import TYPE_CHECKING, cast

from actors.backends.prompts.counter import PromptCounter
from actors.wire.calls import Gone, InTime
from actors.wire.handing_in import HandingIn
from api.replica.allowances import Allowances
from api.replica.contexts import Contexts
from api.replica.door_counts import DoorCounts
from api.replica.forms import Forms
from api.replica.health import Health
from api.replica.intake import Intake
from api.replica.media.fetching import Fetcher
from api.replica.media.keeping import MediaKeeping
from api.replica.nouns.accounts import Accounts
from api.replica.nouns.adapters import Adapters
from api.replica.nouns.jobs import Jobs
from api.replica.nouns.keys import Keys
from api.replica.nouns.models import Models
from api.replica.nouns.nodes import Nodes
from api.replica.nouns.usage import Usage
from api.replica.nouns.webhooks import Webhooks
from api.replica.offered import Offered
from api.replica.principals import Principals
from api.replica.room import Room
from api.replica.signing_in import SigningIn
from api.replica.streams import StreamHub
from cluster.catalogue import Catalogue, Choice
from cluster.clock import SYSTEM_CLOCK, Clock
from cluster.errors import Unauthorized
from cluster.ids import EngineId
from cluster.limits.windows import Bucket, Decision
from cluster.messages.people import Principal
from cluster.settings.schema import Settings
from cluster.timing import Timing

if TYPE_CHECKING:
    from actors.engine import Engine
    from actors.journal import Journal
    from actors.ledger import Ledger
    from actors.rate_limiter import RateLimiter
    from actors.scheduler import Scheduler


def _no_engine(engine_id: EngineId) -> "Engine":
    raise Gone(f"no engine is known here, nor is {engine_id}")


async def _no_restarts() -> Mapping[str, int]:
    raise Gone("no supervisor is known here")


class Gateway:
    """One per ingress replica. It owns nothing that matters: another replica answers the same.

    What of the cluster can be asked for is under its noun: `gateway.keys.revoke`.
    """

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
        ledger = cast("Ledger", InTime(ledger, timing.answer_s, "the ledger"))
        scheduler = cast("Scheduler", InTime(scheduler, timing.answer_s, "the scheduler"))
        rate_limiter = cast("RateLimiter", InTime(rate_limiter, timing.answer_s, "the rate limiter"))
        self._clock = clock
        self._metrics_key = settings.metrics.key

        self._offered = Offered(settings.models, ledger, timing)
        self.default_limits = settings.limits
        self.counts = DoorCounts()
        self._handing_in = HandingIn(self.counts.tallies, ledger, timing, self.counts.gauges)
        self._principals = Principals(ledger, clock, timing)
        self.sessions = SigningIn(ledger, rate_limiter, self._principals, clock)
        self._allowances = Allowances(rate_limiter, clock, answer_s=timing.answer_s, decided=self.counts.decided)

        self.prompts = PromptCounter(settings.models)
        self.contexts = Contexts(scheduler, timing.answer_s)
        self.streams = StreamHub(journal, ledger, clock, timing)
        self.forms = Forms(scheduler, engine, clock)
        self.max_body_bytes = settings.media.max_body_bytes
        self.room = Room(settings.media.max_body_bytes)
        self._fetcher = fetcher or Fetcher(settings.media)
        self.intake = Intake(
            self._offered,
            self.prompts,
            self._allowances,
            ledger,
            scheduler,
            self.contexts,
            self.forms,
            MediaKeeping(settings.media, ledger, self._fetcher, self.room),
            settings.job_timeout_s,
            clock,
            timing.answer_s,
        )

        journal_in_time = cast("Journal", InTime(journal, timing.answer_s, "the journal"))
        self.jobs = Jobs(self._offered.settings, ledger, scheduler, journal_in_time, self.streams, timing.health_s)
        self.models = Models(self._offered, ledger, scheduler, timing.health_s)
        self.nodes = Nodes(scheduler)
        self.adapters = Adapters(self._offered, self.models, self.nodes, ledger, scheduler, clock)
        self.accounts = Accounts(ledger, scheduler)
        self.keys = Keys(ledger)
        self.webhooks = Webhooks(ledger, settings.webhooks.private_hosts, clock)
        self.usage = Usage(ledger, scheduler, clock)
        self.health = Health(
            self.models,
            self.nodes,
            ledger,
            scheduler,
            rate_limiter,
            self.streams,
            restarts,
            self._handing_in,
            timing.health_s,
        )

    async def start(self) -> None:
        await self.streams.start()
        await self.prompts.start()
        await self._offered.start()
        self._handing_in.start()

    async def stop(self) -> None:
        await self._handing_in.stop()
        await self._offered.stop()
        await self.streams.stop()
        await self.prompts.stop()
        await self._fetcher.close()

    @property
    def catalogue(self) -> Catalogue:
        """The models and their adapters, as this replica knows them now."""
        return self._offered.catalogue

    async def choice(self, name: str | None) -> Choice:
        """What this name stands for now, or the only model. Raises ModelNotFound, and BadRequest without a name."""
        return await self._offered.choice(name)

    async def authenticate(self, token: str) -> Principal:
        """Raises Unauthorized."""
        return await self._principals.find(token)

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

    def now_ms(self) -> int:
        return self._clock.wall_ms()
