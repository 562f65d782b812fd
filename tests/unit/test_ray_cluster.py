"""What one run of `infernet up` must not share with another on the same machine."""

from pathlib import Path

from api.cli.ray_cluster import environment


def test_two_runs_share_no_port(tmp_path: Path) -> None:
    first, second = (environment(tmp_path / name) for name in ("first", "second"))
    ports = [name for name in first if name.endswith("_PORT")]
    assert len(ports) == 4
    assert [name for name in ports if first[name] == second[name]] == []
    # Serve's proxies would otherwise share a port that is taken, silently.
    assert first["SERVE_SOCKET_REUSE_PORT_ENABLED"] == "0"
