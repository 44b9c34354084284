"""The files of a dry run: the first is checked by Ray's own schema, the second by its structure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import ray
import yaml
from framework_ray_serve import RayServeOptions
from framework_ray_serve.cluster.manifests import write
from ray.serve.schema import ServeDeploySchema

from framework.errors import ConfigError
from framework.testing.servers.fake_server import make_deployment

SERVICES = ["ForecastAPI", "FeastService", "PreprocessingService", "ModelService"]


def written(folder: Path, **given: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The Serve file, which Ray's schema takes, and the manifest."""
    options = RayServeOptions.model_validate(
        {"address": None, "num_cpus": 2, "dashboard": False, **given}
    )
    files = write(make_deployment(folder), "name: fake\n", options)
    assert all(file.stat().st_mode & 0o077 == 0 for file in files.values())
    config, manifest = (
        yaml.safe_load(files[name].read_text()) for name in ("serve_config", "ray_service")
    )
    ServeDeploySchema.model_validate(config)
    return config, manifest


def names(config: dict[str, Any]) -> list[str]:
    return [deployment["name"] for deployment in config["applications"][0]["deployments"]]


@pytest.mark.parametrize("preset", ["laptop", "production", "gpu"])
def test_a_dry_run_writes_what_serve_deploy_and_kuberay_take(tmp_path: Path, preset: str) -> None:
    config, manifest = written(tmp_path, preset=preset)
    assert names(config) == SERVICES
    assert config["http_options"] == {"host": "127.0.0.1", "port": 8000}
    assert (manifest["apiVersion"], manifest["kind"], manifest["metadata"]) == (
        "ray.io/v1",
        "RayService",
        {"name": "fake"},
    )
    inside = yaml.safe_load(manifest["spec"]["serveConfigV2"])
    ServeDeploySchema.model_validate(inside)
    assert inside == {**config, "http_options": {"host": "0.0.0.0", "port": 8000}}
    cluster = manifest["spec"]["rayClusterConfig"]
    assert cluster["rayVersion"] == ray.__version__
    head, (workers,) = cluster["headGroupSpec"], cluster["workerGroupSpecs"]
    assert {
        "groupName",
        "replicas",
        "minReplicas",
        "maxReplicas",
        "rayStartParams",
        "template",
    } == set(workers)
    assert 1 <= workers["minReplicas"] <= workers["maxReplicas"]
    assert cluster["enableInTreeAutoscaling"] == (workers["minReplicas"] < workers["maxReplicas"])
    for group in (head, workers):
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())
        (container,) = group["template"]["spec"]["containers"]
        assert {"name": "RAY_SERVE_THROUGHPUT_OPTIMIZED", "value": "1"} in container["env"]
        assert container["image"] == "framework:latest"
        assert container["resources"]["limits"] == container["resources"]["requests"]
    limits = workers["template"]["spec"]["containers"][0]["resources"]["limits"]
    assert ("nvidia.com/gpu" in limits) == (preset == "gpu")
    assert int(limits["cpu"]) >= max(
        d["ray_actor_options"]["num_cpus"] for d in config["applications"][0]["deployments"]
    )


def test_every_deployment_of_the_application_is_in_the_file(tmp_path: Path) -> None:
    config, manifest = written(
        tmp_path, split={"candidate": 10}, app="3 Shops_A", throughput_optimized=False
    )
    assert names(config) == [*SERVICES, "ModelService-candidate"]
    assert manifest["metadata"]["name"] == "shops-a"
    assert "RAY_SERVE_THROUGHPUT_OPTIMIZED" not in str(manifest)
    assert names(written(tmp_path, topology="fused")[0]) == ["ForecastAPI"]


def test_a_file_says_where_it_is_reached(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"serving\.port=0"):
        written(tmp_path, port=0)
