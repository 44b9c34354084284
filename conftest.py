"""For all tests: what the runs they call find imported."""

import gc
import os
import signal
from collections import Counter
from importlib import metadata

import pytest
from hypothesis import settings

from framework.cli.garbage import collect_seldom
from framework.interfaces.plugin import ENTRY_POINTS
from framework.testing.servers.command import preload

#: As the command line sets it before the numeric libraries are loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# A shell that runs the tests in the background has what it starts ignore Ctrl-C, and what that
# starts in turn.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

#: Examples are the same in every run of the gate, so that none fails or passes by luck. `make
#: fuzz` tries new ones, and more.
settings.register_profile("gate", derandomize=True, max_examples=25, deadline=None)
settings.register_profile(
    "fuzz", derandomize=False, max_examples=2000, deadline=None, print_blob=True
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "gate"))

#: Modules that nearly every run imports, or that take seconds where one does.
MODULES = """
    antlr4.LL1Analyzer
    framework.models.boosting
    framework.pairs.batch_scoring
    framework.plugins.builtin
    framework.plugins.compute
    framework.projects.steps
    framework.runs.backtest
    framework.runs.compare
    framework.runs.ingest
    framework.runs.init
    framework.runs.materialize
    framework.runs.monitor
    framework.runs.offers
    framework.runs.pairs
    framework.runs.predict
    framework.runs.promote
    framework.runs.train
    framework.runs.tune
    framework.runs.verify
    framework_baselines.seasonal_naive
    framework_feast.offline.historical
    framework_feast.retrieval
    framework_files.file
    framework_files.source
    framework_lightgbm.model
    framework_mlflow.prepared_store
    framework_mlflow.registry.registry
    framework_mlflow.tracking.runs
    framework_preprocessing.native
    framework_report.page
    framework_statsforecast.model
    framework_xgboost.boosters
    framework_xgboost.matrix
    framework_xgboost.model
    holidays.registry
    hydra._internal.core_plugins.bash_completion
    hydra._internal.core_plugins.basic_launcher
    hydra._internal.core_plugins.basic_sweeper
    hydra._internal.core_plugins.file_config_source
    hydra._internal.core_plugins.fish_completion
    hydra._internal.core_plugins.importlib_resources_config_source
    hydra._internal.core_plugins.structured_config_source
    hydra._internal.core_plugins.zsh_completion
    hydra._internal.logging_config
    hydra_plugins.hydra_joblib_launcher.joblib_launcher
    lightgbm
    mlflow.pyfunc
    mlflow.store.model_registry.sqlalchemy_store
    mlflow.store.model_registry.sqlalchemy_workspace_store
    mlflow.store.tracking.sqlalchemy_store
    omegaconf._impl
    pandas.core.arrays.arrow.extension_types
    pyarrow.acero
    pyarrow.parquet
    sqlalchemy.dialects.sqlite
    statsforecast.models
    xgboost
"""
preload(*(entry.module for entry in metadata.entry_points(group=ENTRY_POINTS)), *MODULES.split())


def pytest_sessionstart() -> None:
    gc.disable()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of a test with ``gate_cases(n)`` the gate runs the first n cases, `make stress` all."""
    numbers: Counter[str] = Counter()
    for item in items:
        mark = item.get_closest_marker("gate_cases")
        if mark is not None:
            test = item.nodeid.partition("[")[0]
            numbers[test] += 1
            if numbers[test] > mark.args[0]:
                item.add_marker(pytest.mark.stress)


def pytest_collection_finish() -> None:
    """What the tests import is not looked through while it is imported, nor by each of them
    again.
    """
    gc.freeze()
    gc.enable()
    collect_seldom()
