"""``model=auto`` through the command line: chosen on origins before the backtest's, the same on a
rerun, and written as an experiment of plain keys that gives the same pair.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from framework.pairs.manifest import HALVES, hash_files
from framework.testing.servers import command

CONFIG = """
defaults:
  - framework
  - override /source: files
  - override /retrieval: file
  - override /model: auto
  - _self_
name: shops
source:
  files: {daily: daily.csv}
features:
  primary: daily
  views:
    daily: {entity: [shop], columns: [sales], ttl: 1d}
panel: {targets: [sales], frequency: D, horizon: 7, season_length: 7}
backtest: {folds: 1}
auto: {minutes: 0.02}
"""


def rows(days: int = 110, shops: int = 3) -> pd.DataFrame:
    """Shops of unlike size with a week and noise."""
    times = pd.date_range("2024-01-01", periods=days, freq="D")
    random, parts = np.random.default_rng(3), []
    for shop in range(shops):
        week = np.array([1.0, 0.8, 0.9, 1.0, 1.3, 1.8, 0.4])[np.arange(days) % 7]
        sales = 10.0 ** (1 + shop) * week * (1 + 0.1 * random.standard_normal(days))
        parts.append(pd.DataFrame({"shop": f"s{shop}", "event_timestamp": times, "sales": sales}))
    return pd.concat(parts)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "config.yaml").write_text(CONFIG)
    rows().to_csv(tmp_path / "daily.csv", index=False)
    return tmp_path


def _run(project: Path, *overrides: str) -> dict[str, Any]:
    ended = command.run(*overrides, cwd=project)
    assert ended.returncode == 0, ended.stderr
    result: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return result


def _bytes(state: Path) -> dict[str, dict[str, str]]:
    """The digests of the newest pair's files, without what names the run."""
    newest = max(state.glob("runs/*/*_train/pair"), key=lambda path: path.stat().st_mtime)
    return {half: hash_files(newest / half) for half in HALVES}


@pytest.mark.stress
def test_what_was_written_gives_the_same_pair(project: Path) -> None:
    first = _run(project, "paths.state=a")
    chosen = first["auto"]
    assert first["pair"]["version"] == 1
    ranked = [line["value"] for line in chosen["leaderboard"] if line["value"] is not None]
    assert len(ranked) > 4
    assert ranked == sorted(ranked)
    assert len({line["model"] for line in chosen["leaderboard"]}) > 1
    assert chosen["chosen"] == chosen["leaderboard"][0]["setup"]
    assert (
        first["metrics"]["model"]["MASE"] < first["metrics"]["baseline"]["MASE"]
    )  # noise around a week: the naive forecast doubles it

    written = project / chosen["written"]
    assert "auto" not in yaml.safe_load(written.read_text())["model"].values()
    again = _run(project, "+experiment=shops_auto", "paths.state=b")
    assert "auto" not in again
    assert again["metrics"] == first["metrics"]
    assert _bytes(project / "b") == _bytes(project / "a")

    answer = _run(project, "run=predict", "paths.state=a", "predict.output=f.parquet")
    assert answer["rows"] == 3 * 7  # the pair answers with the words it was trained with


