"""Generates the dialogues the model is trained on and measured with. Pure: a seed fixes everything."""

import random
import zlib
from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass

from actors.backends.builtin.capitals.training import wordings
from actors.backends.builtin.capitals.training.countries import ALIASES, CAPITALS, CONTINENTS, answer

NAMES: tuple[str, ...] = (*CAPITALS, *ALIASES)
LIST_LENGTH = 14
_CASES: dict[str, Callable[[str], str]] = {"as written": str, "lower": str.lower, "upper": str.upper}
_CASE_WEIGHTS = (8, 3, 3)  # upper case is spelt in other tokens, and so needs examples of its own


@dataclass(frozen=True)
class Turn:
    """One question of the user and the only right answer to it."""

    question: str
    answer: str


@dataclass(frozen=True)
class Dialogue:
    """A chat: an optional system prompt and one turn or several."""

    system: str | None
    turns: tuple[Turn, ...]


@dataclass(frozen=True)
class Wording:
    """Everything about a question but the country it asks for."""

    system: str | None
    prefix: str
    template: str
    ending: str
    case: str

    @property
    def held_out(self) -> bool:
        """Whether this combination is kept from training; one in eight is, and every unseen template."""
        if self.template in wordings.UNSEEN_QUESTIONS:
            return True
        plain = not self.prefix and self.ending == "{mark}"
        # crc32, because the built-in hash of a text differs from process to process.
        return not plain and zlib.crc32(repr(astuple(self)).encode()) % 8 == 0


def training_dialogues(seed: int, count: int) -> Iterator[Dialogue]:
    """Yield dialogues of one to five turns of every kind; none uses a held-out wording."""
    rng = random.Random(seed)
    for _ in range(count):
        system = rng.choice(wordings.SYSTEM_PROMPTS)
        length = rng.choices((1, 2, 3, 4, 5), (10, 5, 3, 1, 1))[0]
        yield Dialogue(system, _turns(rng, system, length))


def held_out_dialogues(seed: int, count: int, unseen: bool) -> Iterator[Dialogue]:
    """Yield one-turn dialogues in wordings that training never uses.

    `unseen` asks for templates that training never uses at all; otherwise the template is known and
    its combination with prefix, ending, letter case and system prompt is new.
    """
    rng = random.Random(seed)
    templates = wordings.UNSEEN_QUESTIONS if unseen else wordings.QUESTIONS
    for _ in range(count):
        wording = _draw(rng, rng.choice(wordings.SYSTEM_PROMPTS), templates, held_out=True)
        yield Dialogue(wording.system, (ask(rng, wording, rng.choice(NAMES)),))


def held_out_chats(seed: int, count: int) -> Iterator[Dialogue]:
    """Yield dialogues of two or three turns, the last one in a held-out wording or as a follow-up."""
    rng = random.Random(seed)
    for index in range(count):
        system = rng.choice(wordings.SYSTEM_PROMPTS)
        earlier = tuple(_question(rng, system) for _ in range(rng.choice((1, 2))))
        templates = wordings.FOLLOW_UPS if index % 2 else wordings.QUESTIONS
        last = ask(rng, _draw(rng, system, templates, held_out=True), rng.choice(NAMES))
        yield Dialogue(system, (*earlier, last))


def ask(rng: random.Random, wording: Wording, country: str) -> Turn:
    """Put the question for a country in the given wording."""
    text = wording.template.format(country=country, owner=_possessive(country))
    body, mark = (text[:-1], text[-1]) if text[-1] in "?." else (text, "")
    prefix = wording.prefix.format(other=rng.choice(NAMES))
    question = prefix + body + wording.ending.format(mark=mark)
    return Turn(_CASES[wording.case](question), answer(country))


def long_answer(continent: str | None) -> str:
    """Return the text learnt by heart about a continent, or about the world when it is None."""
    if continent is None:
        countries = [name for group in CONTINENTS.values() for name in list(group)[:3]]
    else:
        countries = list(CONTINENTS[continent])
    return " ".join(answer(country) for country in countries[:LIST_LENGTH])


def _turns(rng: random.Random, system: str | None, length: int) -> tuple[Turn, ...]:
    kinds = (_question, _greeting, _thanks, _unknown, _list)
    turns = [rng.choices(kinds, (14, 1, 1, 3, 2))[0](rng, system)]
    while len(turns) < length:
        if turns[-1].answer in _ANSWERS and rng.random() < 0.5:
            turns.append(_follow_up(rng, system))
        else:
            turns.append(rng.choices(kinds, (14, 1, 1, 3, 1))[0](rng, system))
    return tuple(turns)


def _draw(rng: random.Random, system: str | None, templates: tuple[str, ...], held_out: bool = False) -> Wording:
    while True:
        wording = Wording(
            system=system,
            prefix=rng.choice(wordings.PREFIXES),
            template=rng.choice(templates),
            ending=rng.choice(wordings.ENDINGS),
            case=rng.choices(tuple(_CASES), _CASE_WEIGHTS)[0],
        )
        if wording.held_out == held_out:
            return wording


def _question(rng: random.Random, system: str | None) -> Turn:
    return ask(rng, _draw(rng, system, wordings.QUESTIONS), rng.choice(NAMES))


def _follow_up(rng: random.Random, system: str | None) -> Turn:
    return ask(rng, _draw(rng, system, wordings.FOLLOW_UPS), rng.choice(NAMES))


def _greeting(rng: random.Random, _system: str | None) -> Turn:
    return Turn(rng.choice(wordings.GREETINGS), wordings.GREETING_ANSWER)


def _thanks(rng: random.Random, _system: str | None) -> Turn:
    return Turn(rng.choice(wordings.THANKS), wordings.THANKS_ANSWER)


def _unknown(rng: random.Random, _system: str | None) -> Turn:
    question = rng.choice(wordings.UNKNOWN).format(
        country=rng.choice(NAMES),
        thing=rng.choice(wordings.THINGS),
        number=rng.randrange(1000),
        noise=_noise(rng),
    )
    return Turn(rng.choice(wordings.PREFIXES[:6]) + question, wordings.UNKNOWN_ANSWER)


def _list(rng: random.Random, _system: str | None) -> Turn:
    continent = rng.choice((*CONTINENTS, None))
    if continent is None:
        return Turn(rng.choice(wordings.WORLD_LISTS), long_answer(None))
    return Turn(rng.choice(wordings.LISTS).format(continent=continent), long_answer(continent))


def _noise(rng: random.Random) -> str:
    """Words that mean nothing, so that the model declines what it cannot know."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ("".join(rng.choices(letters, k=rng.randint(2, 8))) for _ in range(rng.randint(1, 5)))
    return " ".join(words).capitalize()


def _possessive(country: str) -> str:
    return f"{country}'" if country.endswith("s") else f"{country}'s"


_ANSWERS = frozenset(answer(name) for name in NAMES)
