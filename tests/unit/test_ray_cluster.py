"""What one run of `infernet up` must not share with another on the same machine."""

from pathlib import Path

from api.cli.run.ray_cluster import environment


def test_two_runs_share_no_port(tmp_path: Path) -> None:
    first, second = (environment(tmp_path / name) for name in ("first", "second"))
    ports = [name for name in first if name.endswith("_PORT")]
    assert len(ports) == 4
    assert [name for name in ports if first[name] == second[name]] == []


def test_a_proxy_may_listen_where_the_last_one_did(tmp_path: Path) -> None:
    # Without this option Serve leaves out SO_REUSEADDR, and a proxy that is started again finds its port taken for a
    # minute by the connections of the one before.
    assert "SERVE_SOCKET_REUSE_PORT_ENABLED" not in environment(tmp_path)
