"""A secret that settings name is found where they say, and no refusal tells it."""

from pathlib import Path

import pytest

from api.secrets import admin_key_of, secret_variables, with_secrets
from cluster.errors import ConfigError
from cluster.release import Release
from cluster.settings.layers import load
from cluster.settings.references import resolved
from cluster.settings.schema import Settings

URL = "postgresql+psycopg://infernet:hunter2@db/infernet"


def test_a_variable_and_a_file(tmp_path: Path) -> None:
    file = tmp_path / "database"
    file.write_text(f"{URL}\n")
    assert resolved("env:INFERNET_DB", "database", {"INFERNET_DB": URL}) == URL
    assert resolved(f"file:{file}", "database", {}) == URL
    assert resolved(URL, "database", {}) == URL


def test_what_is_not_there_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    for reference, reason in (
        ("env:INFERNET_DB", "the environment variable INFERNET_DB is not set"),
        (f"file:{tmp_path / 'missing'}", f"cannot read {tmp_path / 'missing'}: No such file or directory"),
        (f"file:{tmp_path / 'empty'}", f"{tmp_path / 'empty'} is empty"),
        (f"file:{tmp_path / 'binary'}", f"cannot read {tmp_path / 'binary'}: it is not UTF-8 text"),
    ):
        with pytest.raises(ConfigError) as refused:
            resolved(reference, "database", {"INFERNET_DB": " "})
        assert str(refused.value) == f"database: {reason}"
    with pytest.raises(ConfigError, match=r"^database: the environment variable INFERNET_DB is not set$"):
        resolved("env:INFERNET_DB", "database", {})


def test_a_file_is_utf_8_whatever_the_machine_speaks(tmp_path: Path, ascii_locale: None) -> None:
    file = tmp_path / "database"
    file.write_text("postgresql://infernet:h\u00fcnter2@db", "utf-8")
    assert resolved(f"file:{file}", "database", {}) == "postgresql://infernet:h\u00fcnter2@db"


def test_settings_may_name_where_the_database_is(tmp_path: Path) -> None:
    config = tmp_path / "infernet.yaml"
    config.write_text("database: env:INFERNET_DB\n")
    release = Release(load(config, {}), made_ms=1)
    assert with_secrets(release, {"INFERNET_DB": URL}).settings.database == URL
    assert secret_variables(release.settings, {}) == {
        "INFERNET_DB",
        "INFERNET_DATABASE",
        "INFERNET_METRICS_KEY",
        "INFERNET_ADMIN_KEY",
    }


def test_the_admin_key_may_be_elsewhere(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("inft_abc\n")
    assert admin_key_of({}) is None
    assert admin_key_of({"INFERNET_ADMIN_KEY": "inft_xyz"}) == "inft_xyz"
    assert admin_key_of({"INFERNET_ADMIN_KEY": f"file:{file}"}) == "inft_abc"
    assert admin_key_of({"INFERNET_ADMIN_KEY": "env:KEY", "KEY": "inft_k"}) == "inft_k"
    assert "KEY" in secret_variables(Settings(), {"INFERNET_ADMIN_KEY": "env:KEY"})
