"""For all tests: what the runs they call find imported."""

from framework.testing.command import preload

preload(
    "framework.serving.metrics",  # before Feast, as in pyproject.toml
    "framework.runs.train",
    "framework.runs.promote",
    "framework_feast.historical",
    "framework_feast.retrieval",
    "framework_mlflow.registry",
    "mlflow.pyfunc",
    "mlflow.store.tracking.sqlalchemy_store",
    "pyarrow.parquet",
    "xgboost",
)
