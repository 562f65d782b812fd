"""Spot notices: what the clouds' metadata tells, and that it is announced."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx
import pytest
import uvicorn
from fastapi import FastAPI, Request, Response

from actors.machine.spot_notices import AwsNotices, GcpNotices
from actors.machine.spot_watch import SpotWatch
from cluster.clock import wall_ms
from tests.support.plain_system import run, until

TIME, TIME_MS = "2026-01-02T03:04:05Z", 1_767_323_045_000


class Metadata:
    """Both clouds' metadata. `token` is what EC2 wants; `notice` whether the machine is to go."""

    def __init__(self) -> None:
        self.token, self.tokens = "", 0
        self.notice = False
        self.app = FastAPI()
        self.app.put("/latest/api/token")(self._new_token)
        self.app.get("/latest/meta-data/spot/instance-action")(self._action)
        self.app.get("/computeMetadata/v1/instance/preempted")(self._preempted)

    async def _new_token(self, request: Request) -> Response:
        assert int(request.headers["x-aws-ec2-metadata-token-ttl-seconds"]) <= 21_600
        self.tokens += 1
        self.token = f"token {self.tokens}"
        return Response(self.token)

    async def _action(self, request: Request) -> Response:
        if not self.token or request.headers["x-aws-ec2-metadata-token"] != self.token:
            return Response(status_code=401)
        if not self.notice:
            return Response(status_code=404)
        return Response(f'{{"action": "terminate", "time": "{TIME}"}}', media_type="application/json")

    async def _preempted(self, request: Request) -> Response:
        if request.headers.get("metadata-flavor") != "Google":
            return Response(status_code=403)
        return Response("TRUE" if self.notice else "FALSE")


@asynccontextmanager
async def served(metadata: Metadata) -> AsyncIterator[str]:
    server = uvicorn.Server(uvicorn.Config(metadata.app, port=0, log_config=None))
    serving = asyncio.create_task(server.serve())
    await until(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await serving


def test_ec2_tells_when_and_wants_a_token_that_it_may_forget() -> None:
    async def scenario() -> None:
        metadata = Metadata()
        async with served(metadata) as url:
            notices = AwsNotices(url)
            assert await notices.leaves_at_ms() is None
            assert await notices.leaves_at_ms() is None
            assert metadata.tokens == 1
            metadata.token = "another by now"
            metadata.notice = True
            assert await notices.leaves_at_ms() == TIME_MS
            assert metadata.tokens == 2

    run(scenario())


def test_compute_engine_tells_that_and_half_a_minute_is_left() -> None:
    async def scenario() -> None:
        metadata = Metadata()
        async with served(metadata) as url:
            notices = GcpNotices(url)
            assert await notices.leaves_at_ms() is None
            metadata.notice = True
            told_ms, now_ms = await notices.leaves_at_ms(), wall_ms()
            assert told_ms is not None
            assert now_ms + 20_000 < told_ms <= now_ms + 30_000
            assert await notices.leaves_at_ms() == told_ms

    run(scenario())


@pytest.mark.parametrize("kind", [AwsNotices, GcpNotices])
def test_a_cloud_that_does_not_answer_is_no_notice(kind: Callable[[str], AwsNotices | GcpNotices]) -> None:
    async def scenario() -> None:
        with pytest.raises(httpx.HTTPError):
            await kind("http://127.0.0.1:9").leaves_at_ms()

    run(scenario())


def test_a_notice_is_announced_until_that_succeeds_and_then_no_more() -> None:
    class Notices:
        told: int | None = None

        async def leaves_at_ms(self) -> int | None:
            return self.told

    async def scenario() -> None:
        notices, announced, failures = Notices(), [], [RuntimeError("not now")]

        def announce(leaves_at_ms: int) -> None:
            if failures:
                raise failures.pop()
            announced.append(leaves_at_ms)

        watch = SpotWatch(notices, announce)
        await watch.look()
        assert announced == []
        notices.told = 7
        with pytest.raises(RuntimeError):
            await watch.look()
        await watch.look()
        await watch.look()
        assert announced == [7]

    run(scenario())
