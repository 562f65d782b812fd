"""How many replicas of a model there may be: by its settings, and by what admins have set."""

import pytest

from cluster.catalogue import Replicas
from cluster.errors import BadRequest
from cluster.fleet.bounds import bounds_of, check
from cluster.messages.models import ModelSettings

SETTINGS = Replicas(min=1, max=4, target_jobs=7, idle_s=60, drain_s=9)


def of(**set_by_admins: int) -> ModelSettings:
    return ModelSettings("m", **set_by_admins)


@pytest.mark.parametrize(
    ("admins", "bounds"),
    [
        (of(), SETTINGS),
        (of(restarts=3), SETTINGS),
        (of(min=0), Replicas(0, 4, 7, 60, 9)),
        (of(max=2, idle_s=5), Replicas(1, 2, 7, 5, 9)),
        (of(min=2, max=8, idle_s=5), Replicas(2, 8, 7, 5, 9)),
    ],
)
def test_what_admins_set_goes_before_what_the_settings_say(admins: ModelSettings, bounds: Replicas) -> None:
    check(SETTINGS, admins)
    assert bounds_of(SETTINGS, admins) == bounds


@pytest.mark.parametrize(
    ("settings", "admins", "least", "most"),
    [
        (Replicas(1, 2), of(min=3), 3, 3),
        (Replicas(3, 4), of(max=2), 2, 2),
        (Replicas(5, 5), of(min=1, max=2), 1, 2),
    ],
)
def test_after_other_settings_what_admins_set_counts(
    settings: Replicas, admins: ModelSettings, least: int, most: int
) -> None:
    bounds = bounds_of(settings, admins)
    assert (bounds.min, bounds.max) == (least, most)


@pytest.mark.parametrize(
    ("admins", "field"), [(of(min=5), "min"), (of(max=0), "max"), (of(min=3, max=2), "min")], ids=str
)
def test_bounds_that_do_not_go_together_are_refused(admins: ModelSettings, field: str) -> None:
    with pytest.raises(BadRequest, match=rf"^replicas\.{field}: "):
        check(SETTINGS, admins)
