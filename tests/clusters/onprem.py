"""A cluster brought up by `ray up`, from a file that is ray_configs/onprem.yaml but for what is said here."""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import httpx
import yaml

from api.cli.client import Client
from api.cli.connection import Connection
from tests.clusters import ray_on_machine
from tests.clusters.machines import CHECKOUT, Machine

ADMIN_KEY = "inft_0123456789abcdefghijABCDEFGHIJ01"
PORT = 8000

# Ray's own choice would be a third of this machine's memory, for each of the machines that it plays.
_SMALL = "--num-cpus=1 --object-store-memory=100000000"
_BIN = CHECKOUT / ".venv/bin"
# In the place of installing it: the very environment that these tests run in, with a `ray` that is careful.
_INSTALLED = (
    f"mkdir -p ~/.infernet/venv/bin && ln -sf {_BIN}/infernet ~/.infernet/venv/bin/ && "
    f"printf '#!/bin/sh\\nexec {_BIN}/python {ray_on_machine.__file__} \"$@\"\\n' > ~/.infernet/venv/bin/ray && "
    "chmod +x ~/.infernet/venv/bin/ray"
)
_UP = "RAY_UP_enable_autoscaler_v2=0 RAY_AUTH_MODE=token RAY_USAGE_STATS_ENABLED=0 ray up -y --log-color false"


class OnPremCluster:
    """`desk` is where commands are typed; the others are the cluster's machines, which are on."""

    def __init__(
        self, desk: Machine, head: Machine, workers: Sequence[Machine], settings: Mapping[str, Any], database: str
    ) -> None:
        self.desk = desk
        self.head = head
        self._settings = settings
        self._database = database
        self._furnish_desk()
        self.name_machines(workers)

    @property
    def connection(self) -> Connection:
        return Connection(f"http://{self.head.address}:{PORT}", ADMIN_KEY)

    def client(self) -> Client:
        return Client(self.connection)

    def http(self) -> httpx.Client:
        """A plain HTTP client with the admin's key."""
        headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
        return httpx.Client(base_url=self.connection.url, headers=headers, timeout=30)

    def name_machines(self, workers: Sequence[Machine]) -> None:
        """Write the file that `up` reads, with these workers."""
        self.workers = list(workers)
        (self.desk.home / "cluster.yaml").write_text(yaml.safe_dump(self._config(), sort_keys=False))

    def up(self, *flags: str, timeout_s: float = 300.0) -> str:
        """What `ray up` tells."""
        return self.desk.call(f"{_UP} {shlex.join(flags)} cluster.yaml", timeout_s)

    def down(self) -> str:
        return self.desk.call("RAY_AUTH_MODE=token ray down -y cluster.yaml")

    def kept(self) -> str:
        """What `infernet keep` has told on the head."""
        return (self.head.home / ".infernet/keep.log").read_text()

    def _furnish_desk(self) -> None:
        home = self.desk.home
        self.desk.call(_INSTALLED)
        self.desk.call("ray get-auth-token --generate >/dev/null")
        (home / ".infernet/admin.key").write_text(ADMIN_KEY)
        (home / ".infernet/database-url").write_text(self._database)
        (home / ".infernet/infernet.yaml").write_text(yaml.safe_dump(dict(self._settings)))

    def _config(self) -> dict[str, Any]:
        config = yaml.safe_load((CHECKOUT / "ray_configs/onprem.yaml").read_text())
        config["provider"] |= {
            "head_ip": self.head.address,
            "worker_ips": [worker.address for worker in self.workers],
        }
        config["auth"]["ssh_user"] = "root"
        config["file_mounts"]["~/.infernet/infernet.yaml"] = "~/.infernet/infernet.yaml"
        del config["file_mounts"]["~/.infernet/dist"]
        (install,) = [line for line in config["setup_commands"] if "pip install" in line]
        config["setup_commands"][config["setup_commands"].index(install)] = _INSTALLED
        for commands in ("head_start_ray_commands", "worker_start_ray_commands"):
            config[commands] = [line.replace("ray start", f"ray start {_SMALL}") for line in config[commands]]
        return dict(config)
