"""Cookies of sessions: signed, over after a while, and one secret for all replicas."""

import asyncio
from typing import Any, cast

import pytest
from itsdangerous import URLSafeSerializer

from actors.ledger import Ledger
from api.replica.sessions import LASTS_S, Sessions
from cluster.errors import Unauthorized
from cluster.keys import secret_hash
from cluster.messages.people import KeyLimits, SignedIn
from tests.support.clocks import StillClock
from tests.support.ledger_stage import Place, elsewhere, url


class Secret:
    """A Ledger that is asked for one thing."""

    def __init__(self, secret: str = "secret") -> None:
        self.secret = secret
        self.asked = 0

    async def session_secret(self) -> str:
        self.asked += 1
        await asyncio.sleep(0)
        return self.secret


def sessions(secret: Secret, clock: StillClock) -> Sessions:
    return Sessions(cast(Any, secret), clock)


def test_a_session_is_known_until_it_is_over() -> None:
    async def scenario() -> None:
        clock = StillClock()
        kept = sessions(Secret(), clock)
        cookie = await kept.begin("hash")
        assert (await kept.read(cookie)).signed_in.key_hash == "hash"
        clock.advance(LASTS_S - 1)
        await kept.read(cookie)
        clock.advance(1)
        with pytest.raises(Unauthorized):
            await kept.read(cookie)

    asyncio.run(scenario())


def test_another_secret_signed_another_session() -> None:
    async def scenario() -> None:
        cookie = await sessions(Secret("one"), StillClock()).begin("hash")
        with pytest.raises(Unauthorized):
            await sessions(Secret("other"), StillClock()).read(cookie)

    asyncio.run(scenario())


def test_a_cookie_of_an_older_version_is_none() -> None:
    """It had no id by which it could be ended."""

    async def scenario() -> None:
        clock = StillClock()
        older = URLSafeSerializer("secret", salt="session").dumps(["hash", clock.wall_ms() + 1000])
        with pytest.raises(Unauthorized):
            await sessions(Secret(), clock).read(str(older))

    asyncio.run(scenario())


def test_every_session_has_a_token_of_its_own() -> None:
    async def scenario() -> None:
        clock = StillClock()
        kept = sessions(Secret(), clock)
        sessions_ = [await kept.read(await kept.begin(key_hash)) for key_hash in ("hash", "hash", "other")]
        assert len({each.csrf_token for each in sessions_}) == 3
        assert len({each.signed_in.id for each in sessions_}) == 3

    asyncio.run(scenario())


def test_the_ledger_is_asked_once_however_many_come() -> None:
    async def scenario() -> None:
        secret = Secret()
        kept = sessions(secret, StillClock())
        await asyncio.gather(*(kept.begin("hash") for _ in range(20)))
        assert secret.asked == 1

    asyncio.run(scenario())


def test_the_secret_is_made_once_and_outlives_the_ledger(fresh: Place) -> None:
    async def scenario() -> None:
        told = []
        for _ in range(2):
            ledger = Ledger(url(fresh), "inft_" + "a" * 32, KeyLimits())
            await ledger.start()
            told += await asyncio.gather(ledger.session_secret(), ledger.session_secret())
            await ledger.stop()
        assert len(set(told)) == 1
        assert len(told[0]) >= 43

    asyncio.run(scenario())


def test_an_ended_session_is_kept_until_it_would_be_over(fresh: Place) -> None:
    async def scenario() -> None:
        clock = StillClock()
        key = "inft_" + "a" * 32
        one, other = (SignedIn(secret_hash(key), name) for name in ("one", "other"))
        now_ms = clock.wall_ms()

        async def known() -> list[bool]:
            return [holder is not None for holder in await ledger.principals([one, other, SignedIn(one.key_hash)])]

        ledger = Ledger(url(fresh), key, KeyLimits(), clock)
        await ledger.start()
        assert await known() == [True, True, True]
        for _ in range(2):
            await ledger.end_session(one.id, now_ms + 2000)
        assert await known() == [False, True, True]
        await ledger.stop()
        ledger = Ledger(url(fresh), None, KeyLimits(), clock)
        assert await known() == [False, True, True]
        clock.advance(2)
        await ledger.end_session(other.id, now_ms + 9000)
        assert await known() == [True, False, True], "one whose time is over is refused by its cookie"
        await ledger.stop()
        assert elsewhere(fresh, "SELECT id FROM ended_sessions") == [("other",)]

    asyncio.run(scenario())
