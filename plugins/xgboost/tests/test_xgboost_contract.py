"""XGBoost under the public contract suite."""

from typing import Any, ClassVar

from framework.testing.contracts.model import ModelContract


class TestXGBoost(ModelContract):
    name = "xgboost"
    options: ClassVar[dict[str, Any]] = {
        "n_estimators": 15,
        "max_depth": 3,
        "early_stopping_rounds": 3,
        "subsample": 0.8,
        "n_jobs": 1,
    }


class TestXGBoostWithoutRefit(ModelContract):
    name = "xgboost"
    options: ClassVar[dict[str, Any]] = {
        "n_estimators": 15,
        "max_depth": 3,
        "early_stopping_rounds": 3,
        "refit": False,
        "n_jobs": 1,
    }
