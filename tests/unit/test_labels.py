"""Which machines have the labels that a model wants."""

import pytest

from cluster.fleet.labels import match

SPOT = {"tier": "spot", "gpu": "A100"}


@pytest.mark.parametrize(
    ("wanted", "matches"),
    [
        ({}, True),
        ({"tier": "spot"}, True),
        ({"tier": "spo"}, False),
        ({"tier": "!spot"}, False),
        ({"tier": "!other"}, True),
        ({"gpu": "in(H100, A100)"}, True),
        ({"gpu": "in(H100,A100)"}, True),
        ({"gpu": "in(H100)"}, False),
        ({"gpu": "!in(H100)"}, True),
        ({"gpu": "!in(H100, A100)"}, False),
        ({"zone": "a"}, False),
        ({"zone": "!a"}, True),
        ({"zone": "!in(a, b)"}, True),
        ({"tier": "spot", "gpu": "H100"}, False),
    ],
    ids=str,
)
def test_what_matches(wanted: dict[str, str], matches: bool) -> None:
    assert match(wanted, SPOT) == matches
