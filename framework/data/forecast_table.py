"""Forecasts as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from framework.data.forecast import Forecast
from framework.data.vocabulary import OK, SHORT_HISTORY

if TYPE_CHECKING:
    import pandas as pd

_TIME = pa.timestamp("us", tz="UTC")


def forecast_arrow(forecast: Forecast, entity_keys: tuple[str, ...]) -> pa.Table:
    """Long: entity keys, origin, event_timestamp, step, target, mean, one column a quantile (q0.1
    …), status; of a pair that forecasts such windows cold and short_history.

    A series without a forecast keeps one row a target, with its status and nulls. Texts are
    dictionary-encoded.
    """
    n, horizon, targets, _ = forecast.values.shape
    keep = np.ones((n, horizon, targets), dtype=bool)
    keep[[status != OK for status in forecast.status], 1:] = False
    flat = None if keep.all() else keep.ravel()

    def column(values: Any) -> Any:
        spread = np.broadcast_to(values, keep.shape).ravel()
        return spread if flat is None else spread[flat]

    def texts(values: Any, index: Any) -> pa.DictionaryArray:
        return pa.DictionaryArray.from_arrays(column(index), pa.array(values, pa.string()))

    windows = np.arange(n, dtype=np.int32)[:, None, None]
    columns: dict[str, Any] = {}
    for i, key in enumerate(entity_keys):
        columns[key] = texts(forecast.entities[:, i].tolist(), windows)
    columns["origin"] = pa.array(column(forecast.origins[:, None, None]), pa.timestamp("us")).cast(
        _TIME
    )
    columns["event_timestamp"] = pa.array(
        column(forecast.times[:, :, None]), pa.timestamp("us")
    ).cast(_TIME)
    columns["step"] = column(np.arange(1, horizon + 1)[None, :, None])
    columns["target"] = texts(forecast.targets, np.arange(targets, dtype=np.int32)[None, None, :])
    for q, name in enumerate(["mean", *(f"q{q:g}" for q in forecast.quantiles)]):
        columns[name] = pa.array(column(forecast.values[..., q]), from_pandas=True)
    words = sorted(set(forecast.status))
    columns["status"] = texts(
        words, np.array([words.index(s) for s in forecast.status], dtype=np.int32)[:, None, None]
    )
    if forecast.cold is not None:
        columns["cold"] = pa.array(column(forecast.cold[:, None, None]))
    if forecast.short is not None:
        columns[SHORT_HISTORY] = pa.array(column(forecast.short[:, None, None]))
    return pa.table(columns)


def plain(schema: pa.Schema) -> pa.Schema:
    """The same columns, texts as they are: what is the same for every piece of a file."""
    return pa.schema(
        [(f.name, pa.string() if pa.types.is_dictionary(f.type) else f.type) for f in schema]
    )


def forecast_table(forecast: Forecast, entity_keys: tuple[str, ...]) -> pd.DataFrame:
    """:func:`forecast_arrow` for people; texts are objects, times ``datetime64[us, UTC]``."""
    table = forecast_arrow(forecast, entity_keys)
    frame: pd.DataFrame = table.cast(plain(table.schema)).to_pandas()
    return frame
