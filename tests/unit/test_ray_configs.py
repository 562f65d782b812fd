"""The files of ray_configs/, by the rules of those who read them: Ray's own, its own scheduler, and our settings."""

import logging
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import ray
import yaml
from ray.autoscaler._private.kuberay.autoscaling_config import _derive_autoscaling_config_from_ray_cr
from ray.autoscaler._private.util import prepare_config, validate_config
from ray.autoscaler.v2.instance_manager.config import AutoscalingConfig
from ray.autoscaler.v2.scheduler import ResourceDemandScheduler, SchedulingReply, SchedulingRequest
from ray.autoscaler.v2.utils import ResourceRequestUtil
from ray.core.generated.autoscaler_pb2 import GangResourceRequest

from actors.backends import option_faults
from cluster.catalogue import Model
from cluster.settings import layers
from cluster.settings.references import is_reference

FOLDER = Path("ray_configs")
FOR_RAY_UP = ("aws", "gcp", "onprem")
WITH_MACHINE_TYPES = ("aws", "gcp", "kuberay")
CATALOGUES = ("models.example", "local")
# Commands that talk to Ray, or start it.
CLIENTS = re.compile(r"\b(ray (start|get-worker-ips)|infernet keep)\b")

OF_CLUSTER = {
    *("rayVersion", "authOptions", "enableInTreeAutoscaling", "autoscalerOptions", "headGroupSpec", "workerGroupSpecs"),
    *("gcsFaultToleranceOptions", "headServiceAnnotations", "suspend", "managedBy", "upgradeStrategy"),
}
OF_AUTOSCALER = {
    *("version", "idleTimeoutSeconds", "upscalingMode", "image", "imagePullPolicy", "resources", "env", "envFrom"),
    *("securityContext", "volumeMounts"),
}
OF_HEAD = {"rayStartParams", "template", "serviceType", "headService", "enableIngress", "resources", "labels"}
OF_WORKERS = {
    *("groupName", "replicas", "minReplicas", "maxReplicas", "numOfHosts", "idleTimeoutSeconds", "rayStartParams"),
    *("template", "scaleStrategy", "suspend", "resources", "labels", "priority"),
}


def read(name: str) -> dict[str, Any]:
    return dict(yaml.safe_load((FOLDER / f"{name}.yaml").read_text()))


def models(catalogue: str) -> tuple[Model, ...]:
    return layers.load(FOLDER / f"{catalogue}.yaml", {}).models


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Ray's scheduler tells of every step."""
    logging.disable(logging.INFO)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("name", FOR_RAY_UP)
def test_ray_up_takes_it(name: str) -> None:
    validate_config(prepare_config(read(name)))


@pytest.mark.parametrize("catalogue", CATALOGUES)
def test_infernet_takes_the_settings(catalogue: str) -> None:
    for model in models(catalogue):
        assert list(option_faults(model.backend, model.engine)) == []


def test_the_example_keeps_no_secret() -> None:
    assert is_reference(layers.load(FOLDER / "models.example.yaml", {}).database)


@pytest.mark.parametrize("name", FOR_RAY_UP)
def test_whoever_speaks_to_ray_says_how_it_proves_itself(name: str) -> None:
    """Ray's processes and clients guess where nobody says, and not all guess alike."""
    config = read(name)
    commands = [line for key in config if key.endswith("_commands") for line in config[key] if CLIENTS.search(line)]
    assert len(commands) >= 3
    assert [line for line in commands if not re.search(r"RAY_AUTH_MODE=token\b.*\b(ray|infernet) ", line)] == []
    assert "~/.ray/auth_token" in config["file_mounts"]
    assert any("chmod 600 ~/.ray/auth_token" in line for line in config["setup_commands"])


@pytest.mark.parametrize("name", FOR_RAY_UP)
def test_the_head_can_lose_its_gcs_server(name: str) -> None:
    start, keep = read(name)["head_start_ray_commands"][-2:]
    assert "RAY_gcs_storage=rocksdb" in start
    assert "infernet keep --background" in keep


@pytest.mark.parametrize("name", FOR_RAY_UP)
def test_secrets_of_the_head_do_not_stay_with_the_workers(name: str) -> None:
    config = read(name)
    secrets = [path for path in config["file_mounts"] if path.endswith(("admin.key", "database-url"))]
    (removed,) = [line for line in config["worker_setup_commands"] if line.startswith("rm -f")]
    assert sorted(removed.split()[2:]) == sorted(secrets) != []


