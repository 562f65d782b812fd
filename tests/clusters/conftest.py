"""The cluster that the tests of this folder share: three machines, brought up once by `ray up`."""

from collections.abc import Iterator

import pytest

from tests.clusters import machines
from tests.clusters.machines import Machine, Machines
from tests.clusters.onprem import OnPremCluster
from tests.clusters.streams import MODEL, TOKEN_S

# Two engines fit on each machine, so that each has some; and there is work for one machine more.
REPLICAS = 8
SETTINGS = {
    "server": {"host": "0.0.0.0", "port": 8000, "replicas": 1},
    "database": "file:~/.infernet/database-url",
    "limits": {"submissions_per_minute": 100_000, "submissions_per_hour": 1_000_000, "reads_per_minute": 100_000},
    "models": [
        {
            "id": MODEL,
            "backend": "simulated",
            "cpus": 0.5,
            "replicas": REPLICAS,
            "engine": {"first_token_s": 0.05, "token_s": TOKEN_S, "output_tokens": 2000},
        }
    ],
}
DATABASE = "sqlite:////root/infernet.db"
_DESK, _HEAD, _WORKERS, _SPARE = 20, 21, (22, 23), 24


@pytest.fixture(scope="session")
def hosts() -> Iterator[Machines]:
    if reason := machines.missing():
        pytest.skip(reason)
    with Machines() as hosts:
        yield hosts


@pytest.fixture(scope="session")
def cluster(hosts: Machines) -> OnPremCluster:
    desk, head, *workers = (hosts.add(number) for number in (_DESK, _HEAD, *_WORKERS))
    for machine in (desk, head, *workers):
        machine.power_on()
    return OnPremCluster(desk, head, workers, SETTINGS, DATABASE)


@pytest.fixture(scope="session")
def spare(hosts: Machines, cluster: OnPremCluster) -> Machine:
    """One more machine, which the cluster does not know of yet."""
    machine = hosts.add(_SPARE)
    machine.power_on()
    return machine
