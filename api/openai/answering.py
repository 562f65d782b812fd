"""How a job of this layer is answered: submitted, watched while its client waits, and told whole or in chunks."""

import logging
from collections.abc import Callable, Mapping
from typing import Any

from fastapi import Request, Response

from actors.machine.log_lines import about
from api.http.answers import Answer as Whole
from api.http.answers import told_of
from api.openai.client_watch import Answer, ClientWatch, WatchedStream, accept_for_client
from api.openai.error_shape import failure_body, failure_headers, failure_status
from api.replica.gateway import Gateway
from api.replica.live import Piece
from cluster.errors import InternalError
from cluster.messages.people import Principal
from cluster.messages.work import Accepted, Failed, Finished, Order

logger = logging.getLogger(__name__)

Tell = Callable[[Accepted, Answer, Finished], Mapping[str, Any]]
Chunks = Callable[[Accepted], Callable[[Piece], bytes]]


async def answered(
    request: Request,
    gateway: Gateway,
    caller: Principal,
    order: Order,
    idempotency_key: str | None,
    tell: Tell,
    chunks: Chunks | None = None,
    once_accepted: Callable[[], None] = lambda: None,
) -> Response:
    """What `tell` makes of the whole answer; with `chunks`, events that it encodes.

    Hanging up cancels the job, unless its client has a key to come back for it.

    `once_accepted` is called when there is a job, whatever becomes of it.
    """
    accepted = await accept_for_client(gateway, caller, order, idempotency_key)
    once_accepted()
    watch = ClientWatch(gateway, caller, accepted, may_come_back=idempotency_key is not None)
    headers = {"X-Job-Id": accepted.id}
    if chunks is not None:
        return WatchedStream(watch, headers, chunks(accepted))
    answer, end = await watch.whole(request.receive)
    if isinstance(end, Failed):
        if (status := failure_status(end)) == InternalError.status:
            logger.error("%s failed: %s", told_of(request.scope), end.error, extra=about(accepted.id))
        return Whole(failure_body(end), status, headers | failure_headers(end))
    return Whole(tell(accepted, answer, end), headers=headers)
