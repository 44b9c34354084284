"""Steps to come: a plan is used where it is stored, an unknown target is no history, batch and
backtest say what a server says.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from framework.data.vocabulary import TIME
from framework.testing.servers import command

DAYS, H = 60, 4
FIRST = pd.Timestamp("2024-01-01", tz="UTC")
VIEWS: dict[str, Any] = {
    "sales": {
        "entity": ["shop", "item"],
        "columns": ["y"],
        "ttl": "1d",
        "engineer": [{"op": "lag", "columns": ["y"], "steps": [1]}],
    },
    "plan": {"entity": ["shop"], "columns": ["promo"], "ttl": "1d"},
}


def steps(days: int, every: str = "D") -> pd.DatetimeIndex:
    return pd.date_range(FIRST, periods=days, freq=every)


def planned(rows: int) -> np.ndarray:
    return (np.arange(rows) % 5 == 1).astype(float)


def sales(shop: str, item: str, days: int, every: str = "D") -> pd.DataFrame:
    """Sales of a flat level that a promotion doubles."""
    level = 10.0 if item == "x" else 20.0
    times = steps(days, every)
    return pd.DataFrame({"shop": shop, "item": item, TIME: times, "y": level * (1 + planned(days))})


def project(
    root: Path, tables: dict[str, pd.DataFrame], views: dict[str, Any], **panel: Any
) -> Path:
    (root / "conf" / "experiment").mkdir(parents=True)
    (root / "conf" / "config.yaml").write_text(
        "defaults: [framework, {override /retrieval: file}, _self_]\n"
    )
    for name, rows in tables.items():
        rows.sort_values([*views[name]["entity"], TIME]).to_csv(root / f"{name}.csv", index=False)
    experiment = {
        "defaults": [{"override /source": "files"}, {"override /model": "xgboost"}],
        "name": "t",
        "source": {"files": {name: f"{name}.csv" for name in tables}},
        "features": {"primary": "sales", "views": views},
        "panel": {
            "targets": ["y"],
            "frequency": "D",
            "horizon": H,
            "season_length": 5,
            "known": ["promo"],
            **panel,
        },
        "backtest": {"folds": 2},
        "model": {"n_estimators": 30},
    }
    (root / "conf" / "experiment" / "e.yaml").write_text(
        "# @package _global_\n" + yaml.safe_dump(experiment)
    )
    return root


def run(root: Path, *overrides: str) -> dict[str, Any]:
    done = command.run("+experiment=e", *overrides, cwd=root)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    # The promotions come every fifth day, as the baseline knows: it is better, and that is said.
    warnings = [text for text in result.get("warnings", []) if "the baseline" not in text]
    return {**result, "warnings": warnings, "code": done.returncode}


def forecasts(root: Path, *overrides: str) -> pd.DataFrame:
    result = run(root, "run=predict", f"predict.output={root / 'out.parquet'}", *overrides)
    assert result["code"] == 0, result
    return pd.read_parquet(root / "out.parquet")


def two_series(root: Path, plan_days: int, **view: Any) -> Path:
    """``a/x`` has 60 days of sales, ``a/y`` 57; the plan of shop ``a`` goes to ``plan_days``."""
    plan = pd.DataFrame({"shop": "a", TIME: steps(plan_days), "promo": planned(plan_days)})
    tables = {"sales": pd.concat([sales("a", "x", DAYS), sales("a", "y", DAYS - 3)]), "plan": plan}
    return project(root, tables, {**VIEWS, "plan": {**VIEWS["plan"], **view}})


def test_a_plan_of_another_view_is_used_from_the_newest_actual_of_each_series(
    tmp_path: Path,
) -> None:
    root = two_series(tmp_path, DAYS + H)
    trained = run(root)
    assert (trained["code"], trained["warnings"]) == (0, [])
    table = forecasts(root)
    assert table["status"].tolist() == ["ok"] * (2 * H)
    assert dict(zip(table["item"], (table["origin"] - FIRST).dt.days, strict=True)) == {
        "x": DAYS - 1,
        "y": DAYS - 4,
    }
    for _, row in table.iterrows():
        day = (row["event_timestamp"] - FIRST).days
        expected = (10.0 if row["item"] == "x" else 20.0) * (2 if day % 5 == 1 else 1)
        assert row["mean"] == pytest.approx(expected, rel=0.2)


@pytest.mark.stress
def test_a_plan_that_ends_early_is_said_at_training_and_in_the_batch(tmp_path: Path) -> None:
    root = two_series(tmp_path, DAYS + H - 2)
    (warning,) = run(root)["warnings"]
    assert "1 of 2 series" in warning
    assert "'promo' for 2 of the 4 steps after the origin 2024-02-29" in warning
    table = forecasts(root)
    assert table.groupby("item")["status"].unique().map(list).to_dict() == {
        "x": ["missing_feature"],
        "y": ["ok"],
    }
    assert table[table["item"] == "x"]["mean"].isna().all()


@pytest.mark.stress
def test_a_request_after_the_newest_actual_is_a_missing_feature(tmp_path: Path) -> None:
    root = two_series(tmp_path, DAYS + 2 * H)
    run(root)
    assert set(forecasts(root, "at=2024-03-01")["status"]) <= {"missing_feature", "stale"}


def test_a_plan_in_the_primary_view_is_no_history(tmp_path: Path) -> None:
    """Nor is its change since five days before, which a series of three days does not have."""
    rows = sales("a", "x", DAYS + H).assign(promo=planned(DAYS + H))
    rows.loc[rows.index >= DAYS, "y"] = np.nan
    rows = pd.concat([rows, rows[rows.index >= DAYS - 3].assign(item="young")])
    change = {"op": "difference", "columns": ["promo"], "steps": [5]}
    engineer = [*VIEWS["sales"]["engineer"], change]
    views = {"sales": {**VIEWS["sales"], "columns": ["y", "promo"], "engineer": engineer}}
    known = ["promo", "promo_difference_5"]
    root = project(tmp_path, {"sales": rows}, views, known=known)
    trained = run(root)
    assert (trained["code"], trained["warnings"]) == (0, [])
    folds = pd.read_parquet(trained["backtest"])
    assert folds["event_timestamp"].max() == FIRST + pd.Timedelta(days=DAYS - 1)
    assert folds["actual"].notna().all()
    table = forecasts(root)
    assert table["origin"].unique().tolist() == [FIRST + pd.Timedelta(days=DAYS - 1)]
    assert table["status"].unique().tolist() == ["ok"]
    assert table["mean"].max() == pytest.approx(20.0, rel=0.2)  # day 61 has a promotion


@pytest.mark.stress
def test_a_view_that_stopped_is_stale_in_backtest_and_batch(tmp_path: Path) -> None:
    rows = pd.concat([sales("a", "x", DAYS), sales("b", "x", DAYS)])
    weather = pd.DataFrame(
        {"shop": np.repeat(["a", "b"], DAYS), TIME: [*steps(DAYS)] * 2, "temp": 1.0}
    )
    weather = weather[
        (weather["shop"] == "a") | (weather[TIME] < FIRST + pd.Timedelta(days=DAYS - H - 3))
    ]
    views = {
        "sales": VIEWS["sales"],
        "weather": {"entity": ["shop"], "columns": ["temp"], "ttl": "1d"},
    }
    root = project(tmp_path, {"sales": rows, "weather": weather}, views, known=[])
    trained = run(root)
    (warning,) = trained["warnings"]
    assert "1 of 2 series get no forecast from their newest actual (stale)" in warning
    assert trained["series"]["no_forecast"]["windows"] == 1  # of b, in the newer of two folds
    folds = pd.read_parquet(trained["backtest"])
    assert folds[folds["mean"].isna()].groupby(["fold", "shop"]).size().to_dict() == {(1, "b"): H}
    assert forecasts(root).groupby("shop")["status"].unique().map(list).to_dict() == {
        "a": ["ok"],
        "b": ["stale"],
    }
    at_the_stale_origin = forecasts(
        root, f"at={(FIRST + pd.Timedelta(days=DAYS - H - 1)).isoformat()}"
    )
    assert at_the_stale_origin.groupby("shop")["status"].unique().map(list).to_dict() == {
        "a": ["ok"],
        "b": ["stale"],
    }


@pytest.mark.stress
def test_two_targets_of_which_one_ends_earlier_are_judged_where_they_are_known(
    tmp_path: Path,
) -> None:
    rows = sales("a", "x", DAYS).assign(z=np.arange(DAYS) % 5 + 1.0)
    rows.loc[rows.index >= DAYS - H, "z"] = np.nan
    root = project(
        tmp_path,
        {"sales": rows},
        {"sales": {**VIEWS["sales"], "columns": ["y", "z"]}},
        known=[],
        targets=["y", "z"],
    )
    trained = run(root)
    assert [line for line in trained["warnings"] if "has no actual of 'z'" in line], trained[
        "warnings"
    ]
    assert trained["metrics"]["targets"]["z"]["model"]["MAE"] is not None
    table = forecasts(root)  # the pair can be loaded although its newest window says nothing of z
    assert table["origin"].unique().tolist() == [FIRST + pd.Timedelta(days=DAYS - 1)]
    assert table["status"].unique().tolist() == ["short_history"]


@pytest.mark.stress
def test_a_series_without_any_actual_is_named(tmp_path: Path) -> None:
    rows = pd.concat([sales("a", "x", DAYS), sales("b", "x", DAYS).assign(y=np.nan)])
    root = project(tmp_path, {"sales": rows}, {"sales": VIEWS["sales"]}, known=[])
    trained = run(root)
    assert (trained["code"], trained["series"]["count"]) == (0, 1)
    assert [
        line
        for line in trained["warnings"]
        if "1 of 2 series have rows but no value of any target" in line
    ]


def test_a_target_is_not_known_in_advance(tmp_path: Path) -> None:
    root = project(
        tmp_path, {"sales": sales("a", "x", DAYS)}, {"sales": VIEWS["sales"]}, known=["y"]
    )
    refused = run(root)
    assert refused["code"] == 2
    assert "panel.known: 'y' is a target" in refused["error"]


def test_rows_and_their_future_from_files_give_what_the_store_gives(tmp_path: Path) -> None:
    root = two_series(tmp_path, DAYS + H)
    run(root)
    stored = forecasts(root)
    rows = pd.read_csv(root / "sales.csv", parse_dates=[TIME])
    rows["y_lag_1"] = rows.groupby("item")["y"].shift(1)
    rows.groupby("item").tail(1).to_parquet(root / "rows.parquet", index=False)
    plan = pd.read_csv(root / "plan.csv", parse_dates=[TIME])
    future = pd.concat([plan.assign(item=item) for item in "yx"])
    future.sample(frac=1, random_state=1).to_parquet(root / "future.parquet", index=False)
    given = (f"predict.rows={root / 'rows.parquet'}", f"predict.future={root / 'future.parquet'}")
    pd.testing.assert_frame_equal(forecasts(root, *given), stored, check_exact=True)

    short = future[(future["item"] == "y") | (future[TIME] < FIRST + pd.Timedelta(days=DAYS + 1))]
    short.to_parquet(root / "future.parquet", index=False)
    table = forecasts(root, *given)
    assert table.groupby("item")["status"].unique().map(list).to_dict() == {
        "x": ["missing_feature"],
        "y": ["ok"],
    }
    assert (
        table[table["item"] == "y"]["mean"].tolist()
        == stored[stored["item"] == "y"]["mean"].tolist()
    )

    pd.concat([short, short.tail(1)]).to_parquet(root / "future.parquet", index=False)
    twice = run(root, "run=predict", *given)
    assert "two rows for ['a'," in twice["error"]
    without = run(root, "run=predict", given[0])
    assert (
        "predict.future, a Parquet file of ['shop', 'item', 'event_timestamp', 'promo']"
        in without["error"]
    )
    alone = run(root, "run=predict", given[1])
    assert (alone["code"], alone["error"][:15]) == (2, "predict.future:")


@pytest.mark.stress
def test_rows_that_hold_for_longer_say_so(tmp_path: Path) -> None:
    root = two_series(tmp_path, DAYS + H, valid_for="7d")
    pd.read_csv(root / "plan.csv").iloc[::7].to_csv(
        root / "plan.csv", index=False
    )  # the last row, of day 63, holds to day 69
    assert run(root)["warnings"] == []
    assert forecasts(root)["status"].unique().tolist() == ["ok"]
