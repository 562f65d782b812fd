"""Settings: what they become, and what a user is told who got one wrong."""

import json
import pickle
import re
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.catalogue import CAPITALS, Adapter, Catalogue, Model, Price, Replicas
from cluster.errors import ConfigError
from cluster.messages.people import KeyLimits
from cluster.settings.layers import load, parse, single_model
from cluster.settings.schema import Settings
from cluster.settings.sections.logs import Logs
from cluster.settings.sections.media import Media
from cluster.settings.sections.server import IngressReplicas, Server
from cluster.settings.sections.traces import Traces

LOCAL = Path(__file__).parents[2] / "ray_configs" / "local.yaml"

FULL = """\
server: {host: 0.0.0.0, port: 9000, replicas: {min: 2, max: 4}}
database: postgresql+psycopg://infernet@db/infernet
limits: {submissions_per_minute: 6, submissions_per_hour: 100, reads_per_minute: 60}
job_timeout_s: 30
stream_interval_ms: 0
models:
  - id: qwen2.5:14b
    aliases: [Qwen/Qwen2.5-14B-Instruct, qwen]
    source: Qwen/Qwen2.5-14B-Instruct
    gpus: 2
    replicas: {min: 1, max: 4}
    max_queue: 10
    engine: {max_model_len: 8192, rope: {type: yarn, factors: [1, 2.5, null, true]}}
    env: {HF_HUB_OFFLINE: "1"}
    price: {prompt: 0.15, completion: 1}
  - id: sim:fast
    backend: simulated
"""


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def written(text: str) -> Path:
    path = Path("infernet.yaml")
    path.write_text(text, "utf-8")
    return path


def refusal(text: str, env: dict[str, str] | None = None) -> str:
    """What is told of the file, without columns."""
    return re.sub(r"^(\S+\.yaml:\d+):\d+", r"\1", refusal_by_column(text, env), flags=re.MULTILINE)


def refusal_by_column(text: str, env: dict[str, str] | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        load(written(text), env or {})
    return caught.value.message


def models(*entries: dict[str, Any]) -> tuple[Model, ...]:
    return parse({"models": list(entries)}, "test").models


def model(**entry: Any) -> Model:
    return models({"id": "m", "source": "org/m"} | entry)[0]


# What settings become


def test_nothing_set_serves_the_built_in_model() -> None:
    assert load(None, {}) == Settings()
    assert Settings().models == (CAPITALS,)
    assert (CAPITALS.source, CAPITALS.gpus) == ("builtin:capitals", 0)
    assert CAPITALS.conversation.tool_call_parser == "hermes"


def test_a_retention_that_is_set_can_be_taken_back() -> None:
    assert load(written("retention_days: null\n"), {}).retention_days is None


def test_an_empty_file_sets_nothing() -> None:
    assert load(written("# nothing yet\n"), {}) == Settings()


def test_every_key_of_a_file_arrives() -> None:
    assert load(written(FULL), {}) == Settings(
        server=Server("0.0.0.0", 9000, IngressReplicas(2, 4)),
        database="postgresql+psycopg://infernet@db/infernet",
        limits=KeyLimits(6, 100, 60),
        job_timeout_s=30,
        stream_interval_ms=0,
        models=(
            Model(
                id="qwen2.5:14b",
                aliases=("Qwen/Qwen2.5-14B-Instruct", "qwen"),
                source="Qwen/Qwen2.5-14B-Instruct",
                gpus=2,
                replicas=Replicas(1, 4),
                max_queue=10,
                engine={"max_model_len": 8192, "rope": {"type": "yarn", "factors": [1, 2.5, None, True]}},
                env={"HF_HUB_OFFLINE": "1"},
                price=Price(0.15, 1.0),
            ),
            Model(id="sim:fast", backend="simulated", gpus=0, cpus=0.0),
        ),
    )


def test_what_is_told_of_a_system() -> None:
    text = (
        "logs: {format: json, levels: {scheduler: debug}}\ntraces: {endpoint: 'http://collector:4318/', ratio: 0.25}\n"
    )
    env = {"INFERNET_LOGS_LEVEL": "warning", "INFERNET_TRACES_RATIO": "0.5"}
    settings = load(written(text), env)
    assert settings.logs == Logs("json", "warning", {"scheduler": "debug"})
    assert settings.traces == Traces("http://collector:4318", 0.5)
    assert load(written("traces: {endpoint: ''}"), {}).traces == Traces()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("logs: {format: xml}", 'logs.format: must be text or json, not "xml"'),
        ("logs: {level: DEBUG}", 'logs.level: must be debug or info or warning or error, not "DEBUG"'),
        ("logs: {levels: {schedular: debug}}", "logs.levels.schedular: unknown key; did you mean scheduler?"),
        (
            "traces: {endpoint: collector:4318}",
            'traces.endpoint: must be a URL such as http://collector:4318, not "coll',
        ),
        ("traces: {endpoint: 'grpc://c:4317'}", "traces.endpoint: must be a URL such as http://collector:4318"),
        ("traces: {endpoint: 'http://c/?key=1'}", "traces.endpoint: must be a URL such as http://collector:4318"),
        ("traces: {endpoint: 'http://me:secret@c'}", "traces.endpoint: must hold no credentials"),
        ("traces: {ratio: 50}", "traces.ratio: must be a number from 0 to 1, not 50"),
        ("traces: {ratio: -1}", "traces.ratio: must be a number >= 0, not -1"),
    ],
)
def test_what_cannot_be_told_is_refused(text: str, reason: str) -> None:
    refused = refusal(text)
    assert refused.startswith(f"infernet.yaml:1: {reason}")
    assert "secret" not in refused


