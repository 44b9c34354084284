"""The application: four deployments, or one. ``serve deploy`` builds it by :func:`build`."""

from __future__ import annotations

from typing import Any

from omegaconf import OmegaConf
from ray import serve
from ray.serve import Application

from framework.components import Components, installed
from framework.config import build_config
from framework.serving.deployment import Deployment
from framework_ray_serve import RayServeOptions
from framework_ray_serve.api import ForecastAPI
from framework_ray_serve.presets import deployment_options
from framework_ray_serve.services import FeastService, ModelService, PreprocessingService

_STAGES = {"feast": FeastService, "preprocessing": PreprocessingService, "model": ModelService}


def make(deployment: Deployment, options: RayServeOptions) -> Application:
    def bound(target: type[Any], key: str, **handles: Application) -> Application:
        return serve.deployment(target, **deployment_options(options, key)).bind(deployment, options, **handles)

    stages = {} if options.topology == "fused" else {key: bound(target, key) for key, target in _STAGES.items()}
    return bound(ForecastAPI, "forecast_api", **stages)


def build(args: dict[str, Any]) -> Application:
    """``config``: a composed configuration as text. ``reference``: the alias or number of the pair that is served."""
    config = build_config(OmegaConf.create(args["config"]), installed())
    options = config.component("serving").options
    assert isinstance(options, RayServeOptions)
    retrieval = config.component("retrieval").name
    parts = Components(config, installed())
    return make(Deployment(parts, config.name, args["reference"], config.features, retrieval, config.paths.state), options)
