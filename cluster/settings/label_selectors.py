"""Labels that a machine must have, as Ray selects by them: names and values are those of Kubernetes' labels.

A value is `spot`, `!spot`, `in(H100, A100)` or `!in(spot)`: <https://docs.ray.io/en/latest/ray-core/scheduling/labels.html>.
"""

import re

from cluster.settings.checks import Value, text

_WORD = "[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?"
_DOMAIN = "[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_NAME = re.compile(rf"(?:{_DOMAIN}(?:\.{_DOMAIN})*/)?{_WORD}")
_VALUE = re.compile(rf"!?(?:{_WORD}|in\({_WORD}(?:, ?{_WORD})*\))")


def label_selectors(value: Value) -> dict[str, str]:
    """A mapping of labels to what they must be."""
    if not isinstance(value.content, dict):
        raise value.is_not("a mapping")
    for key, wanted in value.content.items():
        if not _NAME.fullmatch(key):
            raise wanted.refused("is no name of a label")
        if not _VALUE.fullmatch(text(wanted)):
            raise wanted.is_not("a label's value, or a choice of them such as !spot, in(H100, A100) or !in(spot)")
    return {key: text(wanted) for key, wanted in value.content.items()}