def test_the_adapters_of_a_model() -> None:
    adapters = [{"id": "b", "source": "org/b"}, {"id": "c", "source": "./c", "price": {"prompt": 2}}]
    assert model(adapters=adapters).adapters == (Adapter("b", "org/b"), Adapter("c", "./c", Price(2.0)))
    (simulated,) = models({"id": "s", "backend": "simulated", "adapters": [{"id": "t"}]})
    assert simulated.adapters == (Adapter("t"),)


def test_the_least_and_the_most_that_a_setting_may_be_is_taken() -> None:
    limits = dict.fromkeys(KeyLimits.__struct_fields__, 1)
    least = model(max_queue=1, load_timeout_s=1, cpus=0, price={"prompt": 0})
    assert (least.max_queue, least.load_timeout_s, least.cpus) == (1, 1, 0.0)
    assert parse({"limits": limits, "job_timeout_s": 1}, "test").limits == KeyLimits(**limits)
    most = model(id="x" * 128, cpus=sys.float_info.max)
    assert (most.id, most.cpus) == ("x" * 128, sys.float_info.max)
    assert parse({"server": {"port": 65535}}, "test").server.port == 65535


def test_where_media_come_from_and_how_large_they_may_be() -> None:
    media = parse({"media": {"hosts": ["Pictures.Example", "b:8080"], "max_pixels": 80 << 20}}, "test").media
    assert media == Media(hosts=("pictures.example", "b:8080"), max_pixels=80 << 20)
    for wrong in (
        {"hosts": ["http://x"]},
        {"hosts": ["*.x"]},
        {"hosts": "x"},
        {"max_body_bytes": 1000},
        {"max_parts": 0},
    ):
        with pytest.raises(ConfigError):
            parse({"media": wrong}, "test")
    assert load(None, {"INFERNET_MEDIA_MAX_PARTS": "7"}).media.max_parts == 7


