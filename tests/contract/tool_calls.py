"""Whether the built-in model calls a tool by itself. It is made to by any test that forces it, with a grammar."""

import pytest

CALLS_TOOLS = True
"""Offered a tool `get_capital(country)`, the built-in model calls it when asked for a capital, and answers from its
result."""

needs_a_model_that_calls_tools = pytest.mark.skipif(
    not CALLS_TOOLS, reason="the built-in model does not call tools by itself"
)
