"""What is wanted later runs in the place of what runs, if it is something else."""

import re

import pytest
from msgspec.structs import replace

from cluster.catalogue import CAPITALS, Model, Price
from cluster.release import UNKNOWN, Release, fingerprint
from cluster.settings.schema import Settings

RUNNING = Release(Settings(), made_ms=100)
OTHER = Settings(models=(Model("sim", backend="simulated"),))


@pytest.mark.parametrize(
    ("wanted", "replaces"),
    [
        (replace(RUNNING, made_ms=200), False),
        (replace(RUNNING, made_ms=200, settings=OTHER), True),
        (replace(RUNNING, made_ms=200, version="another"), True),
        (replace(RUNNING, settings=OTHER), False),
        (replace(RUNNING, made_ms=50, settings=OTHER), False),
        (replace(RUNNING, made_ms=50, version="another"), False),
    ],
    ids=[
        "the same",
        "other settings",
        "another version",
        "other settings of the same moment",
        "older settings",
        "an older wish for another version",
    ],
)
def test_what_replaces_what_runs(wanted: Release, replaces: bool) -> None:
    assert wanted.replaces(RUNNING.described()) == replaces


def test_what_does_not_say_what_it_is_is_replaced() -> None:
    assert RUNNING.replaces(UNKNOWN)


def test_a_fingerprint_is_of_the_content() -> None:
    one, other = {"a": 1, "b": (2, 3)}, {"b": [2, 3], "a": 1}
    assert fingerprint("x", one) == fingerprint("x", other)
    assert fingerprint("x", one) != fingerprint("y", one)
    assert fingerprint(CAPITALS) != fingerprint(replace(CAPITALS, cpus=2))


def test_a_fingerprint_is_short_and_fit_for_a_file_name() -> None:
    assert re.fullmatch(r"[0-9a-f]{16}", fingerprint("x"))


def test_an_engine_is_made_of_what_its_process_is_started_with() -> None:
    dearer = replace(CAPITALS, price=Price(1.0, 2.0), max_queue=5, aliases=("more",))
    assert dearer.of_engine == CAPITALS.of_engine
    assert replace(CAPITALS, engine={"max_model_len": 512}).of_engine != CAPITALS.of_engine