def test_which_pages_may_ask_and_lists_in_variables() -> None:
    origins = ["https://Page.Example/", "http://localhost:3000", "http://[::1]:5173", "*"]
    written = ("https://page.example", "http://localhost:3000", "http://[::1]:5173", "*")
    assert parse({"server": {"cors_origins": origins}}, "test").server.cors_origins == written
    assert parse({}, "test").server.cors_origins == ()
    given = load(None, {"INFERNET_SERVER_CORS_ORIGINS": " https://a.example , http://b.example:1,"})
    assert given.server.cors_origins == ("https://a.example", "http://b.example:1")
    assert load(None, {"INFERNET_MEDIA_HOSTS": "a.example,b:80"}).media.hosts == ("a.example", "b:80")
    for wrong in ("page.example", "https://", "https://a/path", "ftp://a", "https://*.example", "null", "https://a:b"):
        with pytest.raises(ConfigError, match=r"server\.cors_origins\[0\]: must be an origin such as"):
            parse({"server": {"cors_origins": [wrong]}}, "test")
        with pytest.raises(ConfigError, match=r"^INFERNET_SERVER_CORS_ORIGINS: must be an origin such as"):
            load(None, {"INFERNET_SERVER_CORS_ORIGINS": wrong})


def test_a_file_is_utf_8_whatever_the_machine_speaks(ascii_locale: None) -> None:
    assert load(written("database: sqlite:///b\u00fccher.db"), {}).database == "sqlite:///b\u00fccher.db"


def test_the_example_file_loads() -> None:
    assert [entry.id for entry in load(LOCAL, {}).models] == ["capitals", "sim:fast"]


def test_settings_travel() -> None:
    loaded = load(written(FULL), {})
    plain = json.loads(json.dumps(msgspec.to_builtins(loaded)))
    assert pickle.loads(pickle.dumps(loaded)) == loaded
    assert parse(plain, "serve config") == loaded
    assert parse(msgspec.to_builtins(Settings()), "serve config") == Settings()


def test_a_gpu_is_the_default_and_can_be_done_without() -> None:
    assert (model().gpus, model().cpus) == (1, 1.0)
    assert (model(gpus=0).gpus, model(gpus=0).cpus) == (0, 1.0)


def test_a_simulated_model_needs_no_hardware_unless_told() -> None:
    simulated = model(backend="simulated")
    assert (simulated.gpus, simulated.cpus) == (0, 0.0)
    assert model(backend="simulated", gpus=1, cpus=0.5).cpus == 0.5


@pytest.mark.parametrize(
    ("written_as", "means"),
    [
        (2, Replicas(2, 2)),
        ({"min": 3}, Replicas(3, 3)),
        ({"max": 3}, Replicas(1, 3)),
        ({"min": 2, "max": 5}, Replicas(2, 5)),
        ({}, Replicas(1, 1)),
    ],
)
def test_replicas_can_be_written_short(written_as: Any, means: Replicas) -> None:
    assert model(replicas=written_as).replicas == means


def test_a_catalogue_finds_models_by_id_and_alias() -> None:
    catalogue = Catalogue(models({"id": "a", "aliases": ["b"], "source": "x"}, {"id": "c", "source": "y"}))
    assert catalogue.find("a") is catalogue.find("b") is catalogue.models[0]
    assert catalogue.find("d") is None


# Layers


def test_the_environment_is_stronger_than_the_file_and_the_command_line_than_both() -> None:
    env = {
        "INFERNET_SERVER_PORT": "9001",
        "INFERNET_SERVER_HOST": "10.0.0.1",
        "INFERNET_DATABASE": "sqlite:///other.db",
        "INFERNET_JOB_TIMEOUT_S": "31",
        "INFERNET_STREAM_INTERVAL_MS": "21",
        "INFERNET_RETENTION_DAYS": "90",
        "INFERNET_LIMITS_SUBMISSIONS_PER_MINUTE": "7",
        "INFERNET_LIMITS_TOKENS_PER_MINUTE": "70000",
        "INFERNET_SERVER_REPLICAS_MAX": "5",
    }
    loaded = load(written(FULL), env, {"server": {"port": 9002}})
    assert loaded.server == Server("10.0.0.1", 9002, IngressReplicas(2, 5))
    assert loaded.database == "sqlite:///other.db"
    assert (loaded.job_timeout_s, loaded.stream_interval_ms, loaded.retention_days) == (31, 21, 90)
    assert loaded.limits == KeyLimits(7, 100, 60, 70_000)
    assert len(loaded.models) == 2


