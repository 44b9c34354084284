"""The deployment as files: for ``serve deploy``, and for KubeRay."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ray
import yaml
from ray.serve.schema import ServeDeploySchema

from framework.serving.deployment import Deployment
from framework_ray_serve import RayServeOptions
from framework_ray_serve.presets import NAMES, deployment_options, service

#: Resources of a KubeRay worker beyond the replicas', for Ray itself.
_GIGABYTES_OF_A_CPU = 4


def write(deployment: Deployment, config: str, options: RayServeOptions) -> dict[str, Path]:
    """``serve_config`` and ``ray_service`` below ``paths.state``; only their owner may read them: a configuration may hold a password."""
    folder = deployment.state / "serving" / deployment.name
    folder.mkdir(parents=True, exist_ok=True)
    described = serve_config(deployment, config, options)
    files = {
        "serve_config": (folder / "serve.yaml", described),
        "ray_service": (folder / "rayservice.yaml", ray_service(described, options)),
    }
    for path, content in files.values():
        path.touch(mode=0o600)
        path.write_text(_Dumper.text(content))
    return {name: path for name, (path, _) in files.items()}


def serve_config(deployment: Deployment, config: str, options: RayServeOptions) -> dict[str, Any]:
    """What ``serve deploy`` takes. Checked by Ray's own schema."""
    keys = ["forecast_api"] if options.topology == "fused" else list(NAMES)
    found = {
        "proxy_location": "EveryNode",
        "http_options": {"host": "0.0.0.0", "port": options.port},  # noqa: S104  within the cluster; the keys guard it
        "logging_config": {"log_level": "WARNING", "enable_access_log": False},
        "applications": [
            {
                "name": options.app or deployment.name,
                "route_prefix": options.route_prefix,
                "import_path": "framework_ray_serve.application:build",
                "args": {"reference": deployment.reference, "config": config},
                "deployments": [deployment_options(options, key) for key in keys],
            }
        ],
    }
    ServeDeploySchema.model_validate(found)
    return found


def ray_service(described: dict[str, Any], options: RayServeOptions) -> dict[str, Any]:
    """A RayService for KubeRay: a head without replicas, workers that hold what the services may grow to."""
    keys = ["forecast_api"] if options.topology == "fused" else list(NAMES)
    chosen = [service(options, key) for key in keys]
    cpus = max(1, round(max(its.num_cpus or 0 for its in chosen) + 0.5))
    gpus = max(its.num_gpus or 0 for its in chosen)
    needed = [sum((its.num_cpus or 0) * (count or 1) for its, count in counts) for counts in _counts(chosen)]
    limits: dict[str, Any] = {"cpu": str(cpus), "memory": f"{cpus * _GIGABYTES_OF_A_CPU}Gi"}
    if gpus:
        limits["nvidia.com/gpu"] = str(max(1, round(gpus)))
    ports = [6379, 8265, described["http_options"]["port"]]
    low, high = (max(1, -(-int(value * 100) // (cpus * 100))) for value in needed)
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayService",
        "metadata": {"name": described["applications"][0]["name"].lower().replace("_", "-").replace(".", "-")},
        "spec": {
            "serveConfigV2": _Dumper.text(described),
            "rayClusterConfig": {
                "rayVersion": ray.__version__,
                "enableInTreeAutoscaling": low != high,
                "headGroupSpec": {
                    "rayStartParams": {"num-cpus": "0", "dashboard-host": "0.0.0.0"},  # noqa: S104  KubeRay asks the dashboard
                    "template": _pod("ray-head", options.image, {"cpu": "1", "memory": "4Gi"}, ports),
                },
                "workerGroupSpecs": [
                    {
                        "groupName": "services",
                        "replicas": low,
                        "minReplicas": low,
                        "maxReplicas": high,
                        "rayStartParams": {},
                        "template": _pod("ray-worker", options.image, limits, []),
                    }
                ],
            },
        },
    }


def _counts(chosen: list[Any]) -> tuple[list[tuple[Any, int | None]], list[tuple[Any, int | None]]]:
    return [(its, its.min_replicas) for its in chosen], [(its, its.max_replicas) for its in chosen]


def _pod(name: str, image: str, limits: dict[str, Any], ports: list[int]) -> dict[str, Any]:
    container: dict[str, Any] = {"name": name, "image": image, "resources": {"limits": limits, "requests": limits}}
    if ports:
        container["ports"] = [{"containerPort": port} for port in ports]
    return {"spec": {"containers": [container]}}


class _Dumper(yaml.SafeDumper):
    """Texts of several lines as blocks, so that they can be read and edited."""

    @classmethod
    def text(cls, content: Any) -> str:
        return yaml.dump(content, Dumper=cls, sort_keys=False, width=140)


def _block(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _block)
