"""`infernet check`: every mistake in settings at once, by the real command."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

INFERNET = Path(sys.executable).with_name("infernet")

BAD = """\
x-shared: &shared {gpus: 0, engine: {max-model-len: 1024}}
server: {prot: 80}
database: postgresql://u:topsecret@ss@h/db
job_timeout_s: 5m
models:
  - {id: a, source: org/name, <<: *shared}
  - {id: a, source: ./lora}
  - {id: c, source: 'C:\\models\\x', replicas: {min: 3, max: 2}}
  - {id: d, source: ~/nothing-of-the-kind}
  - {id: e, backend: simulated, engine: {tokens_s: 1}}
"""


def checked(*arguments: str | Path, env: dict[str, str] | None = None) -> tuple[int, list[str], str]:
    """The exit code, what is told of mistakes, and the rest."""
    told = subprocess.run(
        [INFERNET, "check", *arguments],
        env={"PATH": os.environ["PATH"], "HOME": "/nowhere", **(env or {})},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return told.returncode, told.stderr.splitlines(), told.stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "lora").mkdir()
    (tmp_path / "lora" / "adapter_config.json").write_text('{"base_model_name_or_path": "org/base", "r": 8}')
    return tmp_path


def test_all_mistakes_are_told_at_once_with_their_places_and_no_secret(folder: Path) -> None:
    file = folder / "infernet.yaml"
    file.write_text(BAD)
    code, mistakes, rest = checked(file)
    assert (code, rest) == (1, "")
    beginnings = [line.removeprefix(f"infernet: {file}:").split(": ", 2)[:2] for line in mistakes]
    assert beginnings == [
        ["2:10", "server.prot"],
        ["3:1", "database"],
        ["4:1", "job_timeout_s"],
        ["1:38", "models[0].engine.max-model-len"],
        ["7:13", "models[1].source"],
        ["8:55", "models[2].replicas.max"],
        ["8:13", "models[2].source"],
        ["9:13", "models[3].source"],
        ["10:42", "models[4].engine.tokens_s"],
        ["7:6", "models[1].id"],
    ]
    assert "secret" not in "".join(mistakes)
    assert "did you mean port?" in mistakes[0]
    assert "@ is written %40" in mistakes[1]
    assert "write 300" in mistakes[2]
    assert "list it under adapters of its model, org/base" in mistakes[4]
    assert "did you mean token_s?" in mistakes[8]


def test_what_is_right_is_said_so_and_nothing_is_started_or_made(folder: Path) -> None:
    file = folder / "infernet.yaml"
    file.write_bytes(b"\xef\xbb\xbfserver: {port: 9000}\r\nmodels: [{id: sim, backend: simulated}]\r\n")
    env = {"INFERNET_SERVER_HOST": "'0.0.0.0'\r", "INFERNET_SERVER_PORT": "tcp://10.96.0.5:8000"}
    code, mistakes, rest = checked(file, "--state", folder / "state", env=env)
    assert (code, mistakes) == (0, [])
    assert rest == f"{file}: no mistakes; serves sim at 0.0.0.0 port 9000\n"
    assert sorted(each.name for each in folder.iterdir()) == ["infernet.yaml", "lora"]


def test_what_can_hardly_be_meant_is_noted(folder: Path) -> None:
    file = folder / "infernet.yaml"
    price = "{prompt: 6.0e-7, completion: 0.000002}"
    file.write_text(f"job_timeout_s: 300000\nmodels: [{{id: sim, backend: simulated, price: {price}}}]\n")
    code, mistakes, rest = checked(file, env={"INFERNET_SERVER_PROT": "1", "RAY_ADDRESS": "auto"})
    assert (code, mistakes) == (0, [])
    notes = [line for line in rest.splitlines() if line.startswith("Note: ")]
    assert [note.split(": ")[1] for note in notes[:3]] == [
        "job_timeout_s",
        "models[0].price.prompt",
        "models[0].price.completion",
    ]
    assert "300000 s are 3.5 days; as milliseconds it would be 5.0 minutes" in notes[0]
    assert "write 0.6" in notes[1]
    assert "is INFERNET_SERVER_PORT meant?" in notes[3]
    assert "RAY_ADDRESS" in notes[4]


@pytest.mark.parametrize(
    ("arguments", "env", "told"),
    [
        (["missing.yaml"], {}, "missing.yaml: No such file or directory"),
        ([], {"INFERNET_DATABASE": "env:NOT_SET"}, "database: the environment variable NOT_SET is not set"),
        ([], {"INFERNET_DATABASE": "mysql://u:secret@h/db"}, "database: No such kind of database: mysql://u:***@h/db"),
        ([], {"INFERNET_DATABASE": "sqlite://infernet.db"},
         "INFERNET_DATABASE: the URL of a file begins with three slashes, sqlite:///infernet.db, or with four before a "
         "whole path"),
        ([], {"INFERNET_ADMIN_KEY": "file:/not/there"},
         "INFERNET_ADMIN_KEY: cannot read /not/there: No such file or directory"),
        (["--host", "0.0.0.0:80"], {},
         'command line: server.host: must be an address or a name alone, not "0.0.0.0:80": its port is server.port'),
        ([], {"HOME": "here"}, "There is no home folder for ~/.infernet: give --state, or set INFERNET_STATE or HOME"),
        (["--model", "./nothing"], {}, "command line: no such folder: ./nothing"),
    ],
)  # fmt: skip
def test_one_mistake_is_one_line(arguments: list[str], env: dict[str, str], told: str) -> None:
    assert checked(*arguments, env=env) == (1, [f"infernet: {told}"], "")


def test_a_model_beside_a_file_that_lists_others_is_refused(folder: Path) -> None:
    file = folder / "infernet.yaml"
    file.write_text("models: [{id: sim, backend: simulated}]\n")
    code, mistakes, _ = checked(file, "--model", "org/name")
    assert (code, mistakes) == (
        1,
        [
            f"infernet: command line: --model serves one model alone, and {file} lists models: give one of the two",
        ],
    )
    file.write_text("server: {port: 9000}\n")
    assert checked(file, "--model", "org/name")[2].endswith("serves org/name at 127.0.0.1 port 9000\n")


def test_of_a_cluster_folders_may_be_elsewhere(folder: Path) -> None:
    file = folder / "infernet.yaml"
    file.write_text("models: [{id: a, source: /models/on-the-workers}]\n")
    assert checked(file)[0] == 1
    assert checked(file, "--ray-address", "auto")[0] == 0


def test_as_json_it_is_lists_of_mistakes_and_notes(folder: Path) -> None:
    file = folder / "infernet.yaml"
    file.write_text("server: {prot: 80}\n")
    code, mistakes, told = checked(file, "--json")
    assert (code, mistakes) == (1, [])
    assert [line.partition(": ")[0] for line in json.loads(told)["mistakes"]] == [f"{file}:1:10"]
    file.write_text("job_timeout_s: 300000\nmodels: [{id: a, backend: simulated}]\n")
    code, _, told = checked(file, "--json")
    assert (code, json.loads(told)["mistakes"], json.loads(told)["models"]) == (0, [], ["a"])
    assert len(json.loads(told)["notes"]) == 1
