"""The options of serving=ray: what presets give, what wins over them, what is refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from framework_ray_serve import RayServeOptions
from framework_ray_serve.scaling import presets
from framework_ray_serve.scaling.presets import (
    NAMES,
    check_device,
    check_reserved,
    deployment_options,
    idle_gpus,
    service,
)
from framework_ray_serve.stages.services import load_percent
from hydra import compose, initialize_config_dir

from framework.config.config import build_config
from framework.errors import ConfigError
from framework.models.gpus import GpuLoad
from framework.plugins import composition as framework_compose
from framework.plugins.discovery import load_plugins

CONF = Path(__file__).parents[3] / "conf"


def composed(*overrides: str, serving: str = "ray") -> RayServeOptions:
    """By this project's ``conf``."""
    plugins = load_plugins()
    framework_compose.register(plugins)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = build_config(
            compose("config", ["+experiment=xgb_daily", f"serving={serving}", *overrides]), plugins
        )
    options = config.component("serving").options
    assert isinstance(options, RayServeOptions)
    return options


def shown(options: RayServeOptions) -> dict[str, tuple[Any, ...]]:
    chosen = {key: service(options, key) for key in NAMES}
    return {
        key: (c.min_replicas, c.max_replicas, c.num_cpus, c.num_gpus) for key, c in chosen.items()
    }


def test_presets() -> None:
    assert shown(composed()) == {
        "forecast_api": (1, 1, 0.25, 0),
        "feast": (1, 1, 0.25, 0),
        "preprocessing": (1, 1, 0.5, 0),
        "model": (1, 1, 0.5, 0),
    }
    assert (
        shown(composed(serving="ray_production"))
        == shown(composed("serving.preset=production"))
        == {
            "forecast_api": (1, 1, 0.5, 0),
            "feast": (2, 4, 0.5, 0),
            "preprocessing": (2, 4, 1, 0),
            "model": (1, 4, 4, 0),
        }
    )
    gpu = shown(composed("serving.preset=gpu"))
    assert (gpu["preprocessing"], gpu["model"]) == ((2, 4, 2, 0), (1, 4, 1, 1))
    assert shown(composed("serving.preset=production", "serving.topology=fused"))[
        "forecast_api"
    ] == (1, 4, 4, 0)


@pytest.mark.stress
def test_a_gpu_that_nothing_uses_is_named() -> None:
    assert idle_gpus(composed("serving.preset=production")) is None
    assert idle_gpus(composed("serving.preset=gpu")) is None
    assert idle_gpus(composed("serving.preset=gpu", "serving.topology=fused")) is None
    line = idle_gpus(composed("serving.preset=gpu", "serving.device=cpu"))
    assert line is not None
    assert line.startswith(
        "serving.model.num_gpus: a GPU is reserved for each replica and stays idle"
    )
    assert "serving.preprocessing.num_gpus" in str(
        idle_gpus(composed("serving.preset=gpu", "serving.preprocessing.num_gpus=1"))
    )
    assert "serving.arms.candidate.num_gpus" in str(
        idle_gpus(composed("+serving.arms.candidate.num_gpus=1", "serving.device=cpu"))
    )


@pytest.mark.stress
def test_a_gpu_that_no_replica_has_is_refused() -> None:
    check_device(composed("serving.preset=gpu", "serving.device=cuda"))
    check_device(composed("serving.device=auto"))
    with pytest.raises(ConfigError, match=r"serving\.device=cuda: no replica has a GPU; set "):
        check_device(composed("serving.device=cuda"))
    with pytest.raises(ConfigError, match=r"serving\.forecast_api\.num_gpus"):
        check_device(composed("serving.topology=fused", "serving.device=cuda"))


def test_a_gpu_that_this_machine_lacks_is_refused_before_ray_starts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(presets, "count_visible", lambda: 0)
    gpu = composed("serving.preset=gpu")
    with pytest.raises(ConfigError, match=r"serving\.model\.num_gpus=1: no GPU is visible here"):
        check_reserved(gpu)
    check_reserved(composed("serving.preset=production"))
    check_reserved(gpu.model_copy(update={"address": "10.0.0.5:6379"}))
    for count in (1, None):  # one; nobody can say
        monkeypatch.setattr(presets, "count_visible", lambda count=count: count)
        check_reserved(gpu)


def test_autoscaling_follows_the_gpu_and_the_cpus_where_none_is_known() -> None:
    assert load_percent(100.0, GpuLoad("GPU-aa", 35.0, 1, 2)) == 35.0
    assert load_percent(60.0, None) == 60.0
    assert load_percent(60.0, "NVML does not answer here") == 60.0


def test_every_option_of_a_service_reaches_ray_serve() -> None:
    given = {
        "min_replicas": 2,
        "max_replicas": 6,
        "initial_replicas": 3,
        "num_cpus": 1.5,
        "num_gpus": 0.5,
        "memory": 10**9,
        "resources": {"special": 1.0},
        "max_replicas_per_node": 2,
        "max_ongoing_requests": 7,
        "max_queued_requests": 8,
        "target": 60.0,
        "metrics_interval_s": 1.0,
        "look_back_period_s": 9.0,
        "upscale_delay_s": 2.0,
        "downscale_delay_s": 3.0,
        "upscaling_factor": 0.5,
        "downscaling_factor": 0.25,
        "health_check_period_s": 4.0,
        "health_check_timeout_s": 5.0,
        "graceful_shutdown_wait_loop_s": 0.1,
        "graceful_shutdown_timeout_s": 6.0,
    }
    overrides = [
        f"serving.model.{name}={value if name != 'resources' else '{special:1.0}'}"
        for name, value in given.items()
    ]
    found = deployment_options(composed(*overrides), "model")
    scaling = found.pop("autoscaling_config")
    actor = found.pop("ray_actor_options")
    assert actor == {name: given[name] for name in ("num_cpus", "num_gpus", "memory", "resources")}
    policy = scaling.pop("policy")
    assert policy["policy_kwargs"] == {"metric": "load_percent", "target": 60.0}
    assert {**found, **scaling} == {"name": "ModelService"} | {
        name: value for name, value in given.items() if name not in actor and name != "target"
    }
    api = deployment_options(
        composed("serving.forecast_api.max_replicas=3", "serving.forecast_api.target=5"),
        "forecast_api",
    )
    assert api["autoscaling_config"]["target_ongoing_requests"] == 5


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("serving.preset=huge", "serving.preset"),
        ("+serving.feast.replicas=2", "serving.feast.replicas: unknown key"),
        ("serving.feast.num_cpus=-1", "serving.feast.num_cpus"),
        (
            "serving.feast={min_replicas:3,max_replicas:2}",
            "min_replicas is 3, more than the 2 of max_replicas",
        ),
    ],
)
def test_what_cannot_be_is_named(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        composed(override)
