"""The deployment as files: for ``serve deploy``, and for KubeRay."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import ray
import yaml
from ray.serve.schema import ServeDeploySchema

from framework.errors import ConfigError
from framework.secrets import variables
from framework.serving.deployment import Deployment
from framework_ray_serve import RayServeOptions
from framework_ray_serve.cluster.cluster import environment
from framework_ray_serve.scaling.variants import keys_of, options_of, service_of

#: Resources of a KubeRay worker beyond the replicas', for Ray itself.
_GIGABYTES_OF_A_CPU = 4


def write(deployment: Deployment, config: str, options: RayServeOptions) -> dict[str, Path]:
    """``serve_config`` and ``ray_service`` below ``paths.state``; only their owner may read them.
    Secrets are named, not copied.
    """
    folder = deployment.state / "serving" / deployment.name
    folder.mkdir(parents=True, exist_ok=True)
    body = serve_config(deployment, config, options)
    files = {
        "serve_config": (folder / "serve.yaml", body),
        "ray_service": (
            folder / "rayservice.yaml",
            ray_service(body, deployment.reference, options),
        ),
    }
    for path, content in files.values():
        path.touch(mode=0o600)
        path.write_text(_Dumper.text(content))
    return {name: path for name, (path, _) in files.items()}


def serve_config(deployment: Deployment, config: str, options: RayServeOptions) -> dict[str, Any]:
    """Make the file for ``serve deploy``, checked by Ray's own schema.

    Raises :class:`ConfigError` for a setting that a file cannot hold.
    """
    if options.port == 0:
        raise ConfigError(
            "serving.port=0: a file for a cluster needs the port on which it is reached."
        )
    keys = keys_of(options, deployment.reference)
    body = {
        "proxy_location": "EveryNode",
        "http_options": {"host": options.host, "port": options.port},
        "logging_config": {"log_level": "WARNING", "enable_access_log": False},
        "applications": [
            {
                "name": options.app or deployment.name,
                "route_prefix": options.route_prefix,
                "import_path": "framework_ray_serve.application:build",
                "args": {"reference": deployment.reference, "config": config},
                "deployments": [options_of(options, key) for key in keys],
            }
        ],
    }
    ServeDeploySchema.model_validate(body)
    return body


def ray_service(body: dict[str, Any], reference: str, options: RayServeOptions) -> dict[str, Any]:
    """A RayService for KubeRay: a head without replicas, workers that hold what the services may
    grow to.

    What the configuration takes from the environment, the pods take from the Kubernetes secret of
    the service's name.

    Its proxies listen to the whole cluster, as Kubernetes' Service and probes need: what may ask is
    said by ``access``.
    """
    body = {**body, "http_options": {**body["http_options"], "host": "0.0.0.0"}}  # noqa: S104
    services = [service_of(options, key) for key in keys_of(options, reference)]
    cpus = max(1, round(max(service.num_cpus or 0 for service in services) + 0.5))
    gpus = max(service.num_gpus or 0 for service in services)
    cpu_counts = [
        sum((service.num_cpus or 0) * (count or 1) for service, count in counts)
        for counts in _counts(services)
    ]
    name, config = (
        _label(body["applications"][0]["name"]),
        body["applications"][0]["args"]["config"],
    )
    secret = [
        {
            "name": variable,
            "valueFrom": {"secretKeyRef": {"name": name, "key": variable, "optional": True}},
        }
        for variable in variables(config)
    ]
    limits: dict[str, Any] = {"cpu": str(cpus), "memory": f"{cpus * _GIGABYTES_OF_A_CPU}Gi"}
    if gpus:
        limits["nvidia.com/gpu"] = str(max(1, round(gpus)))
    ports = [6379, 8265, body["http_options"]["port"]]
    low, high = (max(1, -(-int(value * 100) // (cpus * 100))) for value in cpu_counts)
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayService",
        "metadata": {"name": name},
        "spec": {
            "serveConfigV2": _Dumper.text(body),
            "rayClusterConfig": {
                "rayVersion": ray.__version__,
                "enableInTreeAutoscaling": low != high,
                "headGroupSpec": {
                    "rayStartParams": {"num-cpus": "0", "dashboard-host": "0.0.0.0"},  # noqa: S104  KubeRay asks the dashboard
                    "template": _pod(
                        "ray-head", options, {"cpu": "1", "memory": "4Gi"}, ports, secret
                    ),
                },
                "workerGroupSpecs": [
                    {
                        "groupName": "services",
                        "replicas": low,
                        "minReplicas": low,
                        "maxReplicas": high,
                        "rayStartParams": {},
                        "template": _pod("ray-worker", options, limits, [], secret),
                    }
                ],
            },
        },
    }


def _label(name: str) -> str:
    """A name as Kubernetes takes them: short, in small letters, the first of them none of a
    number.
    """
    return (
        re.sub(r"^[^a-z]+", "", re.sub(r"[^a-z0-9]+", "-", name.lower()))[:40].rstrip("-")
        or "forecasts"
    )


def _counts(
    services: list[Any],
) -> tuple[list[tuple[Any, int | None]], list[tuple[Any, int | None]]]:
    return [(service, service.min_replicas) for service in services], [
        (service, service.max_replicas) for service in services
    ]


def _pod(
    name: str,
    options: RayServeOptions,
    limits: dict[str, Any],
    ports: list[int],
    secret: list[dict[str, Any]],
) -> dict[str, Any]:
    plain = [{"name": variable, "value": value} for variable, value in environment(options).items()]
    container: dict[str, Any] = {
        "name": name,
        "image": options.image,
        "env": [*plain, *secret],
        "resources": {"limits": limits, "requests": limits},
    }
    if ports:
        container["ports"] = [{"containerPort": port} for port in ports]
    return {"spec": {"containers": [container]}}


class _Dumper(yaml.SafeDumper):
    """Texts of several lines as blocks, so that they can be read and edited."""

    @classmethod
    def text(cls, content: Any) -> str:
        return yaml.dump(content, Dumper=cls, sort_keys=False, width=140)


def _block(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar(
        "tag:yaml.org,2002:str", text, style="|" if "\n" in text else None
    )


_Dumper.add_representer(str, _block)
