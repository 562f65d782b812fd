"""One request, answered by both servers: alike, or otherwise for a reason that is known."""

from tests.differential import expected
from tests.differential.case import Case, Mode
from tests.differential.comparing import differences
from tests.differential.servers import Both


def check(both: Both, case: Case, mode: Mode) -> None:
    """Fails where the answers differ and should not, and where they do not and should."""
    found = differences(*both.ask(case, mode))
    reason = expected.reason(case, mode)
    if reason is not None:
        assert found, f"answered alike, although this is said to differ: {reason}"
    else:
        assert not found, "\n".join(map(str, found))
