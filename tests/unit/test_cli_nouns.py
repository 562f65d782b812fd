"""Keys, accounts, usage, models and nodes from the command line, against a server that plays the API."""

import io
import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import typer

from api.cli import times
from api.cli.naming import one_of
from api.cli.nouns import allowing, draining, replacing
from cluster.errors import NotFound
from tests.support.contract_server import JOB, KEY, ContractServer, Stage
from tests.support.typed import Typed

INFERNET = Path(sys.executable).with_name("infernet")
ACCOUNT = {"id": "acct_" + "a" * 20, "name": "search team", "weight": 3, "created_at": "2026-04-30T14:23:41Z"}
OTHER_ACCOUNT = {"id": "acct_" + "b" * 20, "name": "nightly", "weight": 1, "created_at": "2026-04-30T14:23:41Z"}
LIMITS = {"submissions_per_minute": 60, "submissions_per_hour": 1000, "reads_per_minute": 600}
SECRET = "inft_secret"
NIGHTLY = {
    "id": "key_" + "1" * 20,
    "account_id": ACCOUNT["id"],
    "name": "nightly job",
    "prefix": "inft_9",
    "role": "member",
    "status": "active",
    "created_at": "2026-04-30T14:23:41Z",
    "limits": LIMITS,
    "budget": {"unit": "money", "amount": 2_500_000, "period": "month", "spent": 1_200_000, "reserved": 50_000},
}
OWN = {**NIGHTLY, "id": "key_" + "2" * 20, "name": "mine", "prefix": KEY[:9], "role": "admin"}
REVOKED = {**NIGHTLY, "id": "key_" + "3" * 20, "status": "revoked"}
NODE_ID = "node_8f3a2c1d00000000"


def node(status: str, *running: int) -> dict[str, Any]:
    engines = [{"id": f"sim/{n}", "model": "sim", "state": "ready", "running": jobs} for n, jobs in enumerate(running)]
    return {"id": NODE_ID, "hostname": "gpu-1", "status": status, "engines": engines}


@pytest.fixture(scope="module")
def server() -> Iterator[ContractServer]:
    with ContractServer() as running:
        yield running


@pytest.fixture(autouse=True)
def stage(server: ContractServer, monkeypatch: pytest.MonkeyPatch) -> Stage:
    monkeypatch.setenv("INFERNET_URL", server.url)
    monkeypatch.setenv("INFERNET_KEY", KEY)
    answers = {
        "GET /keys": {"keys": [NIGHTLY, OWN, REVOKED]},
        "POST /keys": {**NIGHTLY, "key": SECRET},
        f"PATCH /keys/{NIGHTLY['id']}": NIGHTLY,
        f"DELETE /keys/{NIGHTLY['id']}": None,
        f"DELETE /keys/{OWN['id']}": None,
        f"DELETE /keys/{REVOKED['id']}": (409, "conflict", "It is revoked already"),
        "GET /accounts": {"accounts": [ACCOUNT, OTHER_ACCOUNT]},
        "POST /accounts": ACCOUNT,
        f"PATCH /accounts/{ACCOUNT['id']}": ACCOUNT,
        f"POST /nodes/{NODE_ID}/drain": node("draining", 2, 1),
        f"POST /nodes/{NODE_ID}/undrain": node("online"),
    }
    server.stage = Stage(answers=answers, nodes=[node("online", 2, 1)])
    return server.stage


