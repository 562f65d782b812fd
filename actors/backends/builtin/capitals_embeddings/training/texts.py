"""What the model learns from: texts about countries, in the wordings that the capitals model is asked in."""

import random
from collections.abc import Iterator

from actors.backends.builtin.capitals.training.corpus import held_out_dialogues, plain_question
from actors.backends.builtin.capitals.training.countries import ALIASES, CAPITALS, answer

Pair = tuple[str, str]

_NAMES: dict[str, tuple[str, ...]] = {
    country: (country, *(alias for alias, name in ALIASES.items() if name == country)) for country in CAPITALS
}


def batches(seed: int, count: int, size: int) -> Iterator[list[Pair]]:
    """Yield batches of two texts about a country each, of as many countries; no text is in a held-out wording."""
    rng = random.Random(seed)
    for _ in range(count):
        yield [(_question(rng, country), _text(rng, country)) for country in rng.sample(list(CAPITALS), size)]


def held_out_questions(seed: int, count: int, unseen: bool) -> list[Pair]:
    """Return questions in wordings that training never uses, each with its answer."""
    dialogues = held_out_dialogues(seed, count, unseen)
    return [(turn.question, turn.answer) for dialogue in dialogues for turn in dialogue.turns]


def answers() -> list[str]:
    """Return the answers for all countries, among which a question's own is to be the nearest."""
    return [answer(country) for country in CAPITALS]


def _text(rng: random.Random, country: str) -> str:
    match rng.randrange(6):
        case 0 | 1 | 2:
            return answer(country)
        case 3 | 4:
            return _question(rng, country)
        case _:
            return rng.choice((CAPITALS[country], *_NAMES[country]))


def _question(rng: random.Random, country: str) -> str:
    return plain_question(rng, rng.choice(_NAMES[country])).question
