"""The values that the options leave to the preset, and their names in Ray Serve."""

from __future__ import annotations

from typing import Any

from framework.data.vocabulary import CPU
from framework.errors import ConfigError
from framework.models.gpus import count_visible
from framework.serving.pipeline.pipeline import TOGETHER
from framework_ray_serve import RayServeOptions, ServiceOptions

#: The services as they are called in Ray Serve, by the key of their options.
NAMES = {
    "forecast_api": "ForecastAPI",
    "feast": "FeastService",
    "preprocessing": "PreprocessingService",
    "model": "ModelService",
}

#: The service whose replicas forecast, by topology.
MODEL_OF = {"separate": "model", "fused": "forecast_api"}

#: What FeastService, PreprocessingService and ModelService report, and their autoscaling follows.
METRICS = {"feast": "latency_ms", "preprocessing": "cpu_percent", "model": "load_percent"}

_ALL: dict[str, Any] = {
    "min_replicas": 1,
    "max_replicas": 1,
    "num_gpus": 0.0,
    "max_ongoing_requests": 64,
    "max_queued_requests": 64,
    "metrics_interval_s": 10.0,
    "look_back_period_s": 30.0,
    "upscale_delay_s": 30.0,
    "downscale_delay_s": 600.0,
    "health_check_period_s": 0.5,
    "health_check_timeout_s": 1.0,  # Ray gives a replica up after three of them, one after another
    "graceful_shutdown_wait_loop_s": 0.2,
    "graceful_shutdown_timeout_s": 30.0,
    "timeout_s": 20.0,
}
_EACH: dict[str, dict[str, Any]] = {
    "forecast_api": {"target": 32.0, "max_ongoing_requests": 512, "max_queued_requests": 512},
    "feast": {"target": 50.0},
    "preprocessing": {"target": 70.0},
    "model": {"target": 80.0},
}
_PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "laptop": {
        "forecast_api": {"num_cpus": 0.25},
        "feast": {"num_cpus": 0.25},
        "preprocessing": {"num_cpus": 0.5},
        "model": {"num_cpus": 0.5},
    },
    "production": {
        "forecast_api": {"num_cpus": 0.5},
        "feast": {"num_cpus": 0.5, "min_replicas": 2, "max_replicas": 4},
        "preprocessing": {"num_cpus": 1.0, "min_replicas": 2, "max_replicas": 4},
        "model": {"num_cpus": 4.0, "max_replicas": 4},
    },
    "gpu": {
        "forecast_api": {"num_cpus": 0.5},
        "feast": {"num_cpus": 0.5, "min_replicas": 2, "max_replicas": 4},
        "preprocessing": {"num_cpus": 2.0, "min_replicas": 2, "max_replicas": 4},
        "model": {"num_cpus": 1.0, "num_gpus": 1.0, "max_replicas": 4},
    },
}
#: Seconds that ModelService waits for requests to answer together: where a call costs the same for
#: one and for many.
_WAITS = {"gpu": 0.005}


def service(options: RayServeOptions, key: str) -> ServiceOptions:
    """All options of a service: its own, else the preset's."""
    settings = {
        name: value
        for name, value in getattr(options, key).model_dump().items()
        if value is not None
    }
    preset = _PRESETS[options.preset][key]
    if options.topology == "fused":  # its replicas do the model's work
        preset = {**preset, **_PRESETS[options.preset]["model"]}
    values = {**_ALL, **_EACH[key], **preset, **settings}
    if "max_replicas" not in settings:
        values["max_replicas"] = max(
            values["min_replicas"], values["max_replicas"], settings.get("initial_replicas", 1)
        )
    if "min_replicas" not in settings:
        values["min_replicas"] = min(
            values["min_replicas"],
            values["max_replicas"],
            settings.get("initial_replicas", values["min_replicas"]),
        )
    return ServiceOptions(**values)


def check_device(options: RayServeOptions) -> None:
    """Raise :class:`ConfigError` when forecasts are to be made on a GPU that no replica has."""
    key = MODEL_OF[options.topology]
    if str(options.device).startswith("cuda") and not service(options, key).num_gpus:
        raise ConfigError(
            f"serving.device={options.device}: no replica has a GPU; set "
            f"serving.{key}.num_gpus, or serving.preset=gpu."
        )


