"""What every test process begins with."""

import framework.serving.metrics  # noqa: F401  before Feast, which makes prometheus_client count in files that all processes share