@pytest.mark.stress
def test_a_plan_brings_its_changes_and_a_young_shop_has_none(project: Path) -> None:
    """What is written has them too, and gives the same pair."""
    config = project / "conf" / "config.yaml"
    plan = CONFIG.replace("[sales], ttl", "[sales, promo], ttl")
    config.write_text(plan.replace("panel: {", "panel: {known: [promo], "))
    table, week = rows(), pd.Timedelta(days=7)
    table["promo"] = (np.random.default_rng(1).random(len(table)) < 0.3).astype(float)
    table["sales"] *= 1 + table["promo"]
    last = table["event_timestamp"].max()
    ahead = table[table["event_timestamp"] > last - week].assign(sales=np.nan)
    table = pd.concat([table, ahead.assign(event_timestamp=ahead["event_timestamp"] + week)])
    days = table["event_timestamp"] > last - pd.Timedelta(days=11)
    young = table[(table["shop"] == "s0") & days].assign(shop="young")
    pd.concat([table, young]).to_csv(project / "daily.csv", index=False)
    first = _run(project, "paths.state=a")
    written = yaml.safe_load((project / first["auto"]["written"]).read_text())
    assert written["panel"]["known"] == ["promo", "promo_difference_7"]
    again = _run(project, "+experiment=shops_auto", "paths.state=b")
    assert again["metrics"] == first["metrics"]
    assert _bytes(project / "b") == _bytes(project / "a")
    _run(project, "run=predict", "paths.state=a", "predict.output=f.parquet")
    assert set(pd.read_parquet(project / "f.parquet")["status"]) == {"ok"}


@pytest.mark.stress
def test_a_rerun_chooses_the_same_and_writes_over_nothing_of_mine(project: Path) -> None:
    first = _run(project, "run=backtest", "paths.state=a")
    written = project / first["auto"]["written"]
    text = written.read_text()
    rerun = _run(project, "run=backtest", "paths.state=c")
    assert rerun["auto"] == first["auto"]
    assert rerun["metrics"] == first["metrics"]
    assert written.read_text() == text

    written.write_text(text + "# mine\n")
    refused = command.run("run=backtest", "paths.state=c", cwd=project)
    assert refused.returncode == 2
    assert "auto.output: conf/experiment/shops_auto.yaml is not as model=auto wrote" in (
        refused.stderr
    )
    assert written.read_text().endswith("# mine\n")
    idle = command.run("model=seasonal_naive", "auto.minutes=1", cwd=project)
    assert idle.returncode == 2
    assert "auto.minutes: only model=auto takes it" in idle.stderr


@pytest.mark.stress
def test_the_choice_does_not_see_what_the_backtest_judges(project: Path) -> None:
    """Nor does the backtest see the hold-out, whose figures stand apart."""
    words = ("run=backtest", "paths.state=a", "backtest.holdout=1")
    before = _run(project, *words)
    assert before["holdout"]["origins"] == ["2024-04-12T00:00:00.000000"]
    assert before["holdout"]["targets"]["sales"]["model"]["MASE"] < 1
    changed = rows()
    days = changed["event_timestamp"].max() - changed["event_timestamp"]
    changed.loc[days < pd.Timedelta(days=7), "sales"] *= -50
    changed.to_csv(project / "daily.csv", index=False)
    shutil.rmtree(project / "a")
    after = _run(project, *words)
    assert after["auto"] == before["auto"]
    assert after["metrics"] == before["metrics"]
    assert after["holdout"]["targets"]["sales"]["model"]["MASE"] > 10


@pytest.mark.stress
def test_a_new_series_takes_no_naive_forecast_out_of_the_race(project: Path) -> None:
    """The baseline of the written experiment has the season too."""
    table = rows()
    late = table[(table["shop"] == "s0") & (table["event_timestamp"] > "2024-03-12")]
    pd.concat([table, late.assign(shop="new")]).to_csv(project / "daily.csv", index=False)
    auto = _run(project, "run=backtest", "panel.short=keep")["auto"]
    values = {line["setup"]: line["value"] for line in auto["leaderboard"]}
    assert values["seasonal_naive_7"] < values["last_value"]
    written = yaml.safe_load((project / auto["written"]).read_text())
    assert written["baseline"]["seasons"] == [7]