def test_models_of_a_stronger_layer_replace_the_others() -> None:
    loaded = load(written(FULL), {}, {"models": [single_model("org/small") | {"gpus": 0}]})
    assert loaded.models == (Model(id="org/small", source="org/small", gpus=0),)


def test_one_of_two_replica_bounds_can_be_overridden_where_a_number_stood() -> None:
    path = written("server: {replicas: 2}")
    assert load(path, {"INFERNET_SERVER_REPLICAS_MAX": "4"}).server.replicas == IngressReplicas(2, 4)


def test_variables_that_are_empty_or_name_no_setting_count_as_not_set() -> None:
    assert load(None, {"INFERNET_DATABASE": "", "INFERNET_ADMIN_KEY": "x", "PORT": "1"}) == Settings()


# Refusals


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("server: {port: 0}", "1: server.port: must be an integer from 1 to 65535, not 0"),
        ("server: {port: 65536}", "1: server.port: must be an integer from 1 to 65535, not 65536"),
        ("server: {port: true}", "1: server.port: must be an integer from 1 to 65535, not true"),
        ("server: {port: '80'}", '1: server.port: must be an integer from 1 to 65535, not "80"'),
        ("server:\n  host: a b",
         '2: server.host: must be text without spaces and control characters, not "a b"'),
        ("server:", "1: server: must be a mapping, not null"),
        ("- 1", "1: must be a mapping, not a list"),
        ("\nserver:\n  prot: 80", "3: server.prot: unknown key; did you mean port?"),
        ("xyz: 1", "1: xyz: unknown key; known are server, database, limits, job_timeout_s, retention_days, "
                   "stream_interval_ms, spot_notices, media, webhooks, logs, traces, metrics, models"),
        ('"a\\nb": 1\n', '1: "a\\nb": unknown key; known are server, database, limits, job_timeout_s, retention_days, '
                         'stream_interval_ms, spot_notices, media, webhooks, logs, traces, metrics, models'),
        ("server: {port: 1}\njob_timeout_s: 1\nserver: {}", "3: server: is already set on line 1"),
        ("server:\n  port: 1\n  port: 2", "3: server.port: is already set on line 2"),
        ("database: 5", "1: database: must be text: put 5 in quotes"),
        ("database: [a]", "1: database: must be text, not a list"),
        ("database: infernet.db", "1: database: must be a URL such as sqlite:///infernet.db "
                                  "or postgresql+psycopg://user@host/db, or env:NAME or file:PATH of one"),
        ("retention_days: 0", "1: retention_days: must be an integer from 1 to 36500, not 0"),
        ("job_timeout_s: 1.5", "1: job_timeout_s: must be an integer >= 1, not 1.5"),
        ("job_timeout_s: 0", "1: job_timeout_s: must be an integer >= 1, not 0"),
        ("stream_interval_ms: -1", "1: stream_interval_ms: must be an integer >= 0, not -1"),
        ("limits: {reads_per_minute: 0}", "1: limits.reads_per_minute: must be an integer >= 1, not 0"),
        ("limits: {submissions_per_minutes: 1}",
         "1: limits.submissions_per_minutes: unknown key; did you mean submissions_per_minute?"),
        ("models: []", "1: models: must list at least one model"),
        ("models: {id: a}", "1: models: must be a list, not a mapping"),
        ("models:\n  - capitals", '2: models[0]: must be a mapping, not "capitals"'),
        ("job_timeout_s: 2026-02-30", "1: job_timeout_s: cannot be read: day is out of range for month"),
        ("1: 2", "1: a key must be text: put it in quotes"),
        ("server: {on: 2}", "1: server: a key must be text: put it in quotes"),
        ("? [a]\n: 1", "1: a key must be text: put it in quotes"),
        ("? !!int [a]\n: 1", "1: a key must be text: put it in quotes"),
        ("\nserver:\n  2026-02-30: 1", "3: server: cannot be read: day is out of range for month"),
        ("- 2026-02-30", "1: [0]: cannot be read: day is out of range for month"),
        ('server: {host: "\u00e9 b"}',
         '1: server.host: must be text without spaces and control characters, not "\u00e9 b"'),
        ('server: {host: "\u00e9\\u200b"}',
         '1: server.host: must be text without spaces and control characters, not "\\u00e9\\u200b"'),
        (f'server: {{host: "{"a b" * 19}c"}}',
         f'1: server.host: must be text without spaces and control characters, not "{"a b" * 19}c"'),
        (f'server: {{host: "{"a b" * 19}cd"}}',
         f'1: server.host: must be text without spaces and control characters, not "{"a b" * 19}cd...'),
        ("server: {port: 1", "1: expected ',' or '}', but got '<stream end>'"),
        ("a: 1\nb: c: d", "2: a colon that does not belong here: put the text in quotes"),
        ("a: !!python/name:os.system x",
         "1: a: the tag !!python/name:os.system is not known here: write the value itself, or env:NAME where a secret "
         "can be named"),
        ("a: *b", "1: an alias without its anchor: put text that begins with * in quotes"),
        ("a: 1\n---\nb: 1", "2: a second document begins here, and a file has one"),
        ("a: 1\nb: \0", "2: contains a character that YAML does not allow"),
        ("\na: \0\nb: 1", "2: contains a character that YAML does not allow"),
    ],
)  # fmt: skip
def test_a_bad_file_is_refused_with_the_line_and_the_reason(text: str, message: str) -> None:
    assert refusal(text) == f"infernet.yaml:{message}"


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("gpus: two", 'gpus: must be an integer >= 0, not "two"'),
        ("gpus: -1", "gpus: must be an integer >= 0, not -1"),
        ("gpu: 1", "gpu: unknown key; did you mean gpus?"),
        ("cpus: -0.5", "cpus: must be a number >= 0, not -0.5"),
        ("cpus: .inf", "cpus: must be a number >= 0, not inf"),
        ("cpus: .nan", "cpus: must be a number >= 0, not nan"),
        (f"cpus: 1{'0' * 400}", f"cpus: must be a number >= 0, not 1{'0' * 59}..."),
        ("backend: vlm", 'backend: must be vllm or simulated, not "vlm"'),
        ("backend: [vllm]", "backend: must be vllm or simulated, not a list"),
        ("max_queue: 0", "max_queue: must be an integer >= 1, not 0"),
        ("replicas: 0", "replicas: must be an integer >= 1, not 0"),
        ("replicas: two",
         'replicas: must be an integer >= 1 or {min, max, target_jobs, idle_s, drain_s}, not "two"'),
        ("replicas: true", "replicas: must be an integer >= 1 or {min, max, target_jobs, idle_s, drain_s}, not true"),
        ("replicas: {min: -1}", "replicas.min: must be an integer >= 0, not -1"),
        ("replicas: {min: 0, max: 0}", "replicas.max: must be an integer >= 1, not 0"),
        ("replicas: {target_jobs: 0}", "replicas.target_jobs: must be an integer >= 1, not 0"),
        ("replicas: {idle_s: 0.5}", "replicas.idle_s: must be an integer >= 1, not 0.5"),
        ("replicas: {drain_s: soon}", 'replicas.drain_s: must be an integer >= 0, not "soon"'),
        ("replicas: {min: 3, max: 2}", "replicas.max: must be at least min, which is 3, not 2"),
        ("replicas: {most: 2}", "replicas.most: unknown key; known are min, max, target_jobs, idle_s, drain_s"),
        ("price: {prompt: -1}", "price.prompt: must be a number >= 0, not -1"),
        ("price: 1", "price: must be a mapping, not 1"),
        ("engine: [a]", "engine: must be a mapping, not a list"),
        ("engine: {a: {1: 2}}", "engine.a: a key must be text: put it in quotes"),
        ("engine: {a: [.inf]}", "engine.a[0]: must be a finite number, not inf"),
        ("engine: {a: 2026-01-01}",
         "engine.a: must be text, a number, true, false, null, a list or a mapping, not 2026-01-01"),
        ("env: {A: 1}", "env.A: must be text: put 1 in quotes"),
        ("labels: {tier: in(}", "labels.tier: must be a label's value, or a choice of them such as !spot, "
                                'in(H100, A100) or !in(spot), not "in("'),
        ("labels: {a b: c}", "labels.a b: is no name of a label"),
        ("env: {A: true}", "env.A: must be text: put true in quotes"),
        ("aliases: b", 'aliases: must be a list, not "b"'),
        ('aliases: [""]', 'aliases[0]: must be text without spaces and control characters, not ""'),
        ("aliases: [b, 7]", "aliases[1]: must be text: put 7 in quotes"),
        ("aliases: [b, b]", 'aliases[1]: "b" is already a name of models[1]'),
        ("aliases: [a]", 'aliases[0]: "a" is already a name of models[0]'),
        ("adapters: {id: c}", "adapters: must be a list, not a mapping"),
        ("adapters: [c]", 'adapters[0]: must be a mapping, not "c"'),
        ("adapters: [{source: z}]", "adapters[0]: needs an id"),
        ("adapters: [{id: c}]", "adapters[0]: needs a source: a hub id or a folder"),
        ("adapters: [{id: c, source: z, gpus: 1}]",
         "adapters[0].gpus: unknown key; known are id, source, price"),
        ("adapters: [{id: c, source: z, price: {prompt: -1}}]",
         "adapters[0].price.prompt: must be a number >= 0, not -1"),
        ("adapters: [{id: a, source: z}]", 'adapters[0].id: "a" is already a name of models[0]'),
        ("adapters: [{id: b2, source: z}]", 'adapters[0].id: "b2" is already a name of models[1]'),
        ("adapters: [{id: c, source: z}, {id: c, source: z}]",
         'adapters[1].id: "c" is already a name of models[1]'),
        (f"aliases: [{'x' * 129}]", "aliases[0]: must be at most 128 characters, not 129"),
    ],
)  # fmt: skip
def test_a_bad_model_is_refused_with_the_line_and_the_reason(entry: str, message: str) -> None:
    text = f"models:\n  - {{id: a, source: x}}\n  - id: b2\n    source: y\n    {entry}\n"
    assert refusal(text) == f"infernet.yaml:5: models[1].{message}"


