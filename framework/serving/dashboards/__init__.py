"""Rules of Prometheus and dashboards of Grafana, made from the metrics that servers have."""
