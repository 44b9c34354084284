"""Both preprocessors under the public contract suite."""

from typing import Any, ClassVar

from framework.testing.contracts.preprocessor import PreprocessorContract


class TestNativeDefaults(PreprocessorContract):
    name = "native"


class TestNativeEveryStep(PreprocessorContract):
    name = "native"
    options: ClassVar[dict[str, Any]] = {
        "past": [
            {"step": "impute", "columns": ["temperature"], "strategy": "mean", "indicator": True},
            {"step": "clip", "lower_quantile": 0.01, "upper": 1000.0},
            {"step": "log", "columns": ["sales", "visits"]},
            {"step": "scale", "columns": ["sales", "visits", "temperature"]},
            {
                "step": "calendar",
                "fields": ["day_of_week", "is_holiday"],
                "country_column": "format",
                "countries": {"small": "FR", "large": "US-CA"},
            },
        ],
        "future": [
            {"step": "scale", "method": "minmax"},
            {
                "step": "calendar",
                "fields": ["hour", "day_of_week", "is_holiday", "days_to_holiday"],
                "country": "US",
                "time_zone": "America/New_York",
            },
            {"step": "scale", "columns": ["calendar_day_of_week"], "method": "robust"},
        ],
        "static": [
            {"step": "encode", "columns": ["shop"]},
            {"step": "encode", "columns": ["format"], "method": "onehot"},
        ],
    }


class TestSklearnDefaults(PreprocessorContract):
    name = "sklearn"


class TestSklearn(PreprocessorContract):
    name = "sklearn"
    options: ClassVar[dict[str, Any]] = {
        "past": {"class": "sklearn.preprocessing.StandardScaler", "options": {}},
        "future": {
            "class": "sklearn.preprocessing.QuantileTransformer",
            "options": {"n_quantiles": 20},
        },
        "static": {
            "class": "sklearn.preprocessing.OneHotEncoder",
            "options": {"handle_unknown": "ignore"},
        },
    }
