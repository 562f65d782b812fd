"""Whom the kernel ends first when a machine runs out of memory."""

import logging
from pathlib import Path

logger = logging.getLogger(__name__)

_OWN = Path("/proc/self/oom_score_adj")
# As if it held half of the machine's memory more than it does.
_EXPENDABLE = 500


def be_expendable() -> None:
    """Have this process, and those it starts, ended before others. A process may always offer itself."""
    try:
        if int(_OWN.read_text()) < _EXPENDABLE:
            _OWN.write_text(str(_EXPENDABLE))
    except OSError as error:
        logger.warning("the kernel's choice when memory runs out is left as it is: %s", error.strerror)
