"""The names of engines."""

from cluster.fleet.numbers import MOST_ENDED, Numbers, model_of
from cluster.ids import EngineId

FIRST = EngineId("m/0")


def test_no_number_is_given_twice_nor_one_that_was_seen() -> None:
    numbers = Numbers([EngineId("org/other/7")])
    assert [numbers.new("m"), numbers.new("org/m")] == ["m/8", "org/m/9"]
    numbers.saw(EngineId("m/20"))
    numbers.saw(EngineId("m/3"))
    assert numbers.new("m") == "m/21"
    assert model_of(EngineId("org/m/9")) == "org/m"


def test_an_engine_that_has_ended_is_known_as_such_until_many_others_have() -> None:
    numbers = Numbers([])
    numbers.end(FIRST)
    for number in range(1, MOST_ENDED):
        numbers.end(EngineId(f"m/{number}"))
    assert numbers.has_ended(FIRST)
    numbers.end(FIRST)  # told once more: it is the last now
    numbers.end(EngineId(f"m/{MOST_ENDED}"))
    assert numbers.has_ended(FIRST)
    assert not numbers.has_ended(EngineId("m/1"))
