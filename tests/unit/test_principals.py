"""Who holds a key, remembered for a moment."""

from typing import Any

import pytest

from api import principals
from api.principals import Principals
from cluster.errors import Unauthorized
from cluster.ids import AccountId, KeyId
from cluster.messages import KeyLimits, Principal
from tests.unit.plain_system import run

NOW_MS = 1_000_000


class PlainLedger:
    def __init__(self, principal: Principal | None) -> None:
        self.principal = principal
        self.asked = 0

    async def authenticate(self, key_hash: str) -> Principal | None:
        self.asked += 1
        return self.principal


def test_a_remembered_key_ends_on_time(monkeypatch: pytest.MonkeyPatch) -> None:
    ledger: Any = PlainLedger(Principal(AccountId("a"), KeyId("k"), "member", KeyLimits(), expires_ms=NOW_MS))
    known = Principals(ledger)

    async def scenario() -> None:
        monkeypatch.setattr(principals, "wall_ms", lambda: NOW_MS - 1)
        assert await known.find("inft_x") == ledger.principal
        monkeypatch.setattr(principals, "wall_ms", lambda: NOW_MS)
        with pytest.raises(Unauthorized):
            await known.find("inft_x")
        assert ledger.asked == 1

    run(scenario())


@pytest.mark.parametrize("holder", [None, Principal(AccountId("a"), KeyId("k"), "member", KeyLimits())])
def test_what_the_ledger_said_is_remembered_for_four_seconds(
    holder: Principal | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger: Any = PlainLedger(holder)
    known = Principals(ledger)

    async def found() -> Principal | None:
        try:
            return await known.find("inft_x")
        except Unauthorized:
            return None

    async def scenario() -> None:
        for now_s, asked in ((0.0, 1), (principals.REMEMBER_S - 0.1, 1), (principals.REMEMBER_S, 2)):
            monkeypatch.setattr(principals, "monotonic_s", lambda now_s=now_s: now_s)
            assert await found() == holder
            assert ledger.asked == asked

    run(scenario())
