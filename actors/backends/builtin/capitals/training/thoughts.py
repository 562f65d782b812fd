"""What the model thinks before it answers, when it is asked to think. Short, because it can remember little."""

GREETING = "The user greets me."
THANKS = "The user thanks me."
UNKNOWN = "This is not about a capital that I know."
WORLD_LIST = "The user wants a list of capitals of the world."


def of_list(continent: str) -> str:
    """Before a list of the capitals of a continent."""
    return f"The user wants a list of capitals of {continent}."


def of_question(country: str) -> str:
    """Before an answer from memory."""
    return f"The question is about {country}."


def of_call(country: str) -> str:
    """Before the call of a tool."""
    return f"The question is about {country}. I ask get_capital."


def of_result(capital: str) -> str:
    """Before an answer from what a tool said."""
    return f"The tool says {capital}."
