"""HEAD, which whoever watches a server asks: the answer to GET without its body."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Heads:
    """Has a request for the head of an answer answered as one for all of it. A stream ends when it has begun."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def without_body(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send(message)
                # The answer is complete: whoever would write more of it hears that its client has gone.
                await send({"type": "http.response.body", "body": b""})

        await self._app({**scope, "method": "GET"}, receive, without_body)
