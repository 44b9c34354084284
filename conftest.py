"""For all tests: what the runs they call find imported."""

import gc

from framework.testing.command import preload

preload(
    "framework.serving.metrics",  # before Feast, as in pyproject.toml
    "framework.runs.train",
    "framework.runs.promote",
    "framework_feast.historical",
    "framework_feast.retrieval",
    "framework_files.source",
    "framework_mlflow.registry",
    "framework_mlflow.tracking",
    "framework_preprocessing.native",
    "framework_report.page",
    "holidays.registry",
    "hydra._internal.core_plugins.basic_launcher",
    "mlflow.pyfunc",
    "mlflow.store.model_registry.sqlalchemy_store",
    "mlflow.store.tracking.sqlalchemy_store",
    "pyarrow.parquet",
    "sqlalchemy.dialects.sqlite",
    "xgboost",
)


def pytest_sessionstart() -> None:
    gc.disable()


def pytest_collection_finish() -> None:
    """What the tests import is not looked through while it is imported, nor by each of them again."""
    gc.freeze()
    gc.enable()
