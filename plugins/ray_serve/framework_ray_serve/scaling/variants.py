"""Each variant, a shadow or an alias with a share, has a ModelService of its own, so that it scales
and fails apart from the served pair's.

A key is that of a service's options, such as ``model``; of a variant's ModelService it is ``model
ALIAS``.
"""

from __future__ import annotations

from typing import Any

from framework_ray_serve import RayServeOptions, ServiceOptions
from framework_ray_serve.scaling.presets import NAMES, deployment_options, service


def aliases_of(options: RayServeOptions, reference: str) -> list[str]:
    """The variants of what is served under ``reference``."""
    return [
        alias
        for alias in dict.fromkeys((*options.variants(), *options.shadow.aliases))
        if alias != reference
    ]


def keys_of(options: RayServeOptions, reference: str) -> list[str]:
    """Of all deployments of an application."""
    return (
        ["forecast_api"]
        if options.topology == "fused"
        else [*NAMES, *map(key_of, aliases_of(options, reference))]
    )


def key_of(alias: str) -> str:
    return f"model {alias}"


def name_of(key: str) -> str:
    """The deployment's."""
    stage, _, alias = key.partition(" ")
    return f"{NAMES[stage]}-{alias}" if alias else NAMES[stage]


def options_of(options: RayServeOptions, key: str) -> dict[str, Any]:
    """Return the deployment options in Ray Serve's words."""
    return {**deployment_options(_own(options, key), key.partition(" ")[0]), "name": name_of(key)}


def service_of(options: RayServeOptions, key: str) -> ServiceOptions:
    """All options of the service."""
    return service(_own(options, key), key.partition(" ")[0])


def timeout_of(options: RayServeOptions, key: str) -> float:
    """Seconds that a request waits for the service."""
    return service_of(options, key).timeout_s or 20.0


def _own(options: RayServeOptions, key: str) -> RayServeOptions:
    """With ``arms.ALIAS`` in place of ``model``, where it says something."""
    own = options.arms.get(key.partition(" ")[2])
    if own is None:
        return options
    settings = {name: value for name, value in own.model_dump().items() if value is not None}
    return options.model_copy(update={"model": options.model.model_copy(update=settings)})
