"""`infernet plan`: what it makes of a trace and settings, what it prints, and what the rules are compared with."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from api.cli.exits import code_of
from api.cli.main import app
from cluster.catalogue import Model, Replicas
from cluster.simulation import oracle
from cluster.simulation.fairness import Fairness, max_min, shares_had
from cluster.simulation.results import jain, quantile
from cluster.simulation.speeds import Speed, Subject
from cluster.simulation.static import allotted
from cluster.simulation.traffic import Request, Traffic

CONFIG = """
models:
  - id: small
    aliases: [gpt-small]
    backend: simulated
    gpus: 1
    cpus: 2
    replicas: {min: 0, max: 4, idle_s: 60}
    engine: {batch_slots: 2}
  - {id: huge, backend: simulated, gpus: 16, replicas: {min: 0, max: 1}}
"""


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    lines = [f"{10 * number},a{number % 3},{'small' if number % 2 else 'gpt-small'},100,500" for number in range(100)]
    lines += ["500,a0,huge,10,10", "501,a0,nobody,10,10", "502,a0,nobody,10,10"]
    (tmp_path / "trace.csv").write_text("arrived_s,account,model,prompt_tokens,output_tokens\n" + "\n".join(lines))
    (tmp_path / "config.yaml").write_text(CONFIG)
    return ["plan", "--trace", str(tmp_path / "trace.csv"), "--config", str(tmp_path / "config.yaml")]


def infernet(*args: str) -> Result:
    return CliRunner().invoke(app, args)


def planned(*args: str) -> dict[str, Any]:
    result = infernet(*args, "--json")
    assert result.exit_code == 0, result.output
    return dict(json.loads(result.stdout))


def test_it_tells_machines_hours_waits_and_refusals(files: list[str]) -> None:
    plan = planned(*files)
    assert (plan["requests"], plan["lasts_s"], plan["machines_most"]) == (103, 990.0, 1)
    assert plan["refused"] == {"no machine is large enough for a replica": 1, "not a model of the catalogue": 2}
    small = next(model for model in plan["models"] if model["model"] == "small")
    assert (small["jobs"], small["starts"]) == (100, small["replicas_most"])
    assert small["replicas"][0] == [0.5, 1]
    assert small["replicas"][-1][1] == 0
    assert plan["static_at_peak"]["replicas"]["small"] == small["replicas_most"]
    assert plan["static_at_peak"]["wait_p99_s"] == 0.0
    assert sum(model["gpu_hours"] for model in plan["models"]) == pytest.approx(plan["gpu_hours"])


def test_it_prints_tables(files: list[str]) -> None:
    out = infernet(*files).stdout
    assert "103 requests in 0.3 h" in out
    assert "Refused: 2 jobs: not a model of the catalogue" in out
    for text in ("as the jobs need them", "fixed, for the peak", "fixed, same hours", "HOUR", "small"):
        assert text in out


def test_machines_and_speeds_are_told_as_flags_or_in_a_file(files: list[str], tmp_path: Path) -> None:
    assert planned(*files, "--machine", "gpus=16,cpus=64")["refused"] == {"not a model of the catalogue": 2}
    slow = planned(*files, "--token-ms", "100")
    assert slow["gpu_hours"] > planned(*files)["gpu_hours"]
    (tmp_path / "speeds.yaml").write_text("small: {slots: 1, step_s: 0.1, load_s: 5}\n")
    told = planned(*files, "--speeds", str(tmp_path / "speeds.yaml"), "--machine", "gpus=1,boot_s=0", "--machines", "1")
    assert next(model for model in told["models"] if model["model"] == "small")["replicas_most"] == 1


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        (["--machine", "gpu=8"], "--machine: gpu: unknown key; did you mean gpus?"),
        (["--machine", "gpus=many"], '--machine: gpus: must be an integer >= 0, not "many"'),
        (["--map-model", "x"], "--map-model: must be a trace's name and a model's, such as gpt-4=large, not 'x'"),
    ],
)
def test_what_cannot_be_used_is_one_line(
    files: list[str], args: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert code_of(lambda: app([*files, *args], standalone_mode=False)) == 1
    assert capsys.readouterr().err == f"infernet: {reason}\n"


def test_a_replica_over_several_machines_is_refused_where_it_is_asked_for(
    files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spread = "  - {id: spread, backend: simulated, gpus: 1, machines: 2}\n"
    (tmp_path / "config.yaml").write_text(CONFIG + spread)
    assert planned(*files)["requests"] == 103
    (tmp_path / "config.yaml").write_text(CONFIG.replace("gpus: 16", "gpus: 16, machines: 2"))
    assert code_of(lambda: app(files, standalone_mode=False)) == 1
    assert capsys.readouterr().err == (
        "infernet: huge: machines: replicas over several machines cannot be planned yet\n"
    )


# What the rules are compared with --------------------------------------------------------------------------------

EVEN = Speed(slots=2, prefill_tokens_per_s=1e12, step_s=0.1, step_s_per_job=0.0, load_s=30.0)
SUBJECT = Subject(Model("m", gpus=1), EVEN)


def traffic(*requests: tuple[float, int]) -> Traffic:
    """Jobs that arrive at this second and take so many."""
    return Traffic(["m"], ["a"], [Request(at_s, 0, 0, 0, 10 * takes_s) for at_s, takes_s in requests])


def test_the_oracle_starts_in_time_keeps_what_is_soon_missed_and_no_more() -> None:
    subject = traffic((100.0, 20), (100.0, 20), (100.0, 20), (140.0, 20), (300.0, 10))
    assert oracle.busy_slots(subject, [SUBJECT], 20.0)[0] == [0, 0, 0, 0, 0, 3, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0.5]
    # Two are needed at 100 s and started 40 s before; one of them is needed again at 140 s, and stays.
    assert oracle.plan(subject, [SUBJECT], 0.0, 20.0) == [[(60.0, 2), (120.0, 1), (160.0, 0), (260.0, 1), (320.0, 0)]]


def test_fixed_replicas_go_where_they_are_busiest() -> None:
    subjects = [
        Subject(Model(name, gpus=gpus, replicas=Replicas(0, 9)), EVEN) for name, gpus in (("a", 1), ("b", 2), ("c", 1))
    ]
    requests = [*[Request(0.0, 0, 0, 0, 100)] * 9, *[Request(0.0, 1, 0, 0, 100)] * 3]
    assert allotted(Traffic(["a", "b", "c"], ["x"], requests), subjects, 3) == [1, 1, 0]
    assert allotted(Traffic(["a", "b", "c"], ["x"], requests), subjects, 5) == [3, 1, 0]


def test_fairness_is_what_each_had_of_what_it_was_owed() -> None:
    assert max_min(30.0, {1: 100, 2: 5, 3: 100}) == {2: 5, 1: 12.5, 3: 12.5}
    assert shares_had({1: 30}, {1: 100, 2: 100}) == [2.0, 0.0]
    watch = Fairness(10.0)
    for account in (1, 2):
        for _ in range(10):
            watch.came(0, account, 10)
    watch.look(10.0)
    watch.began(0, 1, 10)
    watch.began(0, 2, 10)
    watch.look(20.0)
    watch.began(0, 1, 10)
    watch.look(30.0)
    assert [index for _, index in watch.indices] == [1.0, 0.5]
    assert watch.index() == 0.75
    for account, left in ((1, 8), (2, 9)):
        for _ in range(left):
            watch.began(0, account, 10)
    watch.look(40.0)  # nobody waited to the end: it does not count
    assert len(watch.indices) == 2


def test_quantiles_and_jain() -> None:
    assert [quantile([1.0, 2.0, 3.0, 4.0], share) for share in (0.0, 0.25, 0.5, 0.99, 1.0)] == [1, 1, 2, 4, 4]
    assert quantile([], 0.5) == 0.0
    assert jain([1, 1, 1]) == 1.0
    assert jain([1, 0, 0, 0]) == 0.25
