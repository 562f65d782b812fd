"""Values as environments, files and networks deliver them."""

from pathlib import Path

import httpx
import pytest

from api.cli.connection import resolve, state_folder
from api.cli.proxies import http_client, is_this_machine
from api.secrets import admin_key_of
from cluster.errors import ConfigError
from cluster.settings.database_urls import fault
from cluster.settings.environment import given, misspelt
from cluster.settings.layers import load
from cluster.settings.references import resolved
from cluster.settings.sections.server import Server
from cluster.settings.units import in_words


@pytest.mark.parametrize("around", ["{}", '"{}"', "'{}'", "{}\r", "{}\r\n", "  {}\t", '"{}"\r', "\ufeff{}", '" {} "'])
def test_what_is_around_a_value_is_not_of_it(around: str, tmp_path: Path) -> None:
    env = {
        "INFERNET_SERVER_PORT": around.format("9000"),
        "INFERNET_SERVER_HOST": around.format("0.0.0.0"),
        "INFERNET_DATABASE": around.format("sqlite:///x.db"),
        "INFERNET_SPOT_NOTICES": around.format("aws"),
        "INFERNET_ADMIN_KEY": around.format("inft_x"),
        "INFERNET_STATE": around.format(str(tmp_path)),
        "INFERNET_URL": around.format("http://h:1/"),
        "INFERNET_KEY": around.format("inft_y"),
    }
    loaded = load(None, env)
    assert (loaded.server, loaded.database, loaded.spot_notices) == (Server("0.0.0.0", 9000), "sqlite:///x.db", "aws")
    assert admin_key_of(env) == "inft_x"
    assert state_folder(None, env) == tmp_path
    connection = resolve(None, None, None, env)
    assert (connection.url, connection.key) == ("http://h:1", "inft_y")
    (tmp_path / "key").write_text(around.format("inft_z") + "\n", encoding="utf-8")
    assert resolved(f"file:{tmp_path / 'key'}", "s", {}) == "inft_z"
    assert resolved("env:INFERNET_ADMIN_KEY", "s", env) == "inft_x"


@pytest.mark.parametrize("nothing", ["", " ", "\r\n", '""', "''", '" "', "tcp://10.96.0.5:8000", "UDP://[fd00::1]:53"])
def test_what_says_nothing_and_what_kubernetes_says_counts_as_not_set(nothing: str) -> None:
    assert load(None, {"INFERNET_SERVER_PORT": nothing, "INFERNET_SERVER_HOST": nothing}).server == Server()
    assert given({"INFERNET_KEY": nothing}, "INFERNET_KEY") is None


def test_variables_that_are_nearly_settings_are_told_and_those_of_services_are_not() -> None:
    env = {
        "INFERNET_SERVER_PROT": "1",
        "INFERNET_JOB_TIMEOUT": "1",
        "INFERNET_DATABASE_URL": "x",
        "INFERNET_SERVER_SERVICE_HOST": "10.0.0.1",
        "INFERNET_SERVER_SERVICE_PORT": "8000",
        "INFERNET_SERVER_PORT_8000_TCP_ADDR": "10.0.0.1",
        "INFERNET_PORT": "tcp://10.0.0.1:8000",
        "INFERNET_RUN": "x",
        "SERVER_PORT": "1",
    }
    assert list(misspelt(env)) == [
        ("INFERNET_DATABASE_URL", "INFERNET_DATABASE"),
        ("INFERNET_JOB_TIMEOUT", "INFERNET_JOB_TIMEOUT_S"),
        ("INFERNET_SERVER_PROT", "INFERNET_SERVER_PORT"),
    ]


@pytest.mark.parametrize("home", ["", "relative", "./here"])
def test_a_home_that_is_none(home: str) -> None:
    with pytest.raises(ConfigError, match=r"^There is no home folder for ~/\.infernet: give --state, or set "):
        state_folder(None, {"HOME": home})
    assert state_folder(Path("/s"), {"HOME": home}) == Path("/s")


@pytest.mark.parametrize(
    ("host", "is_here"),
    [("localhost", True), ("127.0.0.1", True), ("127.1.2.3", True), ("::1", True), ("a.localhost", True),
     ("example.org", False), ("10.0.0.1", False), ("localhost.example.org", False)],
)  # fmt: skip
def test_loopback_is_never_asked_through_a_proxy(host: str, is_here: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://user:secret@127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert is_this_machine(host) is is_here
    with http_client(f"http://[{host}]:1" if ":" in host else f"http://{host}:1") as client:
        assert client.trust_env is not is_here


@pytest.mark.parametrize(
    ("variable", "value"), [("ALL_PROXY", "socks5://user:secret@h:1"), ("HTTP_PROXY", "ftp://user:secret@h:1")]
)
def test_a_proxy_that_cannot_be_used_is_told_without_its_password(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigError, match="HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY") as refused:
        http_client("http://example.org")
    assert "secret" not in refused.value.message
    assert isinstance(http_client("http://127.0.0.1"), httpx.Client)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:top@secret@h/db",
        "postgresql://u:top@se/cret@h/db",
        "postgresql://u:top@secret?x@h/db",
        "postgresql://u:secret@h:port/db",
        "postgresql://u:top@h:secret@h2:5432/db",
        "postgresql://us/er:secret@h/db",
        "postgresql://u:top secret@h/db",
        "postgresql://u:secret@h:99999/db",
        "postgresql://u:secret@[::1:5432/db",
    ],
)
def test_a_url_that_would_be_read_otherwise_is_refused_and_nothing_of_it_is_shown(url: str) -> None:
    reason = fault(url)
    assert reason is not None
    assert "secret" not in reason
    assert "%40" in reason
    for message in refusals(url):
        assert "secret" not in message
        assert "%40" in message


def refusals(url: str) -> list[str]:
    """What is said of this URL wherever it may be written."""
    told = []
    for env in ({"INFERNET_DATABASE": url}, {"INFERNET_SERVER_HOST": url}, {"INFERNET_SERVER_PORT": url}):
        try:
            load(None, env)
        except ConfigError as error:
            told.append(error.message)
    assert not any("secret" in message for message in told)
    return told[:1]


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u@h/db",
        "postgresql://u:p%40%2F@h:5432/db?connect_timeout=3&options=-c%20lock_timeout%3D2000",
        "postgresql://u:p/w#x:y@h/db",
        "postgresql+psycopg://u:p@[::1]:5432/db",
        "postgresql://u@/db?host=/run/postgresql&password=a@b",
        "postgresql:///db",
        "sqlite:///infernet.db",
        "sqlite:////var/infernet.db",
    ],
)
def test_urls_that_are_read_as_they_are_meant(url: str) -> None:
    assert fault(url) is None


@pytest.mark.parametrize(
    ("written", "unit", "told"),
    [
        ("5m", "s", "that is 300 seconds: write 300"),
        ("300s", "s", "that is 300 seconds: write 300"),
        ("300ms", "s", "that is less than one of seconds"),
        ("1.5 h", "s", "that is 5,400 seconds: write 5400"),
        ("0.2s", "ms", "that is 200 milliseconds: write 200"),
        ("16GiB", "bytes", "that is 17,179,869,184 bytes: write 17179869184"),
        ("10 MB", "bytes", "that is 10,000,000 bytes: write 10000000"),
        ("16GiB", "s", ""),
        ("16", "s", ""),
        ("5m", None, ""),
        ("soon", "s", ""),
    ],
)
def test_an_amount_with_a_unit_is_told_as_the_number_it_is(written: str, unit: object, told: str) -> None:
    assert in_words(written, unit) == told  # type: ignore[arg-type]
