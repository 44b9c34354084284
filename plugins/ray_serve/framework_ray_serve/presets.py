"""The values that the options leave to the preset, and their names in Ray Serve."""

from __future__ import annotations

from typing import Any

from framework.serving.pipeline.pipeline import TOGETHER
from framework_ray_serve import RayServeOptions, ServiceOptions

#: The services as they are called in Ray Serve, by the key of their options.
NAMES = {
    "forecast_api": "ForecastAPI",
    "feast": "FeastService",
    "preprocessing": "PreprocessingService",
    "model": "ModelService",
}

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
    "health_check_period_s": 2.0,
    "health_check_timeout_s": 30.0,
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
    given = {
        name: value
        for name, value in getattr(options, key).model_dump().items()
        if value is not None
    }
    preset = _PRESETS[options.preset][key]
    if options.topology == "fused":  # its replicas do the model's work
        preset = {**preset, **_PRESETS[options.preset]["model"]}
    merged = {**_ALL, **_EACH[key], **preset, **given}
    if "max_replicas" not in given:
        merged["max_replicas"] = max(
            merged["min_replicas"], merged["max_replicas"], given.get("initial_replicas", 1)
        )
    if "min_replicas" not in given:
        merged["min_replicas"] = min(
            merged["min_replicas"],
            merged["max_replicas"],
            given.get("initial_replicas", merged["min_replicas"]),
        )
    return ServiceOptions(**merged)


def idle_gpus(options: RayServeOptions) -> str | None:
    """One line naming the services that reserve a GPU, on which no bundled model forecasts; None
    when none does.
    """
    holders = [key for key in NAMES if service(options, key).num_gpus]
    holders += [
        f"arms.{alias}"
        for alias, given in options.arms.items()
        if given.num_gpus and "model" not in holders
    ]
    if not holders:
        return None
    names = ", ".join(f"serving.{key}.num_gpus" for key in holders)
    return (
        f"{names}: a GPU is reserved for each replica and stays idle: the bundled models "
        "forecast on the CPU; set num_gpus to 0."
    )


def batch(options: RayServeOptions) -> tuple[int, float]:
    """Windows that ModelService forecasts in one call, and seconds."""
    given = options.batch
    return given.size or TOGETHER, _WAITS.get(
        options.preset, 0.0
    ) if given.wait_s is None else given.wait_s


def deployment_options(options: RayServeOptions, key: str) -> dict[str, Any]:
    """Make the deployment options of a service in Ray Serve's words.

    They are plain values, as a Serve config file has them.
    """
    chosen = service(options, key)
    actor: dict[str, Any] = {"num_cpus": chosen.num_cpus, "num_gpus": chosen.num_gpus}
    if chosen.memory is not None:
        actor["memory"] = chosen.memory
    if chosen.resources:
        actor["resources"] = dict(chosen.resources)
    found: dict[str, Any] = {
        "name": NAMES[key],
        "ray_actor_options": actor,
        "max_ongoing_requests": chosen.max_ongoing_requests,
        "max_queued_requests": chosen.max_queued_requests,
        "health_check_period_s": chosen.health_check_period_s,
        "health_check_timeout_s": chosen.health_check_timeout_s,
        "graceful_shutdown_wait_loop_s": chosen.graceful_shutdown_wait_loop_s,
        "graceful_shutdown_timeout_s": chosen.graceful_shutdown_timeout_s,
    }
    if chosen.max_replicas_per_node is not None:
        found["max_replicas_per_node"] = chosen.max_replicas_per_node
    if chosen.min_replicas == chosen.max_replicas:
        return {**found, "num_replicas": chosen.min_replicas}
    scaling: dict[str, Any] = {
        "min_replicas": chosen.min_replicas,
        "max_replicas": chosen.max_replicas,
        "metrics_interval_s": chosen.metrics_interval_s,
        "look_back_period_s": chosen.look_back_period_s,
        "upscale_delay_s": chosen.upscale_delay_s,
        "downscale_delay_s": chosen.downscale_delay_s,
    }
    for name in ("initial_replicas", "upscaling_factor", "downscaling_factor"):
        if getattr(chosen, name) is not None:
            scaling[name] = getattr(chosen, name)
    if key in METRICS:
        policy = {"metric": METRICS[key], "target": chosen.target}
        scaling["policy"] = {
            "policy_function": "framework_ray_serve.policies:Holding",
            "policy_kwargs": policy,
        }
    else:
        scaling["target_ongoing_requests"] = chosen.target
    return {**found, "autoscaling_config": scaling}
