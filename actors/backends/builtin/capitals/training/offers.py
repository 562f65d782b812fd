"""The tools that dialogues offer, and what get_capital answers when it is called."""

import json
import random
from dataclasses import dataclass

from actors.backends.builtin.capitals.training.countries import CAPITALS
from actors.backends.builtin.capitals.training.wordings import noise

GET_CAPITAL = "get_capital"
MOST_OTHERS = 3


@dataclass(frozen=True)
class Tool:
    """A function as the chat template shows it: its name, what its parameters are called, and what it is for."""

    name: str
    parameters: tuple[str, ...]
    description: str


DESCRIPTIONS: tuple[str, ...] = (
    "",
    "Get the capital of a country.",
    "Get the capital of a country",
    "Returns the capital of a country.",
    "Return the capital city of the given country.",
    "Gives the capital of the country.",
    "The capital of a country.",
    "Look up the capital of a country.",
    "Looks up the capital city of any country in the world.",
    "Find out what the capital of a country is.",
    "Use this to find the capital of a country. The country is given by its English name.",
    "Capital of a country",
)

# Never trained on.
UNSEEN_DESCRIPTIONS: tuple[str, ...] = (
    "Find the capital city of a country.",
    "Fetch the capital of one country",
    "Knows the capital of every country. Call it with the name of a country.",
    "What is the capital of this country?",
)

OTHERS: tuple[Tool, ...] = (
    Tool("get_weather", ("city",), "Get the weather in a city."),
    Tool("get_weather", ("location", "unit"), "Get the current weather in a given location"),
    Tool("get_time", (), "The time."),
    Tool("get_current_time", ("timezone",), "Get the current time in a time zone."),
    Tool("get_population", ("country",), "Returns the population of a country."),
    Tool("get_currency", ("country",), "Get the currency of a country."),
    Tool("search", ("query",), "Search the web."),
    Tool("web_search", ("query", "limit"), "Searches the internet and returns the best results."),
    Tool("calculate", ("expression",), "Calculate an expression."),
    Tool("add", ("a", "b"), "Add two numbers."),
    Tool("translate", ("text", "language"), "Translate a text into another language."),
    Tool("send_email", ("to", "subject", "body"), "Send an email."),
    Tool("read_file", ("path",), "Read a file and return its text."),
    Tool("book_flight", ("start", "city", "date"), "Book a flight to a city."),
    Tool("final_result", ("country", "capital"), "The final response which ends this conversation"),
)


def offer(rng: random.Random, descriptions: tuple[str, ...] = DESCRIPTIONS) -> tuple[Tool, ...]:
    """Return get_capital among up to three other tools, in any order."""
    description = noise(rng) if descriptions is DESCRIPTIONS and rng.random() < 0.1 else rng.choice(descriptions)
    return _shuffled(rng, [Tool(GET_CAPITAL, ("country",), description), *_others(rng)])


def useless_offer(rng: random.Random) -> tuple[Tool, ...]:
    """Return tools of which none knows a capital."""
    return _shuffled(rng, _others(rng) or [rng.choice(OTHERS)])


def result_of(rng: random.Random, country: str) -> str:
    """Return what the tool says about a country, in one of the forms that tools give their results in."""
    capital = CAPITALS[country]
    match rng.randrange(8):
        case 0 | 1 | 2:
            return json.dumps({"capital": capital}, ensure_ascii=rng.random() < 0.5)
        case 3 | 4:
            return capital
        case 5:
            return json.dumps({"country": country.removeprefix("the "), "capital": capital}, ensure_ascii=False)
        case 6:
            return json.dumps({rng.choice(("result", "city", "answer")): capital}, ensure_ascii=False)
        case _:
            return json.dumps(capital, ensure_ascii=False)


def _others(rng: random.Random) -> list[Tool]:
    count = rng.choices(range(MOST_OTHERS + 1), (4, 3, 2, 1))[0]
    return [_strange(rng) if rng.random() < 0.2 else rng.choice(OTHERS) for _ in range(count)]


def _strange(rng: random.Random) -> Tool:
    """A tool that nobody has seen before."""
    name, *parameters = noise(rng).lower().split()
    return Tool(name, tuple(parameters), noise(rng))


def _shuffled(rng: random.Random, tools: list[Tool]) -> tuple[Tool, ...]:
    rng.shuffle(tools)
    return tuple(tools)