def test_a_model_that_books_nothing_has_no_machine_to_choose() -> None:
    text = "models: [{id: a, backend: simulated, labels: {tier: spot}}]\n"
    assert refusal(text) == (
        "infernet.yaml:1: models[0].labels: a model with gpus: 0 and cpus: 0 has no place of its own to choose"
    )


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("id: m", ": needs a source: a hub id, a folder or builtin:capitals"),
        ("id: m, source: ''", ": needs a source: a hub id, a folder or builtin:capitals"),
        ("source: x", ": needs an id"),
        ("id: a b, source: x", '.id: must be text without spaces and control characters, not "a b"'),
        (
            'id: "a\\tb", source: x',
            '.id: must be text without spaces and control characters, not "a\\tb"',
        ),
        ("id: null, source: x", ".id: must be text, not null"),
        ("id: 7, source: x", ".id: must be text: put 7 in quotes"),
    ],
)
def test_a_model_needs_a_name_and_a_source(entry: str, message: str) -> None:
    assert refusal(f"models:\n  - {{{entry}}}\n") == f"infernet.yaml:2: models[0]{message}"


def test_two_models_may_not_share_an_id() -> None:
    entries = "  - {id: a, source: x}\n" * 2
    assert refusal(f"models:\n{entries}") == 'infernet.yaml:3: models[1].id: "a" is already a name of models[0]'


