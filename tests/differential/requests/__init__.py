"""What is asked, a file for each topic."""

from collections.abc import Sequence

from tests.differential.case import Case
from tests.differential.requests import (
    completions,
    content,
    fields,
    invalid,
    logprobs,
    many,
    models,
    pooling,
    reasoning,
    sampling,
    stopping,
    streaming,
    structured,
    templates,
    tokens,
    tools,
)

_MODULES = (
    sampling,
    stopping,
    content,
    fields,
    streaming,
    many,
    structured,
    templates,
    logprobs,
    tools,
    reasoning,
    completions,
    models,
    tokens,
    invalid,
)

CASES: Sequence[Case] = [case for module in _MODULES for case in module.topic.cases]
"""What a model that writes is asked."""

POOLING_CASES: Sequence[Case] = [case for topic in pooling.topics for case in topic.cases]
"""What a model is asked that turns texts into vectors."""
