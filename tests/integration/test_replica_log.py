"""What an ingress replica has to say is in its log."""

import os
import subprocess
import sys
from pathlib import Path

# A process set up as Serve sets one up that hosts a replica, by what Serve does there.
REPLICA = """
import logging, os, sys
from types import SimpleNamespace
import ray
from ray.serve._private.common import ServeComponentType
from ray.serve._private.logging_utils import configure_component_logger
from ray.serve.schema import LoggingConfig
from api.serve import QUIET, log_where_serve_does

ray._private.worker._global_node = SimpleNamespace(max_bytes=0, backup_count=0)  # how large logs may grow
configure_component_logger(
    component_name="infernet_ingress",
    component_id="x",
    component_type=ServeComponentType.REPLICA,
    logging_config=LoggingConfig(logs_dir=sys.argv[1], **QUIET),
)
log_where_serve_does()
logging.getLogger("api.http.answers").error("an error of ours")
logging.getLogger("actors.wire.calls").warning("a warning of ours")
logging.getLogger("actors.wire.calls").info("nobody wants to know")
# At once, and not when the process ends well.
os._exit(0)
"""


def test_a_replicas_own_lines_are_in_its_log(tmp_path: Path) -> None:
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1"}
    subprocess.run([sys.executable, "-c", REPLICA, str(tmp_path)], env=env, check=True, capture_output=True)
    (log,) = tmp_path.glob("**/*.log")
    written = log.read_text()
    assert "an error of ours" in written
    assert "a warning of ours" in written
    assert "nobody" not in written