def test_kuberay_has_names_that_its_operator_knows() -> None:
    """The fields of RayCluster, `ray.io/v1`. Kubernetes drops others, or refuses the resource."""
    resource = read("kuberay")
    assert (resource["apiVersion"], resource["kind"]) == ("ray.io/v1", "RayCluster")
    spec = resource["spec"]
    groups = spec["workerGroupSpecs"]
    assert spec.keys() <= OF_CLUSTER
    assert spec["autoscalerOptions"].keys() <= OF_AUTOSCALER
    assert spec["headGroupSpec"].keys() <= OF_HEAD
    assert [group.keys() - OF_WORKERS for group in groups] == [set()] * len(groups)
    assert spec["autoscalerOptions"]["version"] == "v2"
    assert spec["authOptions"] == {"mode": "token"}
    assert {group["template"]["spec"]["restartPolicy"] for group in groups} == {"Never"}


def test_kuberay_runs_this_ray_and_keeps_what_gcs_server_knows() -> None:
    spec = read("kuberay")["spec"]
    assert spec["rayVersion"] == ray.__version__
    pod = spec["headGroupSpec"]["template"]["spec"]
    (head,) = pod["containers"]
    env = {variable["name"]: variable["value"] for variable in head["env"]}
    places = {mount["mountPath"] for mount in head["volumeMounts"]}
    assert env["RAY_gcs_storage"] == "rocksdb"
    assert env["RAY_gcs_storage_path"] in places
    assert {mount["name"] for mount in head["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}


def test_kuberay_starts_infernet_with_settings_that_it_takes() -> None:
    (head,) = read("kuberay")["spec"]["headGroupSpec"]["template"]["spec"]["containers"]
    env = {variable["name"]: variable["value"] for variable in head["env"]}
    settings = layers.load(FOLDER / "models.example.yaml", env)
    assert settings.database == env["INFERNET_DATABASE"]
    assert is_reference(settings.database)
    assert is_reference(env["INFERNET_ADMIN_KEY"])
    assert settings.server.port in {port["containerPort"] for port in head["ports"]}


@pytest.mark.parametrize("catalogue", CATALOGUES)
@pytest.mark.parametrize("name", WITH_MACHINE_TYPES)
def test_ray_brings_the_machine_that_a_model_is_for(name: str, catalogue: str) -> None:
    """By Ray's own scheduler, for the placement group of one replica."""
    for model in models(catalogue):
        if model.gpus or model.cpus:
            assert launched(name, model) == {intended(model, name): model.machines}


@pytest.mark.parametrize("model", models("models.example"), ids=lambda model: model.id)
def test_without_spot_machines_ray_takes_the_full_price(model: Model) -> None:
    """Ray lowers the availability of what could not be had, and raises it again within half an hour."""
    kind = intended(model, "gcp")
    if kind.endswith("-spot"):
        without = launched("gcp", model, {"gpu1-spot": 0.0, "gpu4-spot": 0.0})
        assert without == {kind.replace("-spot", "-on-demand"): model.machines}


@pytest.mark.parametrize("name", WITH_MACHINE_TYPES)
def test_no_model_is_brought_a_machine_that_is_too_small(name: str) -> None:
    reply = scheduled(name, {"GPU": 8, "CPU": 8}, machines=1)
    assert not reply.to_launch
    assert len(reply.infeasible_gang_resource_requests) == 1


def autoscaling(name: str) -> dict[str, Any]:
    """What Ray's autoscaler makes of the file."""
    if name == "kuberay":
        resource = read(name)
        # Kubernetes fills that in.
        resource["metadata"]["namespace"] = "default"
        return dict(_derive_autoscaling_config_from_ray_cr(resource))
    return dict(prepare_config(read(name)))


def intended(model: Model, name: str) -> str:
    spot = "-spot" if name == "gcp" else ""
    return {0: "cpu", 1: f"gpu1{spot}", 4: f"gpu4{spot}"}[model.gpus]


def launched(name: str, model: Model, availability: Mapping[str, float] | None = None) -> dict[str, int]:
    """The machines that Ray would start for a replica of this model, on a cluster that has none yet."""
    bundle = {"GPU": model.gpus, "CPU": model.cpus}
    reply = scheduled(name, {what: number for what, number in bundle.items() if number}, model.machines, availability)
    return {request.instance_type: request.count for request in reply.to_launch}


def scheduled(
    name: str, bundle: Mapping[str, float], machines: int, availability: Mapping[str, float] | None = None
) -> SchedulingReply:
    # Ray tells its autoscaler so that the bundles of a group are to be on different machines.
    apart = [(ResourceRequestUtil.PlacementConstraintType.ANTI_AFFINITY, "_PG_0a1b", "")] if machines > 1 else None
    config = AutoscalingConfig(autoscaling(name), skip_content_hash=True)
    request = SchedulingRequest(
        disable_launch_config_check=True,
        # The other way round than in the file: of equals, the first would be taken.
        node_type_configs=dict(reversed(config.get_node_type_configs().items())),
        max_num_nodes=config.get_max_num_nodes(),
        gang_resource_requests=[
            GangResourceRequest(requests=[ResourceRequestUtil.make(dict(bundle), apart) for _ in range(machines)])
        ],
        recoverable_resource_availabilities=dict(availability or {}),
    )
    return ResourceDemandScheduler().schedule(request)
