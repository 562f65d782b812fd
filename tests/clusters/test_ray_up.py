"""A real `ray up`, of ray_configs/onprem.yaml, on machines of its own, and what may happen to them afterwards.

The tests are steps of one story, in this order: bringing the machines up takes a minute. What they measure they print;
`make cluster` shows it.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import pytest

from api.cli.client import Client
from api.cli.responses import Json, RemoteError
from tests.clusters.machines import Machine
from tests.clusters.onprem import OnPremCluster
from tests.clusters.streams import Streams, inexact, longest_silence_s

pytestmark = [pytest.mark.timeout(420)]

TOKENS = 300
# 8 s are wanted; the rest is for a machine that plays four others on two cores.
SILENCE_S = 9.0
NEW_JOBS_WITHIN_S = 15.0
WHOLE_WITHIN_S = 240.0
LOOK_S = 0.5
# What Ray leaves on a worker whose raylet has ended by itself: its agents, which the next `ray stop` ends.
WORKS = ("raylet", "ray::Engine", "ray::NodeAgent", "gcs_server", "haproxy")


def test_one_ray_up_brings_up_the_whole_system(cluster: OnPremCluster) -> None:
    with taking("`ray up`"):
        cluster.up()
    with taking("until all machines have engines that are ready"):
        wait_until_whole(cluster, cluster.head, *cluster.workers)
    told = Streams(cluster.client, "at first", TOKENS).read_under()
    assert inexact(told) == []
    assert {each.node_id for each in told} == {node["id"] for node in online(cluster)}, "a machine had no jobs"


def test_the_token_is_everywhere_and_the_secrets_of_the_head_only_there(cluster: OnPremCluster) -> None:
    for machine in (cluster.head, *cluster.workers):
        assert (machine.home / ".ray/auth_token").stat().st_mode & 0o777 == 0o600
    for secret in ("database-url", "admin.key"):
        assert (cluster.head.home / ".infernet" / secret).stat().st_mode & 0o777 == 0o600
        assert not any((worker.home / ".infernet" / secret).exists() for worker in cluster.workers)


def test_streams_outlive_a_link(cluster: OnPremCluster) -> None:
    """A machine falls silent under twenty streams. When its link is back, it joins again by itself."""
    cut, *_ = cluster.workers
    told = Streams(cluster.client, "a link", TOKENS).read_under(cut.cut)
    measured(f"a worker's link is cut: longest silence {longest_silence_s(told):.1f} s")
    assert inexact(told) == []
    assert longest_silence_s(told) < SILENCE_S
    assert cut.name not in {node["hostname"] for node in online(cluster)}
    cut.mend()
    with taking("until a machine whose link is back has engines again"):
        wait_until_whole(cluster, cluster.head, *cluster.workers)


def test_streams_outlive_gcs_server(cluster: OnPremCluster) -> None:
    """Nothing is lost, and jobs are taken again at once."""
    took_s: list[float] = []

    def kill() -> None:
        cluster.head.kill("gcs_server")
        began_s = time.monotonic()
        new = Streams(cluster.client, "just after gcs_server", tokens=10, count=1).read_under()
        took_s.append(time.monotonic() - began_s)
        assert inexact(new) == []

    told = Streams(cluster.client, "gcs_server", TOKENS).read_under(kill)
    measured(f"gcs_server is killed: longest silence {longest_silence_s(told):.1f} s, a new job in {took_s[0]:.1f} s")
    assert inexact(told) == []
    assert longest_silence_s(told) < SILENCE_S
    assert took_s[0] < NEW_JOBS_WITHIN_S
    assert "gcs_server has ended: it is started again" in cluster.kept()
    # Its machines are still its own.
    wait_until_whole(cluster, cluster.head, *cluster.workers)


def test_a_machine_is_added(cluster: OnPremCluster, spare: Machine) -> None:
    cluster.name_machines([*cluster.workers, spare])
    with taking("until a machine that was added has engines"):
        cluster.up("--no-restart")
        wait_until_whole(cluster, cluster.head, *cluster.workers)
    told = Streams(cluster.client, "one more", TOKENS).read_under()
    assert inexact(told) == []
    assert id_of(cluster, spare) in {each.node_id for each in told}


def test_a_machine_is_drained(cluster: OnPremCluster) -> None:
    """Its jobs end, there or elsewhere, and it has no engines any more."""
    drained = id_of(cluster, cluster.workers[-1])

    def drain() -> None:
        with cluster.http() as http:
            assert http.post(f"/api/v1/nodes/{drained}/drain").json()["status"] == "draining"

    told = Streams(cluster.client, "drained", TOKENS).read_under(drain)
    measured(f"a machine is drained: longest silence {longest_silence_s(told):.1f} s")
    assert inexact(told) == []
    after = Streams(cluster.client, "after that", tokens=20).read_under()
    assert inexact(after) == []
    assert drained not in {each.node_id for each in after}
    with cluster.client() as client:
        wait_until(lambda: not node_of(client, drained)["engines"], "the drained machine's engines to end")


def test_infernet_up_is_started_again(cluster: OnPremCluster) -> None:
    """It only watches: without it, streams go on."""
    told = Streams(cluster.client, "infernet up", TOKENS).read_under(lambda: cluster.head.kill_command("infernet up"))
    assert inexact(told) == []
    wait_until(lambda: "`infernet up` has ended: it is started again" in cluster.kept(), "infernet keep to notice")
    wait_until(lambda: cluster.kept().rpartition("started again")[2].count("ready") > 0, "infernet up to be back")


def test_ray_down_leaves_nothing_that_works(cluster: OnPremCluster) -> None:
    cluster.down()
    with taking("until nothing ran on the head"):
        wait_until(lambda: cluster.head.names() <= {"sshd", "ssh"}, "the head to be empty")
    with taking("until no worker did any more work"):
        # Version 1 of the autoscaler stops Ray on the head only; the workers notice after a minute.
        wait_until(lambda: not any(worker.names() & set(WORKS) for worker in cluster.workers), "workers to end")
    assert "Ray has ended on this machine" in cluster.kept()


def wait_until_whole(cluster: OnPremCluster, *machines: Machine) -> None:
    """Until every one of them is online, with engines that are ready."""
    wanted = {machine.name for machine in machines}
    wait_until(lambda: wanted <= {node["hostname"] for node in online(cluster) if has_ready(node)}, f"{wanted}")


def wait_until(condition: Callable[[], bool], what: str) -> None:
    give_up_s = time.monotonic() + WHOLE_WITHIN_S
    while not condition():
        assert time.monotonic() < give_up_s, f"waited for {what}"
        time.sleep(LOOK_S)


def has_ready(node: Json) -> bool:
    return bool(node["engines"]) and all(engine["state"] == "ready" for engine in node["engines"])


def online(cluster: OnPremCluster) -> list[Json]:
    """The machines that are there; none while nobody answers."""
    try:
        with cluster.client() as client:
            return [node for node in client.nodes()["nodes"] if node["status"] == "online"]
    except (httpx.HTTPError, RemoteError):
        return []


def id_of(cluster: OnPremCluster, machine: Machine) -> str:
    (found,) = [node["id"] for node in online(cluster) if node["hostname"] == machine.name]
    return str(found)


def node_of(client: Client, node_id: str) -> Json:
    return next(node for node in client.nodes()["nodes"] if node["id"] == node_id)


@contextmanager
def taking(what: str) -> Iterator[None]:
    began_s = time.monotonic()
    yield
    measured(f"{what}: {time.monotonic() - began_s:.1f} s")


def measured(line: str) -> None:
    print(line, flush=True)
