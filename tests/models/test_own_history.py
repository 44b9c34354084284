"""A series of which nothing is known gets no forecast, at whatever door it is asked for: the
average of others is none of it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import orjson
import pytest

from framework.data.context import Context
from framework.data.forecast import Forecast
from framework.data.forecast_table import forecast_table
from framework.data.frequency import Frequency
from framework.data.own_columns import own_columns
from framework.data.panel_rows import panel_from_rows
from framework.data.row_windows import cut_windows
from framework.data.schema import Schema
from framework.data.vocabulary import MISSING_FEATURE, OK, SHORT_HISTORY
from framework.errors import ConfigError
from framework.evaluation.eligibility import check_resolution
from framework.interfaces.plugin import Kind
from framework.interfaces.registry import PairVersion
from framework.pairs.fit import fit_pair
from framework.pairs.pair import KnownTerms, Pair
from framework.plugins.discovery import load_plugins
from framework.serving.pipeline.rendering import Renderer
from framework.serving.pipeline.validation import Payload
from framework.testing.fakes import make_pair, make_schema
from framework.testing.panels import make_panel, panel_schema, sales_table

NAN = float("nan")
VERSION = PairVersion("shops", 1, "p", "d", "r", "2024-01-01T00:00:00Z")


def written(pair: Pair, forecast: Forecast) -> list[dict[str, Any]]:
    """The objects that a server answers."""
    answer = orjson.loads(Renderer(VERSION, None, pair.schema.entity_keys)(forecast))
    return list(answer["forecasts"])


def answered(
    schema: Schema, past: list[list[list[float]]], status: list[str] | None = None
) -> Context:
    """What a pair of ``schema`` says of windows ``past[n][L][P]``."""
    n = len(past)
    static = np.full((n, len(schema.static)), "a", dtype=object)
    known = np.zeros((n, schema.horizon, len(schema.known)))
    context = Context(
        np.full(n, "2024-03-01", "M8[us]"),
        np.array(past),
        known,
        static,
        status or [OK] * n,
        [None] * n,
    )
    return KnownTerms(schema, None).admitted(context)


def test_a_window_without_a_value_of_a_target_is_a_short_history() -> None:
    schema = make_schema(targets=("y",), past=("y", "temp"), context_length=2)
    context = answered(schema, [[[NAN, 1], [NAN, 2]], [[NAN, 1], [5, 2]], [[4, NAN], [NAN, NAN]]])
    assert context.status == [SHORT_HISTORY, OK, OK]
    assert context.detail == ["no value of 'y' in the last 2 steps", None, None]


def test_columns_that_are_made_of_the_target_count_as_its_history() -> None:
    names = ("y", "yes", "y_lag_7", "y_rolling_28_mean")
    schema = make_schema(targets=("y",), past=names)
    assert own_columns(schema.targets, schema.past)[0].tolist() == [0, 2, 3]
    context = answered(schema, [[[NAN, 1, NAN, NAN]], [[NAN, 1, 3, NAN]], [[2, 1, NAN, NAN]]])
    assert context.status == [SHORT_HISTORY, OK, OK]
    assert (
        context.detail[0] == "no value of 'y' at the origin, nor in the columns that are made of it"
    )


def test_each_target_needs_a_value_and_an_earlier_status_stays() -> None:
    schema = make_schema(targets=("y", "z"), past=("y", "z"))
    context = answered(schema, [[[1, NAN]], [[1, 2]], [[NAN, NAN]]], [OK, OK, MISSING_FEATURE])
    assert context.status == [SHORT_HISTORY, OK, MISSING_FEATURE]
    assert context.detail == ["no value of 'z' at the origin", None, None]


def test_a_forecast_leaves_such_a_window_out_and_a_golden_batch_is_replayed_as_it_was() -> None:
    pair, golden = make_pair(windows=2)
    context = replace(golden.context, past=golden.context.past.copy())
    context.past[0, :, 0] = NAN
    forecast = pair.forecast(context)
    assert forecast.status == [SHORT_HISTORY, OK]
    assert np.isnan(forecast.values[0]).all()
    assert np.isfinite(forecast.values[1]).all()
    assert pair.answer(context).status == [OK, OK]


def test_a_request_without_a_value_of_the_target_is_answered_with_the_reason() -> None:
    schema = make_schema(targets=("departures",), nullable=("departures", "wind gust"))
    row = {
        "airport": "A",
        "carrier": "B",
        "season": "winter",
        "event_timestamp": "2024-03-01",
        "departures": None,
        "delay": 1.0,
    }
    body = orjson.dumps({"rows": [{**row, "temp": 2.0, "wind gust": 3.0}]})
    context = KnownTerms(schema, None).admitted(Payload(schema, 10).context(body))
    assert context.status == [SHORT_HISTORY]


def test_a_pair_that_forecasts_cold_windows_flags_them_at_every_door() -> None:
    """The model learns them: a new shop gets the level of its format, and not that of all shops."""
    panel = make_panel(series=8)
    large = np.repeat(panel.static[panel.offsets[:-1], 1] == "large", np.diff(panel.offsets))
    panel.past[:, 0] = np.where(large, 1000.0, 10.0) + np.arange(len(panel)) % 7
    schema = panel_schema(panel).model_copy(
        update={"cold": True, "nullable": ("sales", "visits", "temperature")}
    )
    plugins = load_plugins()

    def component(kind: Kind, name: str, **options: Any) -> Any:
        return plugins.load(kind, name)(plugins.find(kind, name).options.model_validate(options))

    static = {"static": [{"step": "encode", "method": "ordinal"}]}
    for name in ("xgboost", "lightgbm"):
        model = component("model", name, n_estimators=30, n_jobs=1)
        pair = fit_pair(panel, schema, component("preprocessor", "native", **static), model, 14, 7)
        context = panel.context(pair.schema, panel.entities[:3], None)
        context.past[:2, :, :2] = NAN
        context.static[:2] = [["new", "large"], ["newer", "small"]]
        forecast = pair.forecast(context)
        assert forecast.status == [OK] * 3
        assert forecast.cold is not None
        assert forecast.cold.tolist() == [True, True, False]
        assert (np.abs(forecast.values[0, :, 0, 0] - 1000) < 150).all()
        assert (np.abs(forecast.values[1, :, 0, 0] - 10) < 150).all()
        entries = written(pair, forecast)
        assert ["cold" in entry for entry in entries] == [True, True, False]
        table = forecast_table(forecast, pair.schema.entity_keys)
        assert set(table[table["shop"] == "new"]["cold"]) == {True}
        assert set(table[table["shop"] == "shop-2"]["cold"]) == {False}
    fills = component("preprocessor", "native", past=[{"step": "impute"}], **static)
    with pytest.raises(ConfigError, match=r"panel\.cold: the preprocessor fills the nulls of"):
        fit_pair(panel, schema, fills, model, 14, 7)
    with pytest.raises(ConfigError, match=r"panel\.cold: .* nothing for model\.scale"):
        component("model", "xgboost", scale={"sales": "sales_mean"}).check(schema, ("sales_mean",))


WEEK = {"name": "seasonal_naive", "season_length": 7}
MONTH = {"name": "auto_theta", "season_length": 7, "context_length": 28}


@pytest.mark.parametrize(
    ("node", "values_of_the_young"),
    [
        (WEEK, [6, 6, 6, 6, 9]),
        ({"name": "seasonal_mean", "season_length": 7}, [6, 6, 6, 6, 9]),
        (MONTH, None),
        ({"name": "croston_sba", "context_length": 28}, None),
        ({"name": "ensemble", "season_length": 7, "members": {"a": WEEK, "b": MONTH}}, None),
    ],
)
def test_a_forecast_of_a_young_series_is_flagged_at_every_door(
    node: dict[str, Any], values_of_the_young: list[float] | None
) -> None:
    """Three days of a week: each is its own value of the next week, the others their mean. What a
    preprocessor fills in before the first day changes nothing.
    """
    plugins = load_plugins()

    def component(kind: Kind, name: str, **options: Any) -> Any:
        return plugins.load(kind, name)(plugins.find(kind, name).options.model_validate(options))

    model = component("model", **node)
    length = model.context_length(7)
    panel = panel_from_rows(
        sales_table(2, 40).drop(columns=["format", "promotion", "price"]),
        entity_keys=("shop",),
        past=("sales", "visits", "temperature"),
        known=(),
        categories=(),
        frequency=Frequency.parse("D"),
    )
    schema = panel_schema(panel, context_length=length, least_context=model.least_context(7))
    fills = component("preprocessor", "native", past=[{"step": "impute"}])
    pair = fit_pair(panel, schema, fills, model, 0, 7)
    whole = panel.context(pair.schema, panel.entities[:1], None)
    last = np.arange(panel.offsets[1] - length, panel.offsets[1])
    times = np.append(panel.times[last], panel.times[last[-3:]])
    values = np.concatenate([panel.past[last], np.full((3, 3), [[9.0], [3.0], [6.0]])])
    static = np.array([["shop-0"]] * length + [["new"]] * 3, dtype=object)
    context = cut_windows(pair.schema, pair.frequency, static, times, values, lambda *_: "")
    np.testing.assert_array_equal(context.past[:1], whole.past)
    forecast = pair.forecast(context)
    assert forecast.status == [OK, OK]
    assert np.isfinite(forecast.values).all()
    if values_of_the_young is not None:
        assert forecast.values[1, :, 0, 0].tolist() == values_of_the_young
    entries = written(pair, forecast)
    assert [entry.get("short_history") for entry in entries] == [None, True]
    table = forecast_table(forecast, pair.schema.entity_keys)
    assert table.groupby("shop")["short_history"].all().to_dict() == {"new": True, "shop-0": False}
    of_old = replace(pair, schema=schema.model_copy(update={"least_context": None}))
    refused = cut_windows(of_old.schema, pair.frequency, static, times, values, lambda *_: "")
    assert of_old.forecast(refused).status == [OK, SHORT_HISTORY]
    assert of_old.forecast(refused).short is None


def test_levels_that_32_bits_cannot_tell_apart_are_named() -> None:
    panel = make_panel()
    schema = panel_schema(panel)
    assert check_resolution(panel, schema) == []
    panel.past[panel.offsets[2] : panel.offsets[3], 0] += 1e9
    (line,) = check_resolution(panel, schema)
    assert line.startswith("panel.targets: 'sales' of {shop: shop-2} changes by about ")
    assert "64 apart at its level: take a constant from it in the source" in line
