"""`python -m tests.elastic.inside FOLDER PORT 1|2`: a head whose autoscaler has fake machines, and the system on it.

The first process of a process table of its own: all that it has started ends with it.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import ray
import yaml

BIN = Path(sys.executable).parent
# The fake provider looks for a head of this type.
HEAD_TYPE, WORKER_TYPE = "ray.head.default", "gpu"
MOST_MACHINES = 3
IDLE_MINUTES = 0.1
# Ray's fake provider takes its machines' ids, and the head's, to look like this.
_HEAD_ID = "f" * 51 + "00000"
_STORE_BYTES = 100_000_000


def cluster_config(port: int, version: int) -> dict[str, object]:
    provider = {
        "type": "fake_multinode",
        "use_node_id_as_ip": True,
        "disable_node_updaters": True,
        "disable_launch_config_check": True,
        "gcs_address": f"127.0.0.1:{port}",
    }
    if version == 2:
        provider |= {"launch_multiple": True, "head_node_id": _HEAD_ID}
    worker = {
        "resources": {"CPU": 1, "GPU": 1, "object_store_memory": _STORE_BYTES},
        "node_config": {},
        "min_workers": 0,
        "max_workers": MOST_MACHINES,
        "labels": {"tier": "spot"},
    }
    lists = ("cluster_synced_files", "rsync_exclude", "rsync_filter", "initialization_commands", "setup_commands")
    commands = ("head_setup_commands", "head_start_ray_commands", "worker_setup_commands", "worker_start_ray_commands")
    return {
        "cluster_name": "fake_multinode",
        "max_workers": MOST_MACHINES,
        "provider": provider,
        "auth": {"ssh_user": "nobody"},
        "available_node_types": {
            HEAD_TYPE: {"resources": {"CPU": 2}, "node_config": {}, "max_workers": 0},
            WORKER_TYPE: worker,
        },
        "head_node_type": HEAD_TYPE,
        "upscaling_speed": 1.0,
        "idle_timeout_minutes": IDLE_MINUTES,
        "file_mounts": {},
        "file_mounts_sync_continuously": False,
        "head_node": {},
        "worker_nodes": {},
        **{name: [] for name in (*lists, *commands)},
    }


def main(folder: Path, port: int, version: int) -> int:
    _complete_the_fake_provider(folder / "provider")
    config = folder / "cluster.yaml"
    config.write_text(yaml.safe_dump(cluster_config(port, version)))
    environment = {
        **os.environ,
        "AUTOSCALER_UPDATE_INTERVAL_S": "1",
        "RAY_FAKE_CLUSTER": "1",
        "RAY_enable_autoscaler_v2": "1" if version == 2 else "0",
    }
    itself = {
        "RAY_CLOUD_INSTANCE_ID": _HEAD_ID,
        "RAY_OVERRIDE_NODE_ID_FOR_TESTING": _HEAD_ID,
        "RAY_NODE_TYPE_NAME": HEAD_TYPE,
    }
    head = [
        *("--head", f"--port={port}", "--node-ip-address=127.0.0.1", f"--temp-dir={folder / 'ray'}"),
        *(f"--autoscaling-config={config}", "--num-cpus=2", f"--object-store-memory={_STORE_BYTES}"),
        *("--include-dashboard=false", "--disable-usage-stats"),
    ]
    start = [str(BIN / "ray"), "start", *head]
    subprocess.run(start, env=environment | (itself if version == 2 else {}), check=True)
    up = [*("--config", str(folder / "infernet.yaml")), *("--state", str(folder / "state"))]
    system = subprocess.Popen([str(BIN / "infernet"), "up", *up, "--ray-address", f"127.0.0.1:{port}"], env=environment)
    return _reap_until_it_ends(system.pid)


def _complete_the_fake_provider(copy: Path) -> None:
    """Ray's wheel lacks a file that its own fake provider reads: in here, it lies over what is installed."""
    provider = Path(ray.__file__).parent / "autoscaler/_private/fake_multi_node"
    shutil.copytree(provider, copy)
    shutil.copy(provider.parents[1] / "local/defaults.yaml", copy / "example.yaml")
    subprocess.run(["mount", "--bind", str(copy), str(provider)], check=True)


def _reap_until_it_ends(pid: int) -> int:
    """As the first process, be the parent of those that have lost theirs."""
    while True:
        ended, status = os.wait()
        if ended == pid:
            return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
