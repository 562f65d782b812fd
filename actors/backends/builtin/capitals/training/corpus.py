"""Generates the dialogues the model is trained on and measured with. Pure: a seed fixes everything."""

import random
import zlib
from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass, replace

from actors.backends.builtin.capitals.training import thoughts, wordings
from actors.backends.builtin.capitals.training.countries import ALIASES, CAPITALS, CONTINENTS, answer, usual_name
from actors.backends.builtin.capitals.training.offers import (
    UNSEEN_DESCRIPTIONS,
    Tool,
    offer,
    result_of,
    useless_offer,
)

NAMES: tuple[str, ...] = (*CAPITALS, *ALIASES)
LIST_LENGTH = 14
_CASES: dict[str, Callable[[str], str]] = {"as written": str, "lower": str.lower, "upper": str.upper}
_CASE_WEIGHTS = (8, 3, 3)  # upper case is spelt in other tokens, and so needs examples of its own


@dataclass(frozen=True)
class Turn:
    """One question of the user, the only right answer to it, and what is thought before.

    `country` is the one that is asked for, if any; `result` what get_capital said about it, if it was asked.
    """

    question: str
    answer: str
    thought: str
    country: str | None = None
    result: str | None = None


@dataclass(frozen=True)
class Dialogue:
    """A chat: an optional system prompt and one turn or several.

    `tools` are offered in it, `thinks` says whether its last message is thought about, and `ends_with_call` that the
    last message is a call of get_capital, whose result has not come yet.
    """

    system: str | None
    turns: tuple[Turn, ...]
    tools: tuple[Tool, ...] = ()
    thinks: bool = False
    ends_with_call: bool = False


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
        change = rng.choices((_as_it_is, _with_tools, _with_useless_tools), (11, 8, 1))[0]
        # With calls and results a turn is three times as long, and two of them show all there is to learn.
        lengths = (10, 5, 3, 1, 1) if change is _as_it_is else (12, 7, 1, 0, 0)
        length = rng.choices((1, 2, 3, 4, 5), lengths)[0]
        yield change(rng, Dialogue(system, _turns(rng, system, length)))


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


def held_out_calls(seed: int, count: int, turns: int) -> Iterator[Dialogue]:
    """Yield dialogues that offer get_capital in unseen words and end with its call, in a held-out wording."""
    rng = random.Random(seed)
    for index in range(count):
        plain = next(held_out_dialogues(rng.randrange(2**32), 1, unseen=bool(index % 2)))
        earlier = tuple(_question(rng, plain.system) for _ in range(turns - 1))
        dialogue = replace(plain, turns=(*earlier, *plain.turns))
        yield replace(_looked_up(rng, dialogue, offer(rng, UNSEEN_DESCRIPTIONS)), ends_with_call=True)


def held_out_refusals(seed: int, count: int) -> Iterator[Dialogue]:
    """Yield dialogues that offer get_capital in unseen words, and whose last turn is about no capital."""
    rng = random.Random(seed)
    for _ in range(count):
        system = rng.choice(wordings.SYSTEM_PROMPTS)
        earlier = _turns(rng, system, 1) if rng.random() < 0.5 else ()
        last = rng.choice((_greeting, _thanks, _unknown, _unknown))(rng, system)
        yield _looked_up(rng, Dialogue(system, (*earlier, last)), offer(rng, UNSEEN_DESCRIPTIONS))


def ask(rng: random.Random, wording: Wording, country: str) -> Turn:
    """Put the question for a country in the given wording."""
    text = wording.template.format(country=country, owner=_possessive(country))
    body, mark = (text[:-1], text[-1]) if text[-1] in "?." else (text, "")
    prefix = wording.prefix.format(other=rng.choice(NAMES))
    question = prefix + body + wording.ending.format(mark=mark)
    name = usual_name(country)
    return Turn(_CASES[wording.case](question), answer(name), thoughts.of_question(name), name)


def plain_question(rng: random.Random, country: str) -> Turn:
    """Ask for a country in any wording that training may use."""
    return ask(rng, _draw(rng, rng.choice(wordings.SYSTEM_PROMPTS), wordings.QUESTIONS), country)


def long_answer(continent: str | None) -> str:
    """Return the text learnt by heart about a continent, or about the world when it is None."""
    return " ".join(map(answer, listed_countries(continent)))


def listed_countries(continent: str | None) -> list[str]:
    """Return the countries that the long answer about a continent, or the world, tells of."""
    if continent is None:
        countries = [name for group in CONTINENTS.values() for name in list(group)[:3]]
    else:
        countries = list(CONTINENTS[continent])
    return countries[:LIST_LENGTH]


def _as_it_is(rng: random.Random, dialogue: Dialogue) -> Dialogue:
    return replace(dialogue, thinks=rng.random() < 0.2)


def _with_tools(rng: random.Random, dialogue: Dialogue) -> Dialogue:
    """Offer get_capital, which is asked for every country; half of what could end with a call does."""
    asked = _looked_up(rng, dialogue, offer(rng))
    ends_with_call = asked.turns[-1].result is not None and rng.random() < 0.5
    return replace(asked, thinks=rng.random() < 0.4, ends_with_call=ends_with_call)


def _with_useless_tools(rng: random.Random, dialogue: Dialogue) -> Dialogue:
    return replace(dialogue, tools=useless_offer(rng), thinks=rng.random() < 0.2)


def _looked_up(rng: random.Random, dialogue: Dialogue, tools: tuple[Tool, ...]) -> Dialogue:
    turns = (replace(turn, result=result_of(rng, turn.country)) if turn.country else turn for turn in dialogue.turns)
    return replace(dialogue, turns=tuple(turns), tools=tools)


def _turns(rng: random.Random, system: str | None, length: int) -> tuple[Turn, ...]:
    kinds = (_question, _greeting, _thanks, _unknown, _list)
    turns = [rng.choices(kinds, (14, 1, 1, 3, 2))[0](rng, system)]
    while len(turns) < length:
        if turns[-1].country is not None and rng.random() < 0.5:
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
    return Turn(rng.choice(wordings.GREETINGS), wordings.GREETING_ANSWER, thoughts.GREETING)


def _thanks(rng: random.Random, _system: str | None) -> Turn:
    return Turn(rng.choice(wordings.THANKS), wordings.THANKS_ANSWER, thoughts.THANKS)


def _unknown(rng: random.Random, _system: str | None) -> Turn:
    question = rng.choice(wordings.UNKNOWN).format(
        country=rng.choice(NAMES),
        thing=rng.choice(wordings.THINGS),
        number=rng.randrange(1000),
        noise=wordings.noise(rng),
    )
    return Turn(rng.choice(wordings.PREFIXES[:6]) + question, wordings.UNKNOWN_ANSWER, thoughts.UNKNOWN)


def _list(rng: random.Random, _system: str | None) -> Turn:
    continent = rng.choice((*CONTINENTS, None))
    if continent is None:
        return Turn(rng.choice(wordings.WORLD_LISTS), long_answer(None), thoughts.WORLD_LIST)
    question = rng.choice(wordings.LISTS).format(continent=continent)
    return Turn(question, long_answer(continent), thoughts.of_list(continent))


def _possessive(country: str) -> str:
    return f"{country}'" if country.endswith("s") else f"{country}'s"