@pytest.fixture
def infernet(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Typed:
    return Typed(monkeypatch, capsys)


def changes(stage: Stage) -> list[tuple[str, Any]]:
    """What was asked for, besides what was only looked at."""
    return [(asked, brought) for asked, brought in stage.sent if not asked.startswith("GET")]


# Keys -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("args", [["keys"], ["keys", "list"]])
def test_keys_are_listed_by_the_bare_group_too(infernet: Typed, args: list[str]) -> None:
    code, out, err = infernet(*args)
    head, first, *_ = out.splitlines()
    assert (code, err, len(out.splitlines())) == (0, "", 4)
    assert head.split()[:4] == ["KEY", "NAME", "PREFIX", "ROLE"]
    assert "60/min 1,000/h" in first
    assert "1.25 of 2.50 a month" in first


@pytest.mark.parametrize("args", [["keys", "--json"], ["keys", "list", "--json"]])
def test_a_bare_group_takes_the_options_of_its_list(infernet: Typed, args: list[str]) -> None:
    assert json.loads(infernet(*args).out) == {"keys": [NIGHTLY, OWN, REVOKED]}


def test_a_key_is_made_of_what_was_given_and_shown_once(infernet: Typed, stage: Stage) -> None:
    code, out, err = infernet(
        *("keys", "create", "nightly job", "--account", "search", "--model", "a", "--model", "b"),
        *("--expires", "2030-01-01", "--tokens-per-minute", "1000", "--budget", "2.50"),
    )
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == SECRET
    assert changes(stage) == [
        (
            "POST /keys",
            {
                "name": "nightly job",
                "role": "member",
                "models": ["a", "b"],
                "expires_at": "2030-01-01",
                "limits": {"tokens_per_minute": 1000},
                "budget": {"unit": "money", "amount": 2_500_000, "period": "month"},
                "account": ACCOUNT["id"],
            },
        )
    ]


def test_quiet_is_the_secret_alone(infernet: Typed) -> None:
    assert infernet("keys", "create", "x", "--quiet") == (0, f"{SECRET}\n", "")


def test_a_key_is_changed_in_what_was_given(infernet: Typed, stage: Stage) -> None:
    assert infernet("keys", "edit", "night", "--name", "other", "--never-expires", "--no-budget").code == 0
    assert changes(stage) == [(f"PATCH /keys/{NIGHTLY['id']}", {"name": "other", "expires_at": None, "budget": None})]


def test_one_limit_is_changed_and_the_others_stay(infernet: Typed, stage: Stage) -> None:
    assert infernet("keys", "edit", "night", "--reads-per-minute", "5").code == 0
    assert changes(stage) == [(f"PATCH /keys/{NIGHTLY['id']}", {"limits": {**LIMITS, "reads_per_minute": 5}})]


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        ([], "nothing to change"),
        (["--no-budget", "--budget", "1"], "--no-budget takes away"),
        (["--no-limits", "--reads-per-minute", "1"], "--no-limits takes away"),
        (["--any-model", "--model", "a"], "--any-model takes away"),
        (["--never-expires", "--expires", "2030-01-01"], "--never-expires takes away"),
        (["--budget", "1", "--budget-tokens", "1"], "of money or of tokens"),
        (["--budget", "-1"], "no amount"),
        (["--budget", "NaN"], "no amount"),
        (["--budget", "0.0000001"], "six decimals"),
        (["--budget", "1", "--budget-period", "year"], "month or all"),
        (["--expires", "tomorrow"], "is no time"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_asked(
    infernet: Typed, stage: Stage, args: list[str], reason: str
) -> None:
    code, out, err = infernet("keys", "edit", NIGHTLY["id"], *args)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert reason in err
    assert stage.sent == []


@pytest.mark.parametrize("which", [NIGHTLY["id"], NIGHTLY["name"]])
def test_a_key_is_revoked_by_its_whole_id_or_name(infernet: Typed, stage: Stage, which: str) -> None:
    assert infernet("keys", "revoke", which, "--yes").code == 0
    assert changes(stage) == [(f"DELETE /keys/{NIGHTLY['id']}", {})]


def test_a_revocation_as_json_names_the_ids(infernet: Typed) -> None:
    out = infernet("keys", "revoke", "nightly job", "--yes", "--json").out
    assert json.loads(out) == {"revoked": [NIGHTLY["id"]]}


@pytest.mark.parametrize("which", ["night", "key_1", "", "NIGHTLY JOB"])
def test_no_beginning_revokes_a_key(infernet: Typed, stage: Stage, which: str) -> None:
    code, _, err = infernet("keys", "revoke", which, "--yes")
    assert (code, err) == (4, f"infernet: No key is {which!r}\n")
    assert changes(stage) == []


def test_none_is_revoked_where_one_of_them_is_not_known(infernet: Typed, stage: Stage) -> None:
    assert infernet("keys", "revoke", NIGHTLY["id"], "key_none", "--yes").code == 4
    assert changes(stage) == []


def test_without_somebody_to_ask_nothing_is_revoked(infernet: Typed, stage: Stage) -> None:
    code, _, err = infernet("keys", "revoke", NIGHTLY["id"])
    assert (code, changes(stage)) == (2, [])
    assert "--yes" in err


@pytest.mark.parametrize(("answer", "code", "revoked"), [("y\n", 0, 1), ("n\n", 130, 0), ("\n", 130, 0), ("", 130, 0)])
def test_on_a_terminal_it_is_asked_once_more(
    infernet: Typed, stage: Stage, monkeypatch: pytest.MonkeyPatch, answer: str, code: int, revoked: int
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stdin", Terminal(answer))
    ended = infernet("keys", "revoke", OWN["id"])
    assert (ended.code, len(changes(stage))) == (code, revoked)
    assert "THIS COMMAND USES IT ITSELF" in ended.err
    assert KEY not in ended.err


def test_a_refusal_of_the_server_has_its_words_and_a_code(infernet: Typed) -> None:
    code, _, err = infernet("keys", "revoke", REVOKED["id"], "--yes")
    assert (code, err) == (7, "infernet: It is revoked already (conflict)\n")


# Accounts ---------------------------------------------------------------------------------------------------------


def test_accounts_are_listed(infernet: Typed) -> None:
    head, first, _ = infernet("accounts").out.splitlines()
    assert head.split()[:3] == ["ACCOUNT", "NAME", "WEIGHT"]
    assert first.split()[:4] == [ACCOUNT["id"], "search", "team", "3"]


def test_an_account_is_made_of_what_was_given(infernet: Typed, stage: Stage) -> None:
    assert infernet("accounts", "create", "search team", "--weight", "3", "--quiet") == (0, f"{ACCOUNT['id']}\n", "")
    assert changes(stage) == [("POST /accounts", {"name": "search team", "weight": 3})]


def test_an_account_is_changed_in_what_was_given(infernet: Typed, stage: Stage) -> None:
    stage.answers["GET /accounts"] = {"accounts": [{**ACCOUNT, "limits": LIMITS}]}
    args = ("--no-max-queued", "--budget-tokens", "5", "--budget-period", "all", "--reads-per-minute", "7")
    assert infernet("accounts", "edit", "search", *args).code == 0
    change = {
        "max_queued": None,
        "limits": {**LIMITS, "reads_per_minute": 7},
        "budget": {"unit": "tokens", "amount": 5, "period": "all"},
    }
    assert changes(stage) == [(f"PATCH /accounts/{ACCOUNT['id']}", change)]


# Usage ------------------------------------------------------------------------------------------------------------

ROWS = [
    {"model": "=a", "jobs": 2, "prompt_tokens": 1_000, "completion_tokens": 20, "cost": 1_500_000},
    {"model": "b", "jobs": 1, "prompt_tokens": 5, "completion_tokens": 6, "cost": 7},
]


def test_usage_is_added_up_below(infernet: Typed, stage: Stage) -> None:
    stage.answers["GET /usage"] = {"usage": ROWS}
    lines = infernet("usage", "--by", "model", "--since", "2026-04-01").out.splitlines()
    assert stage.sent == [("GET /usage", {"group_by": "model", "since": "2026-04-01"})]
    assert [line.split() for line in lines] == [
        ["MODEL", "JOBS", "PROMPT", "TOKENS", "COMPLETION", "TOKENS", "COST"],
        ["=a", "2", "1,000", "20", "1.50"],
        ["b", "1", "5", "6", "0.000007"],
        ["total", "3", "1,005", "26", "1.500007"],
    ]


def test_usage_by_key_names_the_keys(infernet: Typed, stage: Stage) -> None:
    stage.answers["GET /usage"] = {"usage": [{**ROWS[0], "key": NIGHTLY["id"]}]}
    assert "nightly job" in infernet("usage", "--by", "key").out


def test_usage_by_several_things_at_once(infernet: Typed, stage: Stage) -> None:
    stage.answers["GET /usage"] = {"usage": [{**ROWS[0], "day": "2026-04-30", "account": ACCOUNT["id"]}] * 2}
    lines = infernet("usage", "--by", "day", "--by", "account").out.splitlines()
    assert stage.sent[0] == ("GET /usage", {"group_by": "day,account", "account": "all"})
    assert lines[1].split()[:4] == ["2026-04-30", ACCOUNT["id"], "search", "team"]
    assert lines[3].split() == ["total", "-", "-", "4", "2,000", "40", "3.00"]


TABLE = "model,jobs,prompt_tokens,completion_tokens,cost\r\nb,1,5,6,0.000007\r\n"


@pytest.mark.parametrize("file_there", [True, False])
def test_usage_as_csv_is_the_apis_own_table(infernet: Typed, stage: Stage, tmp_path: Path, file_there: bool) -> None:
    stage.answers["GET /usage"] = TABLE
    file = tmp_path / "usage.csv"
    if file_there:
        file.write_text("of last month")
    assert infernet("usage", "--by", "model", "--csv", str(file)) == (0, "", "")
    assert stage.sent == [("GET /usage", {"group_by": "model", "format": "csv"})]
    assert file.read_bytes().decode() == TABLE
    assert list(tmp_path.iterdir()) == [file]


def test_a_refused_table_leaves_the_file_as_it_was(infernet: Typed, stage: Stage, tmp_path: Path) -> None:
    stage.answers["GET /usage"] = (403, "forbidden", "Only for admins")
    file = tmp_path / "usage.csv"
    file.write_text("of last month")
    code, _, err = infernet("usage", "--account", "all", "--csv", str(file))
    assert (code, err.count("\n")) == (5, 1)
    assert (file.read_text(), list(tmp_path.iterdir())) == ("of last month", [file])


def test_usage_as_csv_on_stdout_is_the_table_alone(stage: Stage) -> None:
    stage.answers["GET /usage"] = TABLE
    done = subprocess.run([INFERNET, "usage", "--csv", "-"], capture_output=True, check=True)
    assert (done.stdout.decode(), done.stderr) == (TABLE, b"")


# Models and nodes -------------------------------------------------------------------------------------------------


SETTINGS = {"min": 1, "max": 1, "idle_s": 300}


def model(replicas: int = 2, *engines: dict[str, Any], **bounds: Any) -> dict[str, Any]:
    return {
        "id": "org/sim",
        "state": "ready",
        "queued": 4,
        "replicas": replicas,
        "wanted": 2,
        "scaling": "2 replicas: 9 jobs",
        "bounds": {**SETTINGS, "set_by": "settings", "settings": SETTINGS, **bounds},
        "engines": [
            {"engine_id": "org/sim/0", "node_id": NODE_ID, "state": "ready", "running": 3, **e} for e in engines
        ],
        "failures": [
            {"engine_id": "org/sim/1", "node_id": NODE_ID, "at": "2026-04-30T14:23:41Z", "message": "No room"}
        ],
    }


@pytest.fixture
def catalogue(stage: Stage) -> Stage:
    stage.catalogue = [{"id": "org/sim"}, {"id": "other"}]
    return stage


@pytest.mark.parametrize(
    ("args", "asked", "bounds", "said"),
    [
        (
            ["--min", "0", "--max", "4"],
            {"min": 0, "max": 4},
            {"min": 0, "max": 4, "set_by": "admin"},
            "0 to 4 replicas, none after 300 s without a job, set by an admin; the settings say 1 to 1",
        ),
        (["--as-settings"], None, {}, "1 to 1 replicas, as the settings say"),
    ],
)
def test_a_model_is_scaled_within_bounds(
    infernet: Typed, catalogue: Stage, args: list[str], asked: Any, bounds: dict[str, Any], said: str
) -> None:
    catalogue.answers["PATCH /models/org/sim"] = model(**bounds)
    assert infernet("models", "scale", "org", *args) == (0, f"org/sim: {said}\n", "")
    assert changes(catalogue) == [("PATCH /models/org/sim", {"replicas": asked})]


@pytest.mark.parametrize(
    "args",
    [
        [],
        ["--min", "3", "--max", "2"],
        ["--max", "0"],
        ["--min", "-1"],
        ["--idle", "0"],
        ["--min", "1", "--as-settings"],
    ],
)
def test_bounds_that_cannot_be_are_refused(infernet: Typed, stage: Stage, args: list[str]) -> None:
    code, _, err = infernet("models", "scale", "org", *args)
    assert (code, err.count("\n"), stage.sent) == (2, 1, [])


def test_a_model_is_shown_with_its_replicas_and_failures(infernet: Typed, catalogue: Stage) -> None:
    catalogue.answers["GET /models/org/sim"] = model(
        1, {"outdated": True}, {"state": "starting", "phase": "importing vLLM"}
    )
    out = infernet("models", "show", "org").out
    assert out.startswith(
        "org/sim is ready, 4 jobs wait\n1 to 1 replicas, as the settings say\n2 wanted: 2 replicas: 9 jobs"
    )
    for words in ("outdated", "importing vLLM", "No room"):
        assert words in out


def test_a_model_is_restarted(infernet: Typed, catalogue: Stage) -> None:
    catalogue.answers["POST /models/org/sim/restart"] = model()
    assert infernet("models", "restart", "org/sim").code == 0
    assert changes(catalogue) == [("POST /models/org/sim/restart", {})]


def test_a_restart_is_waited_for(infernet: Typed, catalogue: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replacing, "_LOOK_S", 0.0)
    old, new = {"outdated": True}, {}
    catalogue.answers["POST /models/org/sim/restart"] = model()
    states = [
        model(2, old, old),
        model(2, old, new),
        model(1, {"retiring": True}, new),
        model(1, new),
        model(2, new, new),
    ]
    catalogue.answers["GET /models/org/sim"] = states
    code, out, err = infernet("models", "restart", "org", "--wait")
    assert (code, out) == (0, "org/sim has new replicas: 2 ready\n")
    assert err.splitlines() == [
        "Replacing org/sim: 2 to be replaced, 2 of 2 ready",
        "Replacing org/sim: 1 to be replaced, 2 of 2 ready",
    ]


def test_a_restart_is_waited_for_no_longer_than_told(infernet: Typed, catalogue: Stage) -> None:
    catalogue.answers["POST /models/org/sim/restart"] = model()
    catalogue.answers["GET /models/org/sim"] = {**model(1, {"outdated": True}), "state_message": "No room"}
    code, _, err = infernet("models", "restart", "org", "--wait", "--timeout", "0")
    assert code == 1
    assert "goes on: 1 to be replaced, 1 of 2 ready; No room" in err.splitlines()[-1]


@pytest.mark.parametrize("which", [NODE_ID, "node_8f", "gpu-1", "gpu"])
def test_a_node_is_drained_by_id_name_or_beginning(infernet: Typed, stage: Stage, which: str) -> None:
    assert infernet("nodes", "drain", which) == (0, f"{NODE_ID} drains: 3 of its jobs run\n", "")
    assert changes(stage) == [(f"POST /nodes/{NODE_ID}/drain", {})]


def test_a_drain_is_waited_for(infernet: Typed, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draining, "_LOOK_S", 0.0)
    states = [node("draining", *running) for running in ([2, 1], [2, 1], [1], [])]
    stage.answers[f"GET /nodes/{NODE_ID}"] = states
    code, out, err = infernet("nodes", "drain", "gpu-1", "--wait")
    assert (code, out) == (0, f"{NODE_ID} is draining: none of its jobs runs there any more\n")
    assert err.splitlines() == [f"Draining {NODE_ID}: 3 jobs run", f"Draining {NODE_ID}: 1 job runs"]


def test_a_drain_that_somebody_undoes_is_told(infernet: Typed, stage: Stage) -> None:
    stage.answers[f"GET /nodes/{NODE_ID}"] = node("online", 1)
    code, _, err = infernet("nodes", "drain", "gpu-1", "--wait")
    assert code == 7
    assert "somebody undrained it" in err


def test_a_drain_is_waited_for_no_longer_than_told(infernet: Typed, stage: Stage) -> None:
    stage.answers[f"GET /nodes/{NODE_ID}"] = node("draining", 1)
    code, _, err = infernet("nodes", "drain", "gpu-1", "--wait", "--timeout", "0")
    assert code == 1
    assert "still has 1 jobs after 0 s" in err


def test_a_node_is_undrained(infernet: Typed) -> None:
    assert infernet("nodes", "undrain", "gpu-1") == (0, f"{NODE_ID} is online\n", "")


# Webhooks ---------------------------------------------------------------------------------------------------------

HOOK = {
    "id": "hook_" + "a" * 16,
    "account_id": ACCOUNT["id"],
    "url": "https://example.org/hook",
    "events": ["job.completed", "job.failed"],
    "status": "disabled",
    "disabled_by": "gone",
    "created_at": "2026-04-30T14:23:41Z",
}
FAILING = {key: value for key, value in HOOK.items() if key != "disabled_by"}
FAILING |= {"status": "enabled", "failing_since": "2026-04-30T14:23:41Z"}
DELIVERY = {
    "id": "msg_" + "b" * 16,
    "event": "job.failed",
    "status": "waiting",
    "created_at": "2026-04-30T14:23:41Z",
    "attempts": 2,
    "response_status": 500,
}


@pytest.fixture
def hooks(stage: Stage) -> Stage:
    path = f"/webhooks/{HOOK['id']}"
    stage.answers |= {
        "GET /webhooks": {"webhooks": [HOOK]},
        "POST /webhooks": {**HOOK, "secret": "whsec_x"},
        f"POST {path}/rotate": {**HOOK, "secret": "whsec_y"},
        f"PATCH {path}": HOOK,
        f"DELETE {path}": None,
        f"GET {path}/deliveries": {"deliveries": [DELIVERY]},
        f"POST {path}/test": DELIVERY,
        f"POST {path}/deliveries/{DELIVERY['id']}/redeliver": DELIVERY,
    }
    return stage


def test_webhooks_are_listed(infernet: Typed, hooks: Stage) -> None:
    head, row = infernet("webhooks").out.splitlines()
    assert head.split() == ["WEBHOOK", "STATUS", "ENDPOINT", "EVENTS", "ACCOUNT", "CREATED"]
    assert "disabled (gone)" in row
    hooks.answers["GET /webhooks"] = {"webhooks": [HOOK | {"disabled_by": "failures"}, FAILING]}
    _, disabled, failing = infernet("webhooks")[1].splitlines()
    assert "disabled (failures)" in disabled and "failing since 2026-04-30T14:23:41Z" in failing


@pytest.mark.parametrize(("args", "secret"), [(("create", HOOK["url"]), "whsec_x"), (("rotate", "hook"), "whsec_y")])
def test_a_webhooks_secret_is_shown_once(infernet: Typed, hooks: Stage, args: tuple[str, ...], secret: str) -> None:
    assert infernet("webhooks", *args).out.splitlines()[-1] == secret
    assert infernet("webhooks", *args, "--quiet").out == f"{secret}\n"


def test_a_webhook_is_made_and_changed_in_what_was_given(infernet: Typed, hooks: Stage) -> None:
    infernet("webhooks", "create", str(HOOK["url"]), "--event", "job.failed", "--account", "search")
    infernet("webhooks", "edit", "hook", "--disable")
    assert changes(hooks) == [
        ("POST /webhooks", {"url": HOOK["url"], "events": ["job.failed"], "account": ACCOUNT["id"]}),
        (f"PATCH /webhooks/{HOOK['id']}", {"enabled": False}),
    ]


def test_a_webhook_is_deleted_by_its_whole_id(infernet: Typed, hooks: Stage) -> None:
    assert infernet("webhooks", "delete", "hook", "--yes").code == 4
    assert infernet("webhooks", "delete", str(HOOK["id"])).code == 2
    assert infernet("webhooks", "delete", str(HOOK["id"]), "--yes").code == 0
    assert changes(hooks) == [(f"DELETE /webhooks/{HOOK['id']}", {})]


def test_deliveries_are_listed_and_made_again(infernet: Typed, hooks: Stage) -> None:
    _, row = infernet("webhooks", "deliveries", "hook", "--status", "waiting").out.splitlines()
    assert row.split()[:3] == [DELIVERY["id"], "job.failed", "waiting"]
    assert infernet("webhooks", "test", "hook").code == 0
    assert infernet("webhooks", "redeliver", "hook", str(DELIVERY["id"])).code == 0
    assert [asked for asked, _ in changes(hooks)] == [
        f"POST /webhooks/{HOOK['id']}/test",
        f"POST /webhooks/{HOOK['id']}/deliveries/{DELIVERY['id']}/redeliver",
    ]


# Jobs -------------------------------------------------------------------------------------------------------------


def test_jobs_are_found_by_what_is_known_of_them(infernet: Typed, stage: Stage) -> None:
    infernet(
        *("jobs", "--model", "sim", "--node", "gpu", "--of-key", "night", "--error", "timeout"),
        *("--since", "2026-04-30", "--until", "2026-05-01", "--account", "search", "--status", "failed"),
    )
    assert stage.queries == [
        {
            "limit": "20",
            "status": "failed",
            "model": "sim",
            "node": NODE_ID,
            "key": NIGHTLY["id"],
            "error": "timeout",
            "since": "2026-04-30",
            "until": "2026-05-01",
            "account": ACCOUNT["id"],
        }
    ]


@pytest.mark.parametrize(("limit", "pages"), [(250, ["100", "100", "50"]), (500, ["100", "100", "100"]), (10, ["10"])])
def test_as_many_pages_are_read_as_it_takes(infernet: Typed, stage: Stage, limit: int, pages: list[str]) -> None:
    stage.jobs = [{"id": f"job_{n}"} for n in range(300)]
    body = json.loads(infernet("jobs", "--limit", str(limit), "--json").out)
    assert [query["limit"] for query in stage.queries][:2] == pages[:2]
    assert [job["id"] for job in body["jobs"]] == [f"job_{n}" for n in range(min(limit, 300))]
    assert body.get("next_cursor") == (str(limit) if limit < 300 else None)


def test_jobs_are_cancelled_each(infernet: Typed, stage: Stage) -> None:
    assert infernet("cancel", JOB) == (0, f"{JOB} is cancelled\n", "")
    assert stage.cancelled == [JOB]


def test_one_that_cannot_be_cancelled_keeps_no_other_from_it(infernet: Typed, stage: Stage) -> None:
    stage.ended = ["job_ended"]
    code, out, err = infernet("cancel", "job_ended", JOB)
    assert (code, out) == (7, f"{JOB} is cancelled\n")
    assert err == "infernet: job_ended: The job has ended (conflict)\n"
    assert stage.cancelled == [JOB]


def test_a_job_is_explained_by_its_beginning(infernet: Typed, stage: Stage) -> None:
    stage.jobs = [{"id": JOB}, {"id": "job_other"}]
    stage.job = {"id": JOB, "status": "failed", "model": "sim", "error": "timeout", "error_message": "Too late"}
    stage.placement = {"attempts": []}
    for beginning in ("job_9a", JOB[:-2], JOB):
        assert infernet("explain", beginning).out == f"Job {JOB} of model sim failed: Too late (timeout).\n"
    assert infernet("explain", "job_").code == 2


# What is meant ----------------------------------------------------------------------------------------------------

THINGS = [{"id": "node_1", "name": "a"}, {"id": "node_12", "name": "ab"}, {"id": "node_2", "name": "node_1"}]


@pytest.mark.parametrize(("given", "index"), [("node_1", 0), ("a", 0), ("node_12", 1), ("ab", 1), ("node_2", 2)])
def test_a_whole_id_or_name_wins_over_what_begins_so(given: str, index: int) -> None:
    assert one_of("node", given, THINGS) is THINGS[index]


def test_what_several_begin_with_is_refused_by_their_names() -> None:
    with pytest.raises(typer.BadParameter, match="node_1 a, node_12 ab, node_2 node_1"):
        one_of("node", "node", THINGS)


@pytest.mark.parametrize("given", ["x", ""])
def test_what_none_begins_with_is_not_found(given: str) -> None:
    with pytest.raises(NotFound):
        one_of("node", given, THINGS)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("90s", "2026-04-30T11:58:30.000Z"),
        ("12h", "2026-04-30T00:00:00.000Z"),
        ("7d", "2026-04-23T12:00:00.000Z"),
        ("2026-04-30", "2026-04-30"),
        (None, None),
    ],
)
def test_times_are_moments_or_spans(text: str | None, moment: str | None) -> None:
    assert times.ago(text, "--since", datetime(2026, 4, 30, 12, tzinfo=UTC)) == moment


@pytest.mark.parametrize(
    ("millionths", "text"), [(0, "0.00"), (1, "0.000001"), (2_500_000, "2.50"), (1_234_567_890_000, "1,234,567.89")]
)
def test_money_has_as_many_decimals_as_it_needs(millionths: int, text: str) -> None:
    assert allowing.money(millionths) == text
