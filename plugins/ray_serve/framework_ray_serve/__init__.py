"""``serving=ray``: Ray Serve."""

from __future__ import annotations

from typing import Literal

from framework_ray.options import RAY, shared
from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from framework.interfaces.dashboard import Board
from framework.interfaces.plugin import Component, Section, hookimpl
from framework.options import Options
from framework.serving.options import ServingOptions


class ServiceOptions(Options):
    """One service; null: as the preset says. Names are those of Ray Serve.

    ``target``: what autoscaling holds, between ``min_replicas`` and ``max_replicas`` (equal: no
    autoscaling): ongoing requests of a replica for ForecastAPI, milliseconds of a read for
    FeastService, per cent of its CPUs for PreprocessingService and ModelService, per cent of the
    GPU for a ModelService that forecasts on one (by NVML). It is the mean over
    ``look_back_period_s`` of what replicas report every ``metrics_interval_s``; the number changes
    when it has been wrong for ``upscale_delay_s`` or ``downscale_delay_s``, by the factors of the
    change that is called for. ``timeout_s``: how long a request waits for the service before it is
    503. ``memory``: bytes. ``resources``: custom resources of the cluster.
    """

    min_replicas: PositiveInt | None = None
    max_replicas: PositiveInt | None = None
    initial_replicas: PositiveInt | None = None
    num_cpus: NonNegativeFloat | None = None
    num_gpus: NonNegativeFloat | None = None
    memory: PositiveInt | None = None
    resources: dict[str, PositiveFloat] | None = None
    max_replicas_per_node: PositiveInt | None = None
    max_ongoing_requests: PositiveInt | None = None
    max_queued_requests: PositiveInt | None = None
    target: PositiveFloat | None = None
    metrics_interval_s: PositiveFloat | None = None
    look_back_period_s: PositiveFloat | None = None
    upscale_delay_s: NonNegativeFloat | None = None
    downscale_delay_s: NonNegativeFloat | None = None
    upscaling_factor: PositiveFloat | None = None
    downscaling_factor: PositiveFloat | None = None
    health_check_period_s: PositiveFloat | None = None
    health_check_timeout_s: PositiveFloat | None = None
    graceful_shutdown_wait_loop_s: PositiveFloat | None = None
    graceful_shutdown_timeout_s: PositiveFloat | None = None
    timeout_s: PositiveFloat | None = None

    @model_validator(mode="after")
    def _orders(self) -> ServiceOptions:
        for low, high in (
            ("min_replicas", "max_replicas"),
            ("min_replicas", "initial_replicas"),
            ("initial_replicas", "max_replicas"),
        ):
            least, most = getattr(self, low), getattr(self, high)
            if least is not None and most is not None and least > most:
                raise ValueError(f"{low} is {least}, more than the {most} of {high}")
        return self


class RayServeOptions(ServingOptions):
    """``preset``: ``laptop`` (2 cores are enough), ``production``, ``gpu`` (ModelService
    forecasts on a GPU of its own); each service's own options win.

    Each variant (an alias of ``split``, ``canary`` or ``shadow``) has a ModelService of its own
    with the options of ``model``; ``arms`` gives others by alias. ``topology: fused`` runs all
    stages in ForecastAPI. ``chunk``: windows of a large request that are worked on as one piece,
    pieces at once. ``app``: the name of the Serve application, null for the pair's;
    ``route_prefix``: where it is below the address. ``address``, ``num_cpus``, ``dashboard`` and
    ``ray_open`` (its ``open``): see the section ``ray``; ``host``, ``port`` (0 for any that is
    free), ``object_store_memory`` (bytes), ``metrics_port`` (of Ray's own metrics) and
    ``throughput_optimized`` are of a Ray that is started here. ``start_timeout_s``: until all
    services run. ``dry_run``: write the Serve config file and the KubeRay manifest, for ``image``,
    instead of serving. ``forecast_api``, ``feast``, ``preprocessing``: the resources of each
    service.
    """

    preset: Literal["laptop", "production", "gpu"] = "laptop"
    topology: Literal["separate", "fused"] = "separate"
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    app: str | None = None
    route_prefix: str = Field(default="/", pattern="^/")
    forecast_api: ServiceOptions = ServiceOptions()
    feast: ServiceOptions = ServiceOptions()
    preprocessing: ServiceOptions = ServiceOptions()
    model: ServiceOptions = ServiceOptions()
    arms: dict[str, ServiceOptions] = Field(default_factory=dict)
    chunk: PositiveInt = 2048
    address: str | None = shared("address")
    num_cpus: PositiveInt | None = shared("num_cpus")
    dashboard: bool = shared("dashboard")
    ray_open: bool = shared("open")
    object_store_memory: PositiveInt | None = None
    metrics_port: NonNegativeInt | None = None
    throughput_optimized: bool = True
    start_timeout_s: PositiveFloat = 300.0
    dry_run: bool = False
    image: str = "framework:latest"


@hookimpl
def sections() -> list[Section]:
    return [RAY]


@hookimpl
def components() -> list[Component]:
    return [
        Component(
            "serving",
            "ray",
            "framework_ray_serve.backend:RayServeBackend",
            RayServeOptions,
            "Ray Serve, four services",
        )
    ]


@hookimpl
def boards() -> list[Board]:
    from framework_ray_serve.board import RAY

    return [RAY]