@pytest.mark.parametrize(
    ("variable", "text", "reason"),
    [
        ("SERVER_PORT", "x", 'must be an integer from 1 to 65535, not "x"'),
        ("SERVER_PORT", "0", "must be an integer from 1 to 65535, not 0"),
        ("JOB_TIMEOUT_S", "1.5", 'must be an integer >= 1, not "1.5"'),
        ("SERVER_REPLICAS_MIN", "0", "must be an integer >= 1, not 0"),
    ],
)
def test_a_bad_variable_is_refused_by_its_name(variable: str, text: str, reason: str) -> None:
    assert refusal("", {f"INFERNET_{variable}": text}) == f"INFERNET_{variable}: {reason}"


def test_a_variable_does_not_hide_a_section_of_the_wrong_shape() -> None:
    message = refusal("server: 5", {"INFERNET_SERVER_PORT": "80"})
    assert message == "infernet.yaml:1: server: must be a mapping, not 5"


def test_the_command_line_and_other_origins_are_named() -> None:
    with pytest.raises(ConfigError, match=r"^command line: server\.port: must be an integer"):
        load(None, {}, {"server": {"port": "x"}})
    with pytest.raises(ConfigError, match=r"^serve config: models\[0\]\.gpus: must be an integer"):
        parse({"models": [{"id": "a", "gpus": None}]}, "serve config")
    with pytest.raises(ConfigError, match=r"^serve config: models\[0\]\.engine: a key must be text"):
        parse({"models": [{"id": "a", "engine": {1: 2}}]}, "serve config")
    with pytest.raises(ConfigError, match=r"^serve config: must be a mapping, not null$"):
        parse(None, "serve config")


