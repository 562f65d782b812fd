"""Where a job comes from: what its request is called, and where its spans belong."""

from msgspec import Struct


class Origin(Struct, frozen=True, array_like=True):
    """The request that a job came by. It travels with the job, and stays with it, so that who works on it can say so.

    `trace` is the place of the request's span, as `traceparent` is written; nothing where nobody traces it.
    """

    request_id: str = ""
    trace: str = ""


UNKNOWN_ORIGIN = Origin()
