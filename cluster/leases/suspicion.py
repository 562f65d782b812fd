"""Whom the death of an engine is laid to. Pure.

A job may kill the engines that run it: its prompt makes a kernel fault, say. The jobs beside it die with it, and an
engine takes minutes to load. So a job that was there when two engines died is a suspect, and suspects are kept apart:
an engine runs one of them at a time. When that engine dies, it was the suspect, and nobody else is blamed.
"""

from collections.abc import Iterator, Sequence

from cluster.queue import Waiting

MOST_LOSSES = 5
"""So many engines may die under a job before it fails."""

MAX_ATTEMPTS = 5
"""So many engines may fail a job before it has a token of theirs."""


def blamed(aboard: Sequence[Waiting]) -> Iterator[Waiting]:
    """Those of an engine's jobs that its death is laid to: its only suspect, or all while there is none."""
    suspects = sum(waiting.is_suspect for waiting in aboard)
    if suspects == 0:
        yield from aboard
    elif suspects == 1:
        yield from (waiting for waiting in aboard if waiting.is_suspect)


def is_given_up(waiting: Waiting) -> bool:
    """Whether no more engines are risked on this job."""
    return waiting.losses >= MOST_LOSSES or waiting.failures >= MAX_ATTEMPTS
