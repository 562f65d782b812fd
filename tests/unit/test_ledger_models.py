"""What admins set of models, as the Ledger keeps it."""

import pytest
from msgspec.structs import replace

from actors.ledger import Ledger
from cluster.catalogue import Adapter, Price, Replicas
from cluster.errors import BadRequest, Conflict
from cluster.messages.models import BoundsChange, ModelSettings
from tests.support.ledger_stage import Place, with_ledger

REPLICAS = Replicas(1, 4)


def test_what_was_set_is_changed_in_what_is_given_and_outlives_the_ledger(place: Place) -> None:
    async def before(ledger: Ledger) -> None:
        assert await ledger.model_settings() == []
        for _ in range(2):
            set_ = await ledger.change_bounds("m", BoundsChange(min=2, idle_s=60), REPLICAS)
            assert set_ == ModelSettings("m", min=2, idle_s=60)
        assert await ledger.change_bounds("m", BoundsChange(min=None, max=9), REPLICAS) == ModelSettings(
            "m", max=9, idle_s=60
        )
        await ledger.change_bounds("other", BoundsChange(), REPLICAS)

    async def after(ledger: Ledger) -> None:
        assert {each.model: each for each in await ledger.model_settings()} == {
            "m": ModelSettings("m", max=9, idle_s=60),
            "other": ModelSettings("other"),
        }

    with_ledger(place, before)
    with_ledger(place, after)


def test_what_does_not_go_together_is_not_written(place: Place) -> None:
    async def scenario(ledger: Ledger) -> None:
        await ledger.change_bounds("m", BoundsChange(min=2), REPLICAS)
        for change in (BoundsChange(max=1), BoundsChange(min=5), BoundsChange(min=3, max=2)):
            with pytest.raises(BadRequest, match=r"^replicas\."):
                await ledger.change_bounds("m", change, REPLICAS)
        assert await ledger.model_settings() == [ModelSettings("m", min=2)]

    with_ledger(place, scenario)


def test_a_restart_that_is_told_again_is_one(place: Place) -> None:
    async def scenario(ledger: Ledger) -> None:
        await ledger.change_bounds("m", BoundsChange(min=2), REPLICAS)
        for restarts, told in ((1, 1), (1, 1), (2, 2), (1, 2)):
            assert await ledger.restart_model("m", restarts) == ModelSettings("m", min=2, restarts=told)
        assert (await ledger.change_bounds("m", BoundsChange(min=None), REPLICAS)).restarts == 2

    with_ledger(place, scenario)


def test_adapters_are_added_once_and_removed(place: Place) -> None:
    async def scenario(ledger: Ledger) -> None:
        asked = Adapter("a", "org/a", Price(1.0, 2.5), added_ms=5)
        assert await ledger.add_adapter("m", asked) == asked
        assert await ledger.add_adapter("m", replace(asked, added_ms=6)) == asked  # said again
        for other, words in (
            (replace(asked, source="org/b"), "from another source"),
            (replace(asked, price=None), "at another price"),
        ):
            with pytest.raises(Conflict, match=words):
                await ledger.add_adapter("m", other)
        with pytest.raises(Conflict, match="is an adapter of m already"):
            await ledger.add_adapter("other", asked)
        await ledger.change_bounds("m", BoundsChange(min=2), REPLICAS)
        assert await ledger.model_settings() == [ModelSettings("m", min=2, adapters=(asked,))]
        await ledger.remove_adapter("m", "a")
        await ledger.remove_adapter("m", "a")
        await ledger.remove_adapter("m", "unheard of")
        again = await ledger.add_adapter("m", replace(asked, source="org/b", price=None))
        assert again == Adapter("a", "org/b", None, added_ms=6)  # never at the same time as before
        assert await ledger.model_settings() == [ModelSettings("m", min=2, adapters=(again,), removed=(asked,))]
        await ledger.restart_model("m", 1)
        (told,) = await ledger.model_settings()
        assert (told.adapters, told.removed) == ((again,), (asked,))

    with_ledger(place, scenario)
