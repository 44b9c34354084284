"""The application: four deployments and one more for each variant, or one. ``serve deploy`` builds
it by :func:`build`.
"""

from __future__ import annotations

from typing import Any

from ray import serve
from ray.serve import Application

from framework.plugins.components import rebuild
from framework.serving.deployment import Deployment
from framework_ray_serve import RayServeOptions
from framework_ray_serve.ingress.api import ForecastAPI
from framework_ray_serve.scaling.variants import aliases_of, key_of, options_of
from framework_ray_serve.stages.services import FeastService, ModelService, PreprocessingService


def make(deployment: Deployment, options: RayServeOptions) -> Application:
    def bound(target: type[Any], key: str, *arguments: Any, **handles: Application) -> Application:
        return serve.deployment(target, **options_of(options, key)).bind(
            deployment, options, *arguments, **handles
        )

    if options.topology == "fused":
        return bound(ForecastAPI, "forecast_api")
    variants = aliases_of(options, deployment.reference)
    aliases = [deployment.reference, *variants]
    stages = {
        "feast": bound(FeastService, "feast", aliases),
        "preprocessing": bound(PreprocessingService, "preprocessing", aliases),
        "model": bound(ModelService, "model", [deployment.reference]),
        **{key_of(alias): bound(ModelService, key_of(alias), [alias]) for alias in variants},
    }
    return bound(ForecastAPI, "forecast_api", **stages)


def build(args: dict[str, Any]) -> Application:
    """``config``: a composed configuration as text. ``reference``: the alias or number of the pair
    that is served.
    """
    parts = rebuild(args["config"])
    config = parts.config
    options = config.component("serving").options
    assert isinstance(options, RayServeOptions)
    retrieval = config.component("retrieval").name
    return make(
        Deployment(
            parts, config.name, args["reference"], config.features, retrieval, config.paths.state
        ),
        options,
    )
