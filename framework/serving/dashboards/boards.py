"""The core's dashboards: serving, pairs, features, monitoring."""

from __future__ import annotations

from framework.interfaces.dashboard import Board, Panel

_RATE = "[$__rate_interval]"
_ERRORS = f'sum(rate(framework_requests_total{{status=~"5.."}}{_RATE}))'


def _quantile(share: float, metric: str, by: str) -> str:
    return f"histogram_quantile({share:g}, sum by (le, {by}) (rate({metric}_bucket{_RATE})))"


def _figure(title: str, figure: str) -> Panel:
    return Panel(
        title,
        tuple(
            (f'framework_monitor_figure{{figure="{figure}", of="{of}"}}', f"{{{{target}}}} {of}")
            for of in ("live", "backtest")
        ),
    )


SERVING = Board(
    "serving",
    "Serving",
    (
        Panel(
            "Requests by route",
            ((f"sum by (route) (rate(framework_requests_total{_RATE}))", "{{route}}"),),
            "reqps",
        ),
        Panel(
            "Share of requests that failed",
            ((f"{_ERRORS} / sum(rate(framework_requests_total{_RATE}))", "5xx"),),
            "percentunit",
        ),
        Panel(
            "Seconds of a request",
            (
                (_quantile(0.5, "framework_request_seconds", "route"), "{{route}} p50"),
                (_quantile(0.99, "framework_request_seconds", "route"), "{{route}} p99"),
            ),
            "s",
        ),
        Panel(
            "Seconds in a stage, p99",
            ((_quantile(0.99, "framework_stage_seconds", "stage"), "{{stage}}"),),
            "s",
        ),
        Panel("Requests being answered", (("sum(framework_requests_in_flight)", "in flight"),)),
        Panel(
            "Windows forecast in one call, p95",
            ((_quantile(0.95, "framework_batch_windows", "arm"), "{{arm}}"),),
        ),
        Panel("Memory", (("process_resident_memory_bytes", "{{instance}}"),), "bytes"),
        Panel(
            "CPUs in use", ((f"rate(process_cpu_seconds_total{_RATE})", "{{instance}}"),), "short"
        ),
        Panel("GPU busy", (("framework_gpu_busy_percent", "{{gpu}}"),), "percent"),
        Panel("GPU memory", (("framework_gpu_memory_used_bytes", "{{gpu}}"),), "bytes"),
    ),
)

PAIRS = Board(
    "pairs",
    "Pairs",
    (
        Panel(
            "Pairs that answer",
            (("max by (arm, name, version) (framework_pair_info) > 0", "{{arm}}: {{version}}"),),
        ),
        Panel(
            "Arms that do not serve what their alias means", (("framework_degraded", "{{arm}}"),)
        ),
        Panel(
            "Forecasts by arm",
            ((f"sum by (arm, pair) (rate(framework_forecasts_total{_RATE}))", "{{arm}} {{pair}}"),),
        ),
        Panel(
            "Looks at the registry by outcome, an hour",
            (
                (
                    "sum by (arm, outcome) (increase(framework_reloads_total[1h]))",
                    "{{arm}} {{outcome}}",
                ),
            ),
        ),
        Panel(
            "Shadows",
            (
                (
                    f"sum by (arm, outcome) (rate(framework_shadow_requests_total{_RATE}))",
                    "{{arm}} {{outcome}}",
                ),
            ),
        ),
        Panel(
            "Seconds until a shadow's answer, p99",
            ((_quantile(0.99, "framework_shadow_seconds", "arm"), "{{arm}}"),),
            "s",
        ),
    ),
)

FEATURES = Board(
    "features",
    "Features",
    (
        Panel(
            "Forecasts by status",
            ((f"sum by (status) (rate(framework_forecasts_total{_RATE}))", "{{status}}"),),
        ),
        Panel(
            "Share of forecasts without ok",
            (
                (
                    f'sum(rate(framework_forecasts_total{{status!="ok"}}{_RATE})) '
                    f"/ sum(rate(framework_forecasts_total{_RATE}))",
                    "not ok",
                ),
            ),
            "percentunit",
        ),
        Panel(
            "Seconds of a look-up, p99",
            (
                (
                    "histogram_quantile(0.99, sum by (le) "
                    f'(rate(framework_stage_seconds_bucket{{stage="retrieve"}}{_RATE})))',
                    "retrieve",
                ),
            ),
            "s",
        ),
        Panel(
            "Windows of a request, p95",
            ((_quantile(0.95, "framework_request_windows", "arm"), "{{arm}}"),),
        ),
        Panel(
            "Categories that training did not see",
            (
                (
                    f"sum by (column) (rate(framework_unseen_categories_total{_RATE}))",
                    "{{column}}",
                ),
            ),
        ),
        Panel(
            "The feature store does not answer",
            (('framework_degraded{arm="feature_store"}', "feature store"),),
        ),
    ),
)

MONITORING = Board(
    "monitoring",
    "Monitoring",
    (
        _figure("MAE, live and in the backtest", "MAE"),
        _figure("MASE, live and in the backtest", "MASE"),
        _figure("Bias, live and in the backtest", "bias"),
        _figure("Coverage of the intervals, live and in the backtest", "coverage"),
        Panel("Signals of drift", (("framework_monitor_drift", "{{arm}} {{target}} {{signal}}"),)),
        Panel("Alerts that fire", (("framework_monitor_alert", "{{alert}} {{state}}"),)),
        Panel(
            "Forecasts that the ledger lacks",
            (("framework_monitor_ledger_missing", "missing"),),
            kind="stat",
        ),
        Panel(
            "Hours since the last run=monitor",
            (("(time() - framework_monitor_timestamp_seconds) / 3600", "hours"),),
            kind="stat",
        ),
        Panel(
            "Forecasts for the ledger by outcome",
            ((f"sum by (outcome) (rate(framework_records_total{_RATE}))", "{{outcome}}"),),
        ),
        Panel(
            "Forecasts for observers by outcome",
            (
                (
                    f"sum by (observer, outcome) (rate(framework_observed_total{_RATE}))",
                    "{{observer}} {{outcome}}",
                ),
            ),
        ),
    ),
)

BOARDS = (SERVING, PAIRS, FEATURES, MONITORING)
