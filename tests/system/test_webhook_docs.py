"""The receiver of docs/webhooks.md, run as it stands there."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cluster.settings.sections.webhooks import Webhooks
from tests.support.plain_system import PlainSystem, prepare_database, run, until

PAGE = Path(__file__).parents[2] / "docs" / "webhooks.md"


@contextmanager
def documented_receiver(folder: Path, secret: str, port: int = 0) -> Iterator[subprocess.Popen[str]]:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    script = folder / "receiver.py"
    script.write_text(code)
    env = {**os.environ, "WEBHOOK_SECRET": secret, "PORT": str(port)}
    with subprocess.Popen([sys.executable, script], env=env, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_the_documented_receiver_takes_what_is_sent_and_nothing_else(tmp_path: Path) -> None:
    secret = "whsec_dGhlIHNlY3JldCBvZiB0aGUgcGFnZQ=="

    async def scenario() -> None:
        database = tmp_path / "infernet.db"
        await prepare_database(database)
        with documented_receiver(tmp_path, secret) as process:
            port = int(line(process).rpartition(" ")[2])
            hosts = Webhooks(private_hosts=(f"127.0.0.1:{port}",), timeout_s=5)
            async with PlainSystem(database, webhooks=hosts) as system, system.client() as client:
                await system.ready()
                await system.start_courier()
                made = (await client.post("/api/v1/webhooks", json={"url": f"http://127.0.0.1:{port}/hook"})).json()
                path = f"/api/v1/webhooks/{made['id']}"
                await client.post(f"{path}/test")

                async def is_refused() -> bool:
                    (delivery,) = (await client.get(f"{path}/deliveries")).json()["deliveries"]
                    return delivery.get("response_status") == 400

                await until(is_refused, "the refusal of a signature that is not genuine")
                await system.ledger.rotate_webhook(system.principal, made["id"], secret)
                body = {"model": "sim", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 3}
                job = (await client.post("/api/v1/jobs", json=body)).json()
                await until(lambda: _is_delivered(system), "the delivery")
                assert line(process) == f"job.completed {job['id']}"

    run(scenario())


def _is_delivered(system: PlainSystem) -> bool:
    return system.rows("SELECT count(*) FROM deliveries WHERE status = 'delivered'") == [(1,)]
