"""Short series, new series and unused covariates: each by its declared policy, each named, none
left out in silence.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from framework.config.sections import BacktestConfig
from framework.data.panel import Panel
from framework.data.vocabulary import OK, UNKNOWN_ENTITY
from framework.errors import ConfigError, DataError
from framework.evaluation.backtest import Setting, run_backtest
from framework.evaluation.eligibility import check_covariates, take_part, unused_covariates
from framework.interfaces.model import Covariates
from framework.options import Options
from framework.pairs.artifacts import TRAINED, Evidence, open_pair, write_pair
from framework.plugins.compute import LocalCompute
from framework.plugins.discovery import load_plugins
from framework.testing import fakes
from framework.testing.fakes import FakeModel, FakePreprocessor
from framework.testing.panels import make_panel, panel_schema
from framework.testing.servers import command
from framework.testing.servers.fake_server import make_pipeline

EXAMPLE = Path(__file__).parents[2] / "examples" / "project"
ALL = [{"shop": f"shop-{i}"} for i in range(4)]


def ragged() -> Panel:
    """Series of 120, 115, 110 and 105 days; the last two begin 19 and 4 days before the end."""
    panel = make_panel(series=4)
    begins = np.repeat(
        panel.times.max() - np.array([500, 500, 18, 3]) * np.timedelta64(1, "D"),
        np.diff(panel.offsets),
    )
    return panel.select(panel.times >= begins)


def test_short_series_are_refused_by_name_and_length() -> None:
    panel = ragged()
    with pytest.raises(DataError) as caught:
        take_part(panel, panel_schema(panel, context_length=7), "refuse", 14)
    assert str(caught.value) == (
        "panel.short: 2 of 4 series have fewer than 8 steps before the 14 validation steps, "
        "too few to learn from: {shop: shop-2} has 5, "
        "{shop: shop-3} has 0; panel.short=drop leaves them out, keep has them forecast "
        "once they are long enough."
    )


def test_without_validation_a_series_may_be_shorter() -> None:
    panel = ragged()
    _, series = take_part(panel, panel_schema(panel, context_length=18), "keep", 0)
    assert series.short == {("shop-3",): 4}


def test_drop_leaves_them_out_of_the_panel_and_of_what_was_known_earlier() -> None:
    panel = replace(ragged(), vintages={np.datetime64("2024-06-01", "us"): make_panel(series=4)})
    kept, series = take_part(panel, panel_schema(panel, context_length=7), "drop", 14)
    assert kept.entities.tolist() == [["shop-0"], ["shop-1"]]
    assert [p.entities.tolist() for p in kept.vintages.values()] == [kept.entities.tolist()]
    assert len(kept) == 120 + 115 == len(kept.past) == len(kept.static)
    assert (series.count, len(series.short)) == (4, 2)
    with pytest.raises(DataError, match=r"panel\.short=drop leaves none of the 4 series"):
        take_part(panel, panel_schema(panel, context_length=500), "drop", 14)


def make_fakes() -> tuple[FakePreprocessor, FakeModel]:
    return FakePreprocessor(Options()), FakeModel(Options())


def result_of(
    panel: Panel, policy: Literal["drop", "keep"], new: Literal["forecast", "refuse"] = "forecast"
) -> dict[str, Any]:
    schema = panel_schema(panel, context_length=7)
    panel, series = take_part(panel, schema, policy, 14)
    setting = Setting(panel, schema, make_fakes, lambda: FakeModel(Options()), 7, 14, 7, new)
    return series.as_dict(
        run_backtest(setting, BacktestConfig(folds=2), LocalCompute(Options()), lambda *_: None)
    )


def test_what_was_done_is_in_the_result() -> None:
    """At the first origin, 10 days before the end, shop-2 has 9 days and shop-3 none; at the
    second, 5 days later, 14 and none.
    """
    short = [{"shop": "shop-2"}, {"shop": "shop-3"}]
    assert result_of(ragged(), "keep") == {
        "count": 4,
        "short": {"policy": "keep", "needed": 8, "dropped": 0, "count": 2, "series": short},
        "windows": 6,
        "no_forecast": {"windows": 0, "count": 0, "series": []},
        "not_judged": 1,
    }
    dropped = result_of(ragged(), "drop")
    assert dropped["short"] == {
        "policy": "drop",
        "needed": 8,
        "dropped": 2,
        "count": 2,
        "series": short,
    }
    assert (dropped["windows"], dropped["not_judged"]) == (4, 0)


def test_a_fold_answers_a_series_it_was_not_trained_on_as_a_server_would() -> None:
    """Begins within the first fold's gap of learning: no row before the cutoff, enough history at
    the origin.
    """
    panel = ragged()
    schema = panel_schema(panel, context_length=7)
    panel, _ = take_part(panel, schema, "keep", 14)
    answered = {}
    for new in ("forecast", "refuse"):
        setting = Setting(
            panel,
            schema,
            lambda: (FakePreprocessor(Options()), FakeModel(Options())),
            lambda: FakeModel(Options()),
            7,
            0,
            7,
            new,
        )
        config = BacktestConfig(folds=1, gap=15)
        result = run_backtest(setting, config, LocalCompute(Options()), lambda *_: None)
        answered[new] = {
            str(e[0]): bool(np.isfinite(f).all())
            for e, f in zip(result.entities, result.forecast, strict=True)
        }
    assert answered["forecast"] == {"shop-0": True, "shop-1": True, "shop-2": True}
    assert answered["refuse"] == {"shop-0": True, "shop-1": True, "shop-2": False}


def test_a_pair_that_refuses_new_series_keeps_who_it_knows(tmp_path: Path) -> None:
    made, golden = fakes.make_pair()
    known = frozenset(tuple(row[:2]) for row in golden.context.static[:3])
    pair = replace(made, trained=known)
    write_pair(
        tmp_path,
        pair,
        {"preprocessor": "fake", "model": "fake"},
        Evidence(golden, _no_backtest(), {}),
    )
    assert (tmp_path / "model" / TRAINED).is_file()
    opened = open_pair(tmp_path / "preprocessor", tmp_path / "model", load_plugins(extra=[fakes]))
    assert opened.trained == known
    served = make_pipeline(opened).forecast(golden.context)
    for forecast in (opened.forecast(golden.context), served):
        assert forecast.status == [OK, OK, OK, UNKNOWN_ENTITY]
        assert forecast.detail[3] == "the pair was not trained on this series, and panel.new=refuse"
        assert np.isfinite(forecast.values[:3]).all()
        assert np.isnan(forecast.values[3]).all()
    assert make_pipeline(made).forecast(golden.context).status == [OK] * 4


def _no_backtest() -> Any:
    import pandas as pd

    return pd.DataFrame({"step": [1]})


class Blind(FakeModel):
    @property
    def covariates(self) -> frozenset[Covariates]:
        return frozenset({"past"})


def test_covariates_that_a_model_does_not_use_are_named_or_refused() -> None:
    schema = panel_schema(make_panel(series=2))
    assert unused_covariates(schema, FakeModel(Options())) == {}
    blind = Blind(Options())
    assert unused_covariates(schema, blind) == {
        "future": ["promotion", "price"],
        "static": ["format"],
    }
    lines = check_covariates(schema, blind, "blind", "warn")
    assert (
        lines[0]
        == "model=blind does not use future covariates: 2 columns are left out, promotion, price"
    )
    with pytest.raises(
        ConfigError,
        match=r"panel\.unused: model=blind does not use future .*; choose another model",
    ):
        check_covariates(schema, blind, "blind", "refuse")


#: What each bundled family learns from beside the targets' history.
FAMILIES: dict[str, tuple[dict[str, Any], set[str]]] = {
    "xgboost": ({}, {"past", "future", "static"}),
    "lightgbm": ({}, {"past", "future", "static"}),
    "nlinear": ({}, {"past", "future", "static"}),
    "nlinear, shared": ({"shared_weights": True}, {"static"}),
    "nlinear, no past": ({"use_past_covariates": False}, {"future", "static"}),
    "dlinear": ({}, {"past", "future", "static"}),
    "tft": ({}, {"past", "future", "static"}),
    "tide": ({}, {"past", "future", "static"}),
    "tsmixer": ({}, {"past", "future", "static"}),
    "nbeats": ({}, {"past"}),
    "nhits": ({}, {"past"}),
    "auto_arima": ({"season_length": 7}, set()),
    "auto_ets": ({"season_length": 7}, set()),
    "auto_theta": ({"season_length": 7}, set()),
    "seasonal_naive": ({"season_length": 7}, set()),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_every_bundled_model_says_what_it_uses(family: str) -> None:
    name, (options, expected) = family.partition(",")[0], FAMILIES[family]
    plugins = load_plugins()
    model = plugins.load("model", name)(plugins.find("model", name).options.model_validate(options))
    assert model.covariates == expected


def test_a_shop_that_opened_last_week(tmp_path: Path) -> None:
    folder = Path(
        shutil.copytree(EXAMPLE, tmp_path / "project", ignore=shutil.ignore_patterns("state"))
    )
    data = folder / "data" / "sales.csv"
    header, *rows = data.read_text().splitlines()
    shop = header.split(",").index("shop")
    cells = [row.split(",") for row in rows]
    opened = [
        ",".join([*cell[:shop], "zeta", *cell[shop + 1 :]])
        for cell in cells
        if cell[shop] == cells[-1][shop]
    ]
    data.write_text("\n".join([header, *rows, *opened[-5:]]) + "\n")
    done = command.run(
        "+experiment=shops", "run=backtest", "panel.short=keep", cwd=folder, page=True
    )
    assert done.returncode == 0, done.stderr
    kept = json.loads(done.stdout.splitlines()[-1])
    assert kept["series"]["short"]["series"] == [{"shop": "zeta"}]
    assert kept["series"]["not_judged"] == 1
    assert kept["warnings"][0].startswith("model=seasonal_naive does not use past covariates")
    page = Path(folder / kept["report"]).read_text()
    assert "zeta" in page
