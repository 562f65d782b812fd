"""When Python's garbage collector runs in a process that streams pass through."""

import gc

# Streams make many objects that live for a moment. Collecting after every 700 of them, as Python does by itself, takes
# a tenth of the time that streams take.
_THRESHOLD_OBJECTS = 10_000


def freeze() -> None:
    """Exempt the objects that exist now from collection, and collect among the later ones less often.

    Call it once everything that stays has been loaded: a collection over all that Ray, FastAPI or vLLM consist of holds
    up every stream for a tenth of a second and more.
    """
    gc.freeze()
    gc.set_threshold(_THRESHOLD_OBJECTS)