@pytest.mark.stress
def test_set_ups_are_judged_by_what_was_known(project: Path) -> None:
    """A correction that comes after the first origin of the backtest does not change the choice."""
    table = rows()
    first = table["event_timestamp"].max() - pd.Timedelta(days=7)
    table["seen"] = table["event_timestamp"]
    corrected = table[table["event_timestamp"].between("2024-03-20", "2024-04-01")]
    corrected = corrected.assign(sales=-corrected["sales"], seen=first + pd.Timedelta(days=3))
    words = ("run=backtest", "backtest.as_known=true", "+features.views.daily.created=seen")
    boards = []
    for state, parts in (("a", [table]), ("b", [table, corrected])):
        pd.concat(parts).to_csv(project / "daily.csv", index=False)
        boards.append(_run(project, *words, f"paths.state={state}")["auto"]["leaderboard"])
    assert boards[0] == boards[1]


def test_too_short_a_history_is_forecast_by_its_season(project: Path) -> None:
    """A shop of the last ten days, of which three are known at the origin, too."""
    table = rows(days=24)
    pd.concat([table, table.tail(10).assign(shop="new")]).to_csv(project / "daily.csv", index=False)
    result = _run(project, "run=backtest")
    auto = result["auto"]
    assert auto["chosen"] == "seasonal_naive_7"
    assert result["series"]["no_forecast"]["windows"] == 0
    assert "too short" in auto["leaderboard"][0]["error"]


@pytest.mark.stress
def test_the_words_of_a_config_make_features_for_any_model(project: Path) -> None:
    """``engineer: auto`` and ``future: auto`` alone."""
    words = ("+features.views.daily.engineer=auto", "preprocessor.future=auto")
    booster = ("run=backtest", "model=lightgbm", "model.n_estimators=30")
    with_words = _run(project, *booster, *words)
    without = _run(project, *booster)
    assert with_words["metrics"]["model"]["MAE"] < without["metrics"]["model"]["MAE"]


def test_a_model_that_beats_a_weak_baseline_only_is_warned_of(project: Path) -> None:
    """A steady rise: trees stay behind it, the value of a week before still more."""
    table, random = rows(), np.random.default_rng(5)
    day = (table["event_timestamp"] - table["event_timestamp"].min()).dt.days.to_numpy()
    table["sales"] = 10 + 0.5 * day + 0.2 * random.standard_normal(len(table))
    table.to_csv(project / "daily.csv", index=False)
    words = ("run=backtest", "model=lightgbm", "model.n_estimators=60")
    (line,) = _run(project, *words, "baseline=seasonal_naive")["warnings"]
    assert "strongest_naive (drift) beats model=lightgbm, which beats only the baseline" in line
    result = _run(project, *words)
    (line,) = result["warnings"]
    assert "the baseline strongest_naive (drift) beats model=lightgbm" in line
    assert result["baseline"] == {"name": "strongest_naive", "choices": {"sales": {"drift": 1}}}


@pytest.mark.stress
def test_a_season_that_no_frequency_suggests_is_found(project: Path) -> None:
    """Ten days, without ``panel.season_length``; its features and the baseline have it."""
    table, pattern = rows(days=200), np.random.default_rng(10).standard_normal(10)
    day = (table["event_timestamp"] - table["event_timestamp"].min()).dt.days.to_numpy()
    noise = np.random.default_rng(2).standard_normal(len(table))
    table["sales"] = 50 + 0.1 * day + 8 * pattern[day % 10] + noise
    table.to_csv(project / "daily.csv", index=False)
    config = project / "conf" / "config.yaml"
    config.write_text(CONFIG.replace(", season_length: 7", ""))
    auto = _run(project, "run=backtest")["auto"]
    assert auto["seasons"] == [10]
    values = {line["setup"]: line["value"] for line in auto["leaderboard"]}
    assert values["seasonal_naive_10"] == min(v for n, v in values.items() if "naive" in n)
    written = yaml.safe_load((project / auto["written"]).read_text())
    assert written["panel"]["seasons"] == [7, 10]
    assert written["baseline"]["seasons"] == [7, 10]
    rolling = written["features"]["views"]["daily"]["engineer"][1]
    assert 10 in rolling["windows"]
