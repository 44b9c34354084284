"""The files of a dry run: the first is checked by Ray's own schema, the second by its structure."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from framework_ray_serve import RayServeOptions
from framework_ray_serve.manifests import write
from ray.serve.schema import ServeDeploySchema

from framework.testing.serving import make_deployment


@pytest.mark.parametrize("preset", ["laptop", "production", "gpu"])
def test_a_dry_run_writes_what_serve_deploy_and_kuberay_take(tmp_path: Path, preset: str) -> None:
    options = RayServeOptions.model_validate({"address": None, "num_cpus": 2, "dashboard": False, "preset": preset})
    files = write(make_deployment(tmp_path), "name: fake\n", options)
    config = ServeDeploySchema.model_validate(yaml.safe_load(files["serve_config"].read_text()))
    assert [d.name for d in config.applications[0].deployments] == ["ForecastAPI", "FeastService", "PreprocessingService", "ModelService"]
    manifest = yaml.safe_load(files["ray_service"].read_text())
    assert (manifest["apiVersion"], manifest["kind"]) == ("ray.io/v1", "RayService")
    assert yaml.safe_load(manifest["spec"]["serveConfigV2"]) == yaml.safe_load(files["serve_config"].read_text())
    workers = manifest["spec"]["rayClusterConfig"]["workerGroupSpecs"][0]
    assert 1 <= workers["minReplicas"] <= workers["maxReplicas"]
    limits = workers["template"]["spec"]["containers"][0]["resources"]["limits"]
    assert ("nvidia.com/gpu" in limits) == (preset == "gpu")
    assert files["serve_config"].stat().st_mode & 0o077 == 0
