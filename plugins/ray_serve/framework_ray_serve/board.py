"""The dashboard of what Ray itself exports, beside the framework's own metrics."""

from __future__ import annotations

from framework.interfaces.dashboard import Board, Panel

_RATE = "[$__rate_interval]"

RAY = Board(
    "ray",
    "Ray Serve",
    (
        Panel(
            "Healthy replicas by service",
            (("sum by (deployment) (ray_serve_deployment_replica_healthy)", "{{deployment}}"),),
        ),
        Panel(
            "Requests by service",
            (
                (
                    "sum by (deployment) "
                    f"(rate(ray_serve_deployment_request_counter_total{_RATE}))",
                    "{{deployment}}",
                ),
            ),
            "reqps",
        ),
        Panel(
            "Requests that replicas work on",
            (("sum by (deployment) (ray_serve_replica_processing_queries)", "{{deployment}}"),),
        ),
        Panel(
            "Requests that wait for a replica",
            (("sum by (deployment) (ray_serve_deployment_queued_queries)", "{{deployment}}"),),
        ),
        Panel(
            "Milliseconds in a service, p99",
            (
                (
                    "histogram_quantile(0.99, sum by (le, deployment) "
                    f"(rate(ray_serve_deployment_processing_latency_ms_bucket{_RATE})))",
                    "{{deployment}}",
                ),
            ),
        ),
        Panel(
            "Starts of replicas, an hour",
            (
                (
                    "sum by (deployment) (increase(ray_serve_deployment_replica_starts_total[1h]))",
                    "{{deployment}}",
                ),
            ),
        ),
        Panel("CPU of the nodes", (("ray_node_cpu_utilization", "{{ip}}"),), "percent"),
        Panel("Memory of the nodes", (("ray_node_mem_used", "{{ip}}"),), "bytes"),
        Panel(
            "GPUs of the nodes", (("ray_node_gpus_utilization", "{{ip}} {{GpuIndex}}"),), "percent"
        ),
        Panel("Object store", (("sum(ray_object_store_memory)", "bytes"),), "bytes"),
    ),
)