def test_files_that_cannot_be_read_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"^missing\.yaml: No such file or directory$"):
        load(Path("missing.yaml"), {})
    Path("latin.yaml").write_bytes(b"database: \xe9")
    with pytest.raises(ConfigError, match=r"^latin\.yaml: is not UTF-8 text$"):
        load(Path("latin.yaml"), {})
    Path("folder").mkdir()
    with pytest.raises(ConfigError, match=r"^folder: Is a directory$"):
        load(Path("folder"), {})


@pytest.mark.parametrize("text", ["a: &a [*a]", "a: &a {b: *a}", "[" * 1000])
def test_what_never_ends_is_refused(text: str) -> None:
    assert refusal(text) == "infernet.yaml: is nested too deeply, or contains itself"


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
keys = st.sampled_from(["server", "models", "limits", "port", "id", "source", "replicas", "min"])
things = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner))


@settings(max_examples=50)
@given(things)
def test_anything_is_settings_or_each_mistake_is_one_line(obj: Any) -> None:
    try:
        parsed = parse(obj, "test")
    except ConfigError as error:
        assert all(line.startswith("test: ") for line in error.message.splitlines())
    else:
        assert parse(msgspec.to_builtins(parsed), "again") == parsed


# One model, named on the command line


def test_a_model_is_a_folder_if_there_is_one_else_a_hub_id() -> None:
    folder = Path("my-model")
    folder.mkdir()
    expected = {"id": "my-model", "source": str(folder.resolve())}
    assert single_model("my-model") == single_model("./my-model/") == expected
    assert single_model("org/my-model") == {"id": "org/my-model", "source": "org/my-model"}


def test_a_built_in_model_can_be_named() -> None:
    calls = {"tool_call_parser": "hermes"}
    assert single_model("builtin:capitals") == {"id": "capitals", "source": "builtin:capitals", "engine": calls}


@pytest.mark.parametrize("folder", ["./nothing", "../nothing", "/nothing", "~nobody/nothing"])
def test_a_missing_folder_is_not_taken_for_a_hub_id(folder: str) -> None:
    with pytest.raises(ConfigError, match=rf"^command line: no such folder: {re.escape(folder)}$"):
        single_model(folder)


def test_no_name_is_not_the_folder_one_is_in() -> None:
    with pytest.raises(ConfigError, match=r"^command line: models\[0\]\.id: must be text"):
        load(None, {}, {"models": [single_model("")]})