def check_reserved(options: RayServeOptions) -> None:
    """Raise :class:`ConfigError` when a service reserves a GPU in a Ray that is started here, and
    this machine has none.
    """
    if options.address is not None or count_visible() != 0:
        return
    keys = NAMES if options.topology == "separate" else [MODEL_OF[options.topology]]
    for key in keys:
        reserved = service(options, key).num_gpus
        if reserved:
            raise ConfigError(
                f"serving.{key}.num_gpus={reserved:g}: no GPU is visible here (driver, "
                "CUDA_VISIBLE_DEVICES); use another serving.preset or 0, or set ray.address to a "
                "cluster that has one."
            )


def idle_gpus(options: RayServeOptions) -> str | None:
    """Name, in one line, the services that reserve a GPU on which nothing forecasts; None when
    none does.
    """
    separate = options.topology == "separate"
    computing = None if options.device == CPU else MODEL_OF[options.topology]
    keys = NAMES if separate else [MODEL_OF[options.topology]]
    holders = [key for key in keys if key != computing and service(options, key).num_gpus]
    if separate and computing is None and "model" not in holders:
        holders += [f"arms.{alias}" for alias, own in options.arms.items() if own.num_gpus]
    if not holders:
        return None
    names = ", ".join(f"serving.{key}.num_gpus" for key in holders)
    return (
        f"{names}: a GPU is reserved for each replica and stays idle: nothing forecasts there; "
        "set num_gpus to 0."
    )


def batch(options: RayServeOptions) -> tuple[int, float]:
    """Windows that ModelService forecasts in one call, and seconds."""
    batch_options = options.batch
    return batch_options.size or TOGETHER, _WAITS.get(
        options.preset, 0.0
    ) if batch_options.wait_s is None else batch_options.wait_s


def deployment_options(options: RayServeOptions, key: str) -> dict[str, Any]:
    """Make the deployment options of a service in Ray Serve's words.

    They are plain values, as a Serve config file has them.
    """
    settings = service(options, key)
    actor: dict[str, Any] = {"num_cpus": settings.num_cpus, "num_gpus": settings.num_gpus}
    if settings.memory is not None:
        actor["memory"] = settings.memory
    if settings.resources:
        actor["resources"] = dict(settings.resources)
    body: dict[str, Any] = {
        "name": NAMES[key],
        "ray_actor_options": actor,
        "max_ongoing_requests": settings.max_ongoing_requests,
        "max_queued_requests": settings.max_queued_requests,
        "health_check_period_s": settings.health_check_period_s,
        "health_check_timeout_s": settings.health_check_timeout_s,
        "graceful_shutdown_wait_loop_s": settings.graceful_shutdown_wait_loop_s,
        "graceful_shutdown_timeout_s": settings.graceful_shutdown_timeout_s,
    }
    if settings.max_replicas_per_node is not None:
        body["max_replicas_per_node"] = settings.max_replicas_per_node
    if settings.min_replicas == settings.max_replicas:
        return {**body, "num_replicas": settings.min_replicas}
    scaling: dict[str, Any] = {
        "min_replicas": settings.min_replicas,
        "max_replicas": settings.max_replicas,
        "metrics_interval_s": settings.metrics_interval_s,
        "look_back_period_s": settings.look_back_period_s,
        "upscale_delay_s": settings.upscale_delay_s,
        "downscale_delay_s": settings.downscale_delay_s,
    }
    for name in ("initial_replicas", "upscaling_factor", "downscaling_factor"):
        if getattr(settings, name) is not None:
            scaling[name] = getattr(settings, name)
    if key in METRICS:
        policy = {"metric": METRICS[key], "target": settings.target}
        scaling["policy"] = {
            "policy_function": "framework_ray_serve.policies:Holding",
            "policy_kwargs": policy,
        }
    else:
        scaling["target_ongoing_requests"] = settings.target
    return {**body, "autoscaling_config": scaling}
