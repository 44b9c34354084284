"""For all tests: what the runs they call find imported."""

import gc
import os

from hypothesis import settings

from framework.testing.servers.command import preload

#: Examples are the same in every run of the gate, so that none fails or passes by luck. `make
#: fuzz` tries new ones, and more.
settings.register_profile("gate", derandomize=True, max_examples=50, deadline=None)
settings.register_profile(
    "fuzz", derandomize=False, max_examples=2000, deadline=None, print_blob=True
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "gate"))

preload(
    "framework.runs.train",
    "framework.runs.promote",
    "framework_feast.offline.historical",
    "framework_feast.retrieval",
    "framework_files.source",
    "framework_mlflow.prepared_store",
    "framework_mlflow.registry.registry",
    "framework_mlflow.tracking.runs",
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
    """What the tests import is not looked through while it is imported, nor by each of them
    again.
    """
    gc.freeze()
    gc.enable()
