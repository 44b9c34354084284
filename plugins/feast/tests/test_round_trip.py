"""Whatever rows there are: what is looked up online, sent in a payload and read offline is the same
forecast, bit for bit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pandas as pd
import pytest
from feast_cases import FEATURES, FIRST, ingest, options, rows, schema
from framework_feast.retrieval import FeastRetrieval
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from framework.data.forecast import Forecast
from framework.data.frequency import Frequency
from framework.data.panel import Panel
from framework.data.panel_rows import panel_from_rows
from framework.data.vocabulary import OK, TIME
from framework.pairs.fit import fit_pair
from framework.pairs.pair import Pair
from framework.plugins.discovery import load_plugins
from framework.serving.http.metrics import Metrics
from framework.serving.options import BatchOptions
from framework.serving.pipeline.pipeline import Pipeline
from framework.serving.pipeline.validation import Lookup
from framework.testing.folder_registry import make_version

LENGTH = 3
NUMBERS = st.none() | st.floats(-1e6, 1e6) | st.integers(-5, 5).map(float)
TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=6)
KINDS = st.none() | st.sampled_from(["k0", "k1", "new"]) | TEXTS


@st.composite
def tables(draw: st.DrawFn) -> dict[str, pd.DataFrame]:
    """Sales of some shops on consecutive days, with nulls, and weather at odd hours that is not
    stale at the end.
    """
    sales: list[dict[str, Any]] = []
    weather: list[dict[str, Any]] = []
    for shop in draw(st.lists(TEXTS, min_size=1, max_size=3, unique=True)):
        days = draw(st.integers(LENGTH, 5))
        for item in draw(st.lists(TEXTS, min_size=1, max_size=2, unique=True)):
            for day in range(days):
                time = FIRST + pd.Timedelta(days=day)
                y = draw(
                    NUMBERS if day < days - 1 else NUMBERS.filter(lambda value: value is not None)
                )  # the origin has an actual
                sales.append(
                    {
                        "shop": shop,
                        "item": item,
                        TIME: time,
                        "y": y,
                        "price": draw(NUMBERS),
                        "kind": draw(KINDS),
                    }
                )
        for hours in {
            draw(st.integers(24 * (days - 1) - 40, 24 * (days - 1))),
            *draw(st.sets(st.integers(-60, 24 * days), max_size=4)),
        }:
            time = FIRST + pd.Timedelta(hours=hours)
            weather.append(
                {
                    "shop": shop,
                    TIME: time,
                    "temp": draw(NUMBERS),
                    "wind": draw(NUMBERS),
                    "sky": draw(KINDS),
                }
            )
    made = {"sales": pd.DataFrame(sales), "weather": pd.DataFrame(weather)}
    for name, numbers in (("sales", ["y", "price"]), ("weather", ["temp", "wind"])):
        made[name][numbers] = made[name][numbers].astype(float)
    return made


def panel_of(strategy: FeastRetrieval) -> Panel:
    """What training reads."""
    wanted = schema(LENGTH)
    found = strategy.training_rows(FEATURES, [*wanted.past, *wanted.static[2:]])
    return panel_from_rows(
        found,
        entity_keys=wanted.entity_keys,
        past=wanted.past,
        known=(),
        categories=wanted.static[2:],
        frequency=Frequency.parse("D"),
        gaps="refuse",
    )


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    plugins, strategy = load_plugins(), FeastRetrieval(options(tmp_path_factory.mktemp("train")))
    ingest(strategy, rows(3, 40, gaps=False))

    def make(kind: Any, name: str, given_options: dict[str, Any]) -> Any:
        return plugins.load(kind, name)(
            plugins.find(kind, name).options.model_validate(given_options)
        )

    preprocessor = make("preprocessor", "native", {"past": [{"step": "impute"}, {"step": "scale"}]})
    model = make("model", "xgboost", {"n_estimators": 20, "n_jobs": 1})
    return fit_pair(
        panel_of(strategy), schema(LENGTH, quantiles=(0.1, 0.9)), preprocessor, model, 0, 2
    )


@pytest.fixture
def round_trip(
    pair: Pair, kind: str, place: str, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[dict[str, pd.DataFrame]], None]:
    def check(given_tables: dict[str, pd.DataFrame]) -> None:
        root: Path = tmp_path_factory.mktemp("example")
        strategy = FeastRetrieval(
            options(root, kind, place, window=LENGTH, windows={"weather": 10})
        )
        ingest(strategy, given_tables)
        strategy.materialize(FEATURES, None, None, lambda _: None)
        panel = panel_of(strategy)
        offline = pair.forecast(panel.context(pair.schema, panel.entities, None))
        pipeline = Pipeline(
            pair,
            FEATURES,
            strategy,
            Metrics().of_arm("production", make_version(1)),
            1000,
            ThreadPoolExecutor(1),
            BatchOptions(),
        )
        looked_up, sent = asyncio.run(both(pipeline, panel))
        assert offline.status == looked_up.status == sent.status == [OK] * len(panel.entities)
        for other in (looked_up, sent):
            assert other.values.tobytes() == offline.values.tobytes()
            assert other.entities.tolist() == offline.entities.tolist()
            assert other.times.tolist() == offline.times.tolist()

    return check


async def both(pipeline: Pipeline, panel: Panel) -> tuple[Forecast, Forecast]:
    """By entity, and by the last rows of each entity."""
    entities = [
        dict(zip(panel.entity_keys, entity, strict=True)) for entity in panel.entities.tolist()
    ]
    looked_up = await pipeline.answer(await pipeline.read_entities(Lookup(entities, None)))
    body = orjson.dumps(
        {"rows": [row for i in range(len(entities)) for row in last_rows(panel, i)]}
    )
    sent = await pipeline.answer(await pipeline.read_payload(body))
    assert pipeline.strategy is not None
    await pipeline.strategy.close()
    return looked_up, sent


def last_rows(panel: Panel, series: int) -> list[dict[str, Any]]:
    """As a client would write them."""
    end = int(panel.offsets[series + 1])
    made = []
    for i in range(end - LENGTH, end):
        numbers = {
            name: None if np.isnan(v) else float(v)
            for name, v in zip(panel.past_names, panel.past[i], strict=True)
        }
        time = str(panel.times[i].astype("M8[s]")) + "Z"
        made.append(
            {**dict(zip(panel.static_names, panel.static[i], strict=True)), TIME: time, **numbers}
        )
    return made


@pytest.mark.parametrize(
    ("kind", "examples"), [("sqlite", 20), pytest.param("redis", 50, marks=pytest.mark.stress)]
)
def test_online_payload_and_offline_are_one_forecast(
    round_trip: Callable[[dict[str, pd.DataFrame]], None], examples: int
) -> None:
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(tables())
    def check(drawn: dict[str, pd.DataFrame]) -> None:
        round_trip(drawn)

    check()
