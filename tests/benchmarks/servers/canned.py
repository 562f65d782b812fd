"""A server that does no work, to learn what the clients can take: python -m tests.benchmarks.servers.canned PORT

Every request is answered with as many events as it has `max_tokens`, in vLLM's format, one token each, one after each
millisecond: several times as fast as any engine here, yet slow enough for an event to be a read of its own.
"""

import asyncio
import json
import sys
from collections.abc import Mapping, Sequence

import httpx
import uvloop

from tests.benchmarks.dialects import ChatCompletions
from tests.benchmarks.servers.base import Server, clean_environment, marks

MODEL = "canned"
_STEP_S = 0.001

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"


class Canned(Server):
    """The server, as a process of its own."""

    def dialect(self) -> ChatCompletions:
        return ChatCompletions(self.url, MODEL)

    def _command(self) -> Sequence[str]:
        return [sys.executable, "-m", __name__, str(self.port)]

    def _environment(self) -> Mapping[str, str]:
        return clean_environment() | marks(self.folder)

    def _is_ready(self) -> bool:
        body = self.dialect().body("Ready?", 1)
        return httpx.post(self.dialect().url, json=body).status_code == 200


async def _serve(port: int) -> None:
    server = await asyncio.start_server(_answer, "127.0.0.1", port)
    async with server:
        await server.serve_forever()


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
    tokens = json.loads(await reader.readexactly(length))["max_tokens"]
    writer.write(_HEAD)
    event = _event({"choices": [{"index": 0, "delta": {"content": " token"}, "finish_reason": None}]})
    for _ in range(tokens):
        writer.write(event)
        await asyncio.sleep(_STEP_S)
    usage = {"prompt_tokens": 1, "completion_tokens": tokens, "total_tokens": tokens + 1}
    writer.write(_event({"choices": [], "usage": usage}) + b"data: [DONE]\n\n")
    await writer.drain()
    writer.close()


def _event(fields: Mapping[str, object]) -> bytes:
    chunk = {"id": "chatcmpl-0", "object": "chat.completion.chunk", "created": 0, "model": MODEL}
    return b"data: " + json.dumps(chunk | dict(fields)).encode() + b"\n\n"


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1])))
