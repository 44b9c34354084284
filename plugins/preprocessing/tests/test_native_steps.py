"""What each native step computes, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import holidays
import numpy as np
import pytest
from framework_preprocessing import NativeOptions, SklearnOptions
from framework_preprocessing.native import NativePreprocessor
from hypothesis import given, settings
from hypothesis import strategies as st

from framework.data.frequency import Frequency
from framework.errors import ConfigError, DataError
from framework.features.calendar import calendar_columns
from framework.options import validate
from framework.pairs.pair import make_windows, transform_panel
from framework.testing.panels import make_panel, panel_schema

PANEL = make_panel()


def fitted(values: np.ndarray | None = None, **options: Any) -> NativePreprocessor:
    past = PANEL.past if values is None else values
    preprocessor = NativePreprocessor(validate(NativeOptions, options, "preprocessor"))
    rows = slice(0, len(past))
    preprocessor.fit(
        past, PANEL.known[rows], PANEL.static[rows], PANEL.times[rows], panel_schema(PANEL)
    )
    return preprocessor


def column(*values: float) -> np.ndarray:
    """Three past columns with these values each."""
    return np.repeat(np.array(values)[:, None], 3, axis=1)


@pytest.mark.parametrize(
    ("step", "training", "given_value", "expected"),
    [
        ({"step": "impute", "strategy": "mean"}, (1, 2, 6), np.nan, 3.0),
        ({"step": "impute", "strategy": "median"}, (1, 2, 6), np.nan, 2.0),
        ({"step": "impute", "strategy": "constant", "fill_value": -5}, (1, 2, 6), np.nan, -5.0),
        ({"step": "impute"}, (1, np.nan, 6), 4.0, 4.0),
        ({"step": "scale"}, (1, 3), 5.0, 3.0),
        ({"step": "scale"}, (2, 2), 5.0, 3.0),
        ({"step": "scale", "method": "minmax"}, (1, 3), 5.0, 2.0),
        ({"step": "scale", "method": "robust"}, (0, 1, 2, 3, 4), 6.0, 2.0),
        ({"step": "clip", "upper": 2}, (0, 9), 5.0, 2.0),
        ({"step": "clip", "lower_quantile": 0.5}, (0, 2, 4), -7.0, 2.0),
        ({"step": "log"}, (0, 1), np.e - 1, 1.0),
    ],
)
def test_a_step_computes(
    step: dict[str, Any], training: tuple[float, ...], given_value: float, expected: float
) -> None:
    preprocessor = fitted(column(*training), past=[step])
    np.testing.assert_array_equal(
        preprocessor.past(column(given_value), PANEL.times[:1]),
        np.full((1, 3), expected, np.float32),
    )


CHRISTMAS = np.array(["2024-12-25"], "M8[us]")
LOCAL = {
    "step": "calendar",
    "fields": ["day_of_week", "is_holiday", "week_of_year"],
    "country": "US",
    "time_zone": "America/New_York",
}


def test_a_calendar_of_days_is_that_of_their_labels_and_stays_so_when_loaded(
    tmp_path: Path,
) -> None:
    preprocessor = fitted(future=[LOCAL])
    preprocessor.save(tmp_path)
    for one in (preprocessor, NativePreprocessor.load(tmp_path)):
        assert one.future(np.zeros((1, 2)), CHRISTMAS)[0, 2:].tolist() == [2, 1, 52]


def test_a_pair_saved_when_labels_were_moments_computes_what_it_learned(tmp_path: Path) -> None:
    fitted(future=[LOCAL]).save(tmp_path)
    with np.load(tmp_path / "state.npz") as arrays:
        kept = {name: arrays[name] for name in arrays.files if not name.endswith(".frequency")}
    np.savez(tmp_path / "state.npz", allow_pickle=False, **kept)
    old = NativePreprocessor.load(tmp_path)
    assert old.future(np.zeros((1, 2)), CHRISTMAS)[0, 2:].tolist() == [
        1,
        0,
        52,
    ]  # the evening of the 24th in New York
    assert (
        old.future(np.zeros((1, 2)), np.array(["2021-01-03"], "M8[us]"))[0, 4] == 1
    )  # ISO says 53


BY_FORMAT = {
    "step": "calendar",
    "fields": ["is_holiday", "month"],
    "country_column": "format",
    "countries": {"small": "FR", "large": "US"},
}


def test_each_series_has_the_holidays_of_its_country_in_training_and_when_asked(
    tmp_path: Path,
) -> None:
    schema = panel_schema(PANEL)
    preprocessor = fitted(past=[BY_FORMAT], future=[BY_FORMAT])
    preprocessor.save(tmp_path)
    country = {"small": holidays.country_holidays("FR"), "large": holidays.country_holidays("US")}
    expected = [
        float(stamp.item().date() in country[text])
        for stamp, text in zip(PANEL.times, PANEL.static[:, 1], strict=True)
    ]
    origin = np.datetime64("2024-05-25", "us")  # Memorial Day, of the US alone, is two steps ahead
    for one in (preprocessor, NativePreprocessor.load(tmp_path)):
        arrays = transform_panel(one, schema, PANEL)
        assert arrays.past[:, 3].tolist() == arrays.future[:, 2].tolist() == expected
        assert set(arrays.past[:, 4]) == {3, 4, 5, 6}
        windows = make_windows(
            one, schema, Frequency.parse("D"), PANEL.context(schema, PANEL.entities, origin)
        )
        assert windows.future[:, :, 2].tolist() == [[0, i % 2, 0, 0, 0] for i in range(6)]
        back = origin - np.arange(schema.context_length)[::-1] * np.timedelta64(1, "D")
        assert windows.past[:, :, 3].tolist() == [
            [float(day.item().date() in country[text]) for day in back]
            for text in ("small", "large") * 3
        ]


def test_a_country_that_training_did_not_see_has_its_holidays_and_an_unknown_one_nulls() -> None:
    panel = make_panel()
    panel.static[:, 1] = np.where(panel.static[:, 1] == "small", "FR", "US-CA")
    preprocessor = NativePreprocessor(
        validate(
            NativeOptions,
            {"future": [{**BY_FORMAT, "countries": None}]},
            "preprocessor",
        )
    )
    preprocessor.fit(panel.past, panel.known, panel.static, panel.times, panel_schema(panel))
    codes = ["FR", "US-CA", "JP", "Atlantis", None, "__class__", ""]
    static = np.array([["shop-1", code] for code in codes], dtype=object)
    days = np.full(len(codes), np.datetime64("2024-05-06", "us"))  # of Japan alone
    values = preprocessor.future(np.zeros((len(codes), 2)), days, static)
    np.testing.assert_array_equal(values[:, 2], [0, 0, 1, np.nan, np.nan, np.nan, np.nan])
    assert (values[:, 3] == 5).all()


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"country_column": "land"}, ConfigError, "'land' is no key and no category here"),
        ({"countries": {"small": "FR", "large": "ZZ"}}, ConfigError, "holidays of 'ZZ'"),
        ({"countries": {"small": "FR"}}, DataError, "no entry for 'large' of column 'format'"),
        ({"countries": None}, DataError, "'large' of column 'format' names no country"),
        ({"country": "US"}, ConfigError, "give country, for every row, or country_column"),
        ({"country_column": None}, ConfigError, "countries: it goes with country_column"),
        ({"fields": ["month"]}, ConfigError, "none of the fields is about holidays"),
    ],
)
def test_a_calendar_by_country_that_cannot_be_is_refused(
    changed: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        fitted(future=[BY_FORMAT | changed])


def test_a_calendar_that_the_steps_lack_is_refused_when_fitted() -> None:
    with pytest.raises(
        ConfigError, match="counts the public holidays of a step of whole days, not of h"
    ):
        NativePreprocessor(
            validate(NativeOptions, {"future": [{**LOCAL, "fields": ["holidays"]}]}, "preprocessor")
        ).fit(
            PANEL.past,
            PANEL.known,
            PANEL.static,
            PANEL.times,
            panel_schema(PANEL).model_copy(update={"frequency": "h"}),
        )
    with pytest.raises(DataError, match="is no midnight"):
        NativePreprocessor(
            validate(
                NativeOptions,
                {"future": [{"step": "calendar", "fields": ["month"]}]},
                "preprocessor",
            )
        ).fit(
            PANEL.past,
            PANEL.known,
            PANEL.static,
            PANEL.times + np.timedelta64(15, "h"),
            panel_schema(PANEL),
        )


def test_nulls_stay_nulls_where_nothing_imputes() -> None:
    preprocessor = fitted(past=[{"step": "clip", "lower": 0.0}, {"step": "scale"}])
    assert np.isnan(preprocessor.past(column(np.nan), PANEL.times[:1])).all()


def test_added_columns_come_last_and_later_steps_may_name_them() -> None:
    preprocessor = fitted(
        past=[
            {"step": "impute", "columns": ["temperature"], "indicator": True},
            {"step": "scale", "columns": ["temperature_missing"], "method": "minmax"},
        ],
        future=[{"step": "calendar", "fields": ["month"]}],
    )
    assert preprocessor.past_names == ("sales", "visits", "temperature", "temperature_missing")
    assert preprocessor.future_names == ("promotion", "price", "calendar_month")
    assert preprocessor.past(np.array([[1.0, 2.0, np.nan]]), PANEL.times[:1])[0, 3] == 1.0
    assert preprocessor.future(np.zeros((1, 2)), np.array(["2024-03-05"], "M8[us]"))[0, 2] == 3.0


def test_texts_become_codes_of_the_sorted_training_values() -> None:
    preprocessor = fitted(
        static=[
            {"step": "encode", "columns": ["shop"]},
            {"step": "encode", "columns": ["format"], "method": "onehot"},
        ]
    )
    assert preprocessor.static_names == ("shop", "format=large", "format=small")
    rows = np.array([["shop-2", "small"], ["shop-99", "huge"]], dtype=object)
    np.testing.assert_array_equal(
        preprocessor.static(rows), np.array([[2, 0, 1], [-1, 0, 0]], np.float32)
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"past": [{"step": "scale", "columns": ["temperatur"]}]},
            "preprocessor.past.0.columns: 'temperatur' .* Did you mean 'temperature'",
        ),
        (
            {"future": [{"step": "scale", "columns": ["sales"]}]},
            "preprocessor.future.0.columns: 'sales'",
        ),
        (
            {"static": [{"step": "encode", "columns": ["shops"]}]},
            "preprocessor.static.0.columns: 'shops' .* Did you mean 'shop'",
        ),
        (
            {"future": [{"step": "calendar", "fields": ["weekday"]}]},
            "preprocessor.future.0: calendar field 'weekday' is not known",
        ),
        (
            {"future": [{"step": "calendar", "fields": ["month"]}] * 2},
            "adds columns .*calendar_month",
        ),
        ({"past": [{"step": "clip"}]}, "give a bound"),
        ({"past": [{"step": "clip", "lower": 3, "upper": 1}]}, "not below"),
        ({"past": [{"step": "impute", "strategie": "mean"}]}, "strategie: unknown key"),
        ({"past": [{"step": "imput"}]}, "preprocessor.past.0: .*impute"),
    ],
)
def test_a_wrong_option_is_named(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        fitted(**options)


def test_values_that_cannot_be_transformed_are_refused_by_column() -> None:
    preprocessor = fitted(past=[{"step": "log", "columns": ["visits"]}])
    with pytest.raises(DataError, match=r"'visits'.*got -3"):
        preprocessor.past(np.array([[-3.0, -3.0, 0.0]]), PANEL.times[:1])
    with pytest.raises(DataError, match=r"'temperature'.*1e\+39"):
        preprocessor.past(np.array([[0.0, 0.0, 1e39]]), PANEL.times[:1])
    with pytest.raises(DataError, match="'sales' has no value"):
        fitted(column(np.nan, np.nan), past=[{"step": "scale"}])


def test_sklearn_refuses_what_is_no_transformer_or_treats_rows_together() -> None:
    # by this test: it looks through all of scikit-learn, and every process collects this file
    from framework_preprocessing.sklearn import SklearnPreprocessor

    def fit(chosen: dict[str, Any]) -> None:
        made = SklearnPreprocessor(validate(SklearnOptions, {"past": chosen}, "preprocessor"))
        past = np.nan_to_num(PANEL.past)
        made.fit(past, PANEL.known, PANEL.static, PANEL.times, panel_schema(PANEL))

    with pytest.raises(ConfigError, match="import path of a scikit-learn class"):
        fit({"class": "os.path.join"})
    with pytest.raises(ConfigError, match="Did you mean 'StandardScaler'"):
        fit({"class": "sklearn.preprocessing.StandartScaler"})
    with pytest.raises(ConfigError, match=r"preprocessor.past.options: .*with_meen"):
        fit({"class": "sklearn.preprocessing.StandardScaler", "options": {"with_meen": True}})
    with pytest.raises(DataError, match="cannot be fitted on columns"):
        fit({"class": "sklearn.preprocessing.PowerTransformer", "options": {"method": "box-cox"}})
    fit({"class": "sklearn.preprocessing.RobustScaler"})


@settings(deadline=None, derandomize=True, max_examples=50)
@given(
    st.lists(st.integers(0, 4_000_000), min_size=1, max_size=70),
    st.sampled_from(["UTC", "America/New_York", "Australia/Lord_Howe"]),
)
def test_calendar_of_few_rows_is_that_of_many(minutes: list[int], zone: str) -> None:
    fields = (
        "minute",
        "hour",
        "day_of_week",
        "day_of_year",
        "is_holiday",
        "days_to_holiday",
        "days_since_holiday",
    )
    times = np.datetime64("2012-01-01", "us") + np.array(minutes) * np.timedelta64(60_000_000, "us")
    many = calendar_columns(np.tile(times, 65), fields, "US", zone)[: len(times)]
    alone = np.concatenate(
        [calendar_columns(times[i : i + 1], fields, "US", zone) for i in range(len(times))]
    )
    for few in (
        calendar_columns(times, fields, "US", zone),
        alone,
        calendar_columns(times, fields, "US", zone),
    ):
        assert few.tobytes() == many.tobytes()
