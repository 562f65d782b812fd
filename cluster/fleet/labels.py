"""Whether a machine has the labels that a model wants, as Ray tells it. Pure."""

from collections.abc import Mapping


def match(wanted: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    """Whether each of the wanted labels is met: `spot`, `!spot`, `in(H100, A100)` or `!in(spot)`.

    A label that the machine has not is none of any values.
    """
    return all(_meets(labels.get(name), selector) for name, selector in wanted.items())


def _meets(value: str | None, selector: str) -> bool:
    plain = selector.removeprefix("!")
    choices = plain[len("in(") : -1].split(",") if plain.startswith("in(") else [plain]
    is_among = value in [choice.strip() for choice in choices]
    return is_among != selector.startswith("!")
