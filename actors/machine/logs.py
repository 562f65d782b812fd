"""How a process of ours writes its log: to stderr, which Ray keeps in a file per process."""

import logging
import time

_OURS = ("actors", "api", "cluster")


def begin(component: str) -> None:
    """From now on every line has its time in UTC, its level, and which component wrote it."""
    line = f"%(asctime)s.%(msecs)03dZ %(levelname)s {component}: %(message)s"
    formatter = logging.Formatter(line, "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler = logging.StreamHandler()
    handler.setFormatter(formatter)
    logging.getLogger().addHandler(handler)
    for name in _OURS:
        logging.getLogger(name).setLevel(logging.INFO)
