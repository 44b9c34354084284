"""What is written by array into a template is what objects would be, byte for byte."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import orjson
import pytest

from framework.data.context import Freshness
from framework.data.forecast import Forecast
from framework.data.vocabulary import OK
from framework.interfaces.registry import PairVersion
from framework.serving.pipeline.rendering import Renderer, render_mixed

VERSION = PairVersion("a %b", 1, "0" * 32, "0" * 64, "0" * 32, "2013-12-31T00:00:00Z")
KEYS = ("shop %b", 'the "second"')
_UTC = orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z
DAY = np.timedelta64(86_400_000_000, "us")


def make_forecast(
    windows: int, targets: tuple[str, ...], quantiles: tuple[float, ...], levels: tuple[str, ...]
) -> Forecast:
    rng, shape = np.random.default_rng(windows), (windows, 3, len(targets))
    origins = np.full(windows, np.datetime64("2024-01-01", "us"))
    texts = ['","', "\\", 'é"', "%b", ""]
    entities = [[texts[i % 5], texts[(i + 1) % 5]] for i in range(windows)]
    return Forecast(
        origins,
        origins[:, None] + np.arange(1, 4) * DAY,
        np.array(entities, dtype=object),
        rng.normal(0, 10.0 ** rng.integers(-9, 9, (*shape, 1)), (*shape, 1 + len(quantiles))),
        targets,
        quantiles,
        [OK] * windows,
        [None] * windows,
        {level: rng.normal(size=(*shape, 2)) for level in levels},
    )


def unusual(forecast: Forecast) -> Forecast:
    """Everything that a window may have, and numbers and times that JSON has not."""
    n = len(forecast.status)
    origins = forecast.origins + np.arange(n) * (DAY // 7)
    origins[-1] = np.datetime64("NaT")
    forecast.values[0, 0, 0, 0], forecast.values[0, 1, 0, 0] = np.nan, np.inf
    forecast.values[0, 2, 0, 0] = -0.0
    flags = np.arange(n) % 2 == 0
    return replace(
        forecast,
        origins=origins,
        times=origins[:, None] + np.arange(1, 4) * DAY,
        status=[(OK, "unknown %b")[i % 3 // 2] for i in range(n)],
        detail=[(None, 'why "so" %b')[i % 2] for i in range(n)],
        cold=flags,
        short=~flags,
        freshness=Freshness({"view": origins - DAY}, {"view": flags}),
    )


def objects(forecast: Forecast) -> list[dict[str, Any]]:
    """The answer for each window as objects."""
    entries = []
    for i, status in enumerate(forecast.status):
        entry: dict[str, Any] = {
            "entity": dict(zip(KEYS, forecast.entities[i].tolist(), strict=True)),
            "origin": forecast.origins[i].item(),
            "status": status,
            "times": forecast.times[i].tolist() if status == OK else [],
            "targets": {},
        }
        for t, target in enumerate(forecast.targets if status == OK else ()):
            mean, *lines = forecast.values[i, :, t].T.tolist()
            names = map(str, forecast.quantiles)
            entry["targets"][target] = {
                "mean": mean,
                "quantiles": dict(zip(names, lines, strict=True)),
            }
            if forecast.intervals:
                entry["targets"][target]["intervals"] = {
                    level: dict(zip(("lower", "upper"), ends[i, :, t].T.tolist(), strict=True))
                    for level, ends in forecast.intervals.items()
                }
        for name, flags in (("cold", forecast.cold), ("short_history", forecast.short)):
            if flags is not None and flags[i]:
                entry[name] = True
        if status != OK or forecast.detail[i] is not None:
            entry["detail"] = forecast.detail[i]
        if forecast.freshness is not None:
            entry["features"] = {
                view: {
                    "event_timestamp": times[i].item(),
                    "stale": bool(forecast.freshness.stale[view][i]),
                }
                for view, times in forecast.freshness.times.items()
            }
        entries.append(entry)
    return entries


@pytest.mark.parametrize("windows", [1, 2, 7])
@pytest.mark.parametrize("targets", [("a %b",), ("one", 'the "other" é')])
@pytest.mark.parametrize("quantiles", [(), (0.1, 0.9)])
@pytest.mark.parametrize("levels", [(), ("80", "95.5")])
def test_an_answer_has_the_bytes_of_objects(
    windows: int, targets: tuple[str, ...], quantiles: tuple[float, ...], levels: tuple[str, ...]
) -> None:
    render = Renderer(VERSION, "best", KEYS)
    stamp = VERSION.stamp("best")
    plain = make_forecast(windows, targets, quantiles, levels)
    other = unusual(make_forecast(windows, targets, quantiles, levels))
    for forecast in (plain, other):
        answer = {"pair": stamp, "forecasts": objects(forecast)}
        assert render(forecast) == orjson.dumps(answer, option=_UTC)
    places = np.arange(windows)
    mixed = [
        {"pair": stamp, **entry}
        for pair in zip(objects(plain), objects(other), strict=True)
        for entry in pair
    ]
    parts = [(render, 2 * places, plain), (render, 2 * places + 1, other)]
    assert render_mixed(parts) == orjson.dumps({"pair": None, "forecasts": mixed}, option=_UTC)


def test_series_without_a_key_have_an_empty_entity() -> None:
    forecast = replace(make_forecast(2, ("a",), (), ()), entities=np.empty((2, 0), dtype=object))
    entries = orjson.loads(Renderer(VERSION, None, ())(forecast))["forecasts"]
    assert [entry["entity"] for entry in entries] == [{}, {}]
