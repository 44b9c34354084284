"""``model=NAME`` alone: the shipped experiments train and serve every bundled model with Feast's
online store, in whatever order.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from feast_cases import FIRST, options
from framework_feast.retrieval import FeastRetrieval
from hydra import compose, initialize_config_dir

from framework.config.config import Config, build_config
from framework.data.frequency import Frequency
from framework.data.vocabulary import OK, TIME
from framework.plugins import composition as framework_compose
from framework.plugins.components import Components
from framework.plugins.discovery import load_plugins
from framework.retrieval.features import Features
from framework.retrieval.schema import make_needs
from framework.serving.deployment import Deployment

CONF = Path(__file__).parents[3] / "conf"
#: Not those that need another word: the mean its members, chronos2 its weights. Nor the choice,
#: which reads data to become one.
MODELS = sorted(
    component.name
    for component in load_plugins().components()
    if component.kind == "model" and component.name not in ("auto", "chronos2", "ensemble")
)


def composed(experiment: str, model: str | None) -> Config:
    plugins = load_plugins()
    framework_compose.register(plugins)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        given = [] if model is None else [f"model={model}"]
        return build_config(compose("config", [f"+experiment={experiment}", *given]), plugins)


def stored(config: Config, strategy: FeastRetrieval, steps: int) -> dict[str, str]:
    """One entity with random rows in every view."""
    rng, frequency = np.random.default_rng(5), Frequency.parse(config.panel.frequency)
    start = FIRST.tz_localize(None).to_datetime64().astype("M8[us]")
    times = pd.DatetimeIndex(frequency.shift(np.full(steps, start), np.arange(steps))).tz_localize(
        "UTC"
    )
    entity = dict.fromkeys(config.features.entity_keys, "x")
    for name, view in config.features.views.items():
        columns = {column: rng.normal(size=steps) for column in view.feature_names()}
        keys = {key: entity[key] for key in view.entity}
        strategy.ingest(config.features, name, pd.DataFrame({**keys, TIME: times, **columns}))
    return entity


@pytest.fixture(
    scope="module", params=["xgb_daily", pytest.param("xgb_hourly", marks=pytest.mark.stress)]
)
def store(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path, dict[str, str]]:
    """Materialized for the model of the experiment."""
    root, config = tmp_path_factory.mktemp("store"), composed(request.param, None)
    strategy = FeastRetrieval(options(root))
    entity = stored(config, strategy, 100 if request.param == "xgb_daily" else 1680)
    needs = make_needs(config, Components(config, load_plugins()).make("model"))
    strategy.materialize(config.features, None, None, lambda _: None, needs=needs)
    return request.param, root, entity


def test_every_bundled_model_is_meant() -> None:
    assert {"xgboost", "lightgbm", "nlinear", "tft", "seasonal_naive", "auto_theta"} <= set(MODELS)


@pytest.mark.gate_cases(8)
@pytest.mark.parametrize("model", MODELS)
def test_a_model_is_one_word(store: tuple[str, Path, dict[str, str]], model: str) -> None:
    experiment, root, entity = store
    config = composed(experiment, model)
    strategy, trained = (
        FeastRetrieval(options(root)),
        Components(config, load_plugins()).make("model"),
    )
    features = Features(config, strategy)
    schema = features.schema(features.panel(), trained)  # which training begins with
    strategy.lengthen(
        config.features, make_needs(config, trained), lambda _: None
    )  # as training does

    deployment = Deployment(
        Components(config, load_plugins()),
        config.name,
        "production",
        config.features,
        "feast",
        root,
    )
    deployment.__dict__["strategy"] = strategy
    deployment.check(schema)

    async def ask() -> tuple[str, str | None, int]:
        context = await features.context(schema, [entity], None)
        await strategy.close()
        return context.status[0], context.detail[0], context.past.shape[1]

    status, detail, length = asyncio.run(ask())
    assert status == OK, detail
    assert length == trained.context_length(config.panel.season_length)
