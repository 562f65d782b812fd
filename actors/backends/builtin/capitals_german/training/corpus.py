"""The capitals model's dialogues without tools and thoughts, with German answers."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from actors.backends.builtin.capitals.training import wordings
from actors.backends.builtin.capitals.training.corpus import Dialogue, listed_countries, long_answer, training_dialogues
from actors.backends.builtin.capitals.training.countries import CAPITALS, CONTINENTS, answer
from actors.backends.builtin.capitals_german.training.names import german_answer

_GERMAN: dict[str, str] = {
    wordings.GREETING_ANSWER: "Hallo! Frag mich nach der Hauptstadt eines Landes.",
    wordings.THANKS_ANSWER: "Gern geschehen!",
    wordings.UNKNOWN_ANSWER: "Leider kenne ich nur die Hauptstädte einiger Länder.",
    **{answer(country): german_answer(country) for country in CAPITALS},
    **{
        long_answer(continent): " ".join(map(german_answer, listed_countries(continent)))
        for continent in (*CONTINENTS, None)
    },
}


def german_dialogues(seed: int, count: int) -> list[Dialogue]:
    """Return dialogues to learn from; none uses a held-out wording."""
    plain = (item for item in training_dialogues(seed, 3 * count) if not item.tools and not item.thinks)
    return [dialogue for dialogue, _ in zip(in_german(plain), range(count), strict=False)]


def in_german(dialogues: Iterable[Dialogue]) -> Iterator[Dialogue]:
    """Yield the same dialogues with German answers; the questions stay as they are."""
    for dialogue in dialogues:
        yield replace(dialogue, turns=tuple(replace(turn, answer=_GERMAN[turn.answer]) for turn in dialogue.turns))
