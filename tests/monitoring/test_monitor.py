"""``run=monitor``: served forecasts beside actual values and the backtest of the pair."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import orjson
import pandas as pd
import pyarrow as pa
import pytest

from framework.data.frequency import Frequency
from framework.data.panel_rows import panel_from_rows
from framework.data.schema import Schema
from framework.data.vocabulary import OK, TIME
from framework.errors import ConfigError, DataError, RegistryError
from framework.monitoring.promised import Promise, with_before
from framework.monitoring.report import pair_report
from framework.monitoring.served import Reading, Served, read_served
from framework.monitoring.watching import Watched, anomalies, drifted_series, watch
from framework.runs.monitor import monitor
from framework.runs.options import MonitorOptions
from framework.runs.steps.checks import check_comparison
from framework.runs.steps.findings import findings, sentence
from framework.serving.http.asgi import Call
from framework.serving.options import ServingOptions
from framework.serving.service import Service
from framework.testing import fakes
from framework.testing.folder_registry import FolderRegistry
from framework.testing.served_runs import ENTITIES, LEDGER, TARGETS, ingest, make_run
from framework.testing.servers.fake_server import make_deployment


@pytest.fixture
def run(tmp_path: Path) -> Any:
    return make_run(tmp_path, MonitorOptions())


def served_table(run: Any) -> pd.DataFrame:
    pieces = list(LEDGER.read("fake", run.config.paths.state, ["*"], None))
    table = pa.concat_tables(pieces, promote_options="default").to_pandas()
    return table.sort_values("at").drop_duplicates(["airport", TIME, "target"], keep="last")


def by_hand(run: Any, actuals: pd.DataFrame, target: str) -> dict[str, float]:
    table = served_table(run)
    long = actuals.melt(["airport", TIME], list(TARGETS), "target", "actual")
    judged = table.merge(long, on=["airport", TIME, "target"])
    judged = judged[judged["target"] == target]
    error = judged["mean"] - judged["actual"]
    low, high = judged["q0.1"], judged["q0.9"]
    loss = [
        np.maximum(q * (judged["actual"] - f), (q - 1) * (judged["actual"] - f))
        for q, f in ((0.1, low), (0.9, high))
    ]
    outside = np.maximum(low - judged["actual"], 0) + np.maximum(judged["actual"] - high, 0)
    return {
        "steps": len(judged),
        "MAE": error.abs().mean(),
        "RMSE": np.sqrt((error**2).mean()),
        "WAPE": error.abs().sum() / judged["actual"].abs().sum(),
        "bias": error.mean(),
        "pinball": np.mean(loss),
        "WQL": 2 * np.mean([part.sum() for part in loss]) / judged["actual"].abs().sum(),
        "coverage": ((low <= judged["actual"]) & (judged["actual"] <= high)).mean(),
        "interval_score": (high - low + outside / 0.1).mean(),
    }


def test_figures_follow_late_and_corrected_rows(run: Any) -> None:
    steps = pd.date_range("2024-03-02", periods=2, freq="D", tz="UTC")
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"airport": np.repeat(ENTITIES, 2), TIME: np.tile(steps, 10)})
    rows = rows.assign(departures=rng.normal(9, 3, 20), delay=rng.normal(3, 3, 20))
    ingest(run, rows.iloc[:-3])
    first = monitor(run)
    assert first["live"]["production"]["delay"]["steps"] == 17
    assert first["expected"]["production"]["delay"]["waiting"] == 30 - 17
    assert first["expected"]["production"]["delay"]["MAE_estimate"] > 0
    corrected = rows.copy()
    corrected.loc[[0, 5], ["departures", "delay"]] = [[100.0, -50.0], [0.0, 9.0]]
    ingest(run, corrected.iloc[[0, 5, 17, 18, 19]])  # three are late, two corrected
    result = monitor(run)
    for target in TARGETS:
        live = result["live"]["production"][target]
        for name, value in by_hand(run, corrected, target).items():
            assert live[name] == pytest.approx(value, rel=1e-9, abs=1e-9), name
    assert result["skew"] == {"entities": 10, "differences": []}
    assert result["ledger"] == {"rows": 120, "missing": 0, "waiting": 0}
    assert {one["verdict"] for one in result["drift"]} == {"too few"}
    json.dumps(result, allow_nan=False)


def test_a_ledger_of_hashes_is_judged_by_the_entities_of_the_store(tmp_path: Path) -> None:
    hashes = make_run(tmp_path / "hashes", MonitorOptions(), hashed=["airport"])
    plain = make_run(tmp_path / "plain", MonitorOptions())
    time = pd.Timestamp("2024-03-02", tz="UTC")
    rows = pd.DataFrame({"airport": ENTITIES, TIME: time, "departures": 9.0, "delay": 3.0})
    for one in (hashes, plain):
        ingest(one, rows)
    assert not {*ENTITIES} & {*served_table(hashes)["airport"]}
    results = [monitor(one) for one in (hashes, plain)]
    assert results[0]["live"] == results[1]["live"]
    assert results[0]["live"]["production"]["delay"]["steps"] == 10
    with pytest.raises(ConfigError, match="run=compare joins by the entity keys"):
        check_comparison(hashes)


def test_the_backtest_of_the_same_pair_stands_beside(run: Any) -> None:
    result = monitor(run)
    past = result["backtest"]["production"]["delay"]
    assert (past["MAE"], past["bias"], past["MASE"]) == (1.0, 1.0, 0.25)
    assert past["steps"] == 5  # the last actual is unknown
    assert result["live"]["production"]["delay"] == {"steps": 0}
    assert "no actuals" in result["warnings"][0]
    (pair,) = json.loads(Path(result["report"]).read_text())["pairs"]
    assert pair["by_step"] == {"departures": [], "delay": []}


def test_a_step_outside_the_band_of_the_backtest_is_said(run: Any) -> None:
    table = served_table(run)
    ones = table[table["step"] == 1].pivot(index="airport", columns="target", values="mean")
    rows = (ones - 1.0).reset_index().assign(**{TIME: table.loc[table["step"] == 1, TIME].iloc[0]})
    rows["delay"] -= 1.0  # the backtest is always 1 too high; this is 2
    ingest(run, rows)
    (pair,) = json.loads(Path(monitor(run)["report"]).read_text())["pairs"]
    (step,) = pair["by_step"]["departures"]
    assert step["backtest"]["MAE"] == 1.0
    assert step["band"]["MAE"] == [1.0, 1.0]
    assert step["MAE"] == pytest.approx(1.0, abs=1e-9)
    (step,) = pair["by_step"]["delay"]
    assert {"MAE", "bias"} <= set(step["outside_band"])
    assert step["MAE"] == pytest.approx(2.0, abs=1e-9)
    assert pair["worst_series"]["delay"][0]["MAE"] == pytest.approx(2.0)


def test_every_figure_of_a_step_has_the_backtest_s_and_its_band() -> None:
    """The bands are those of origins that are drawn again, by hand."""
    promise = make_promise()
    past = promise.backtest
    report = pair_report(
        ("a", 1, "d"), make_served(9, 2), promise, None, HOW, seed=1, series_count=1
    )
    (step,) = report["by_step"]["y"]
    figures = {*step} - {"step", "steps", "backtest", "band", "outside_band"} - {"MASE"}
    assert {"RMSE", "WAPE", "pinball", "WQL", "coverage", "interval_score"} <= figures
    assert figures <= {*step["band"]}
    assert figures <= {*step["backtest"]}
    origins, origin = np.unique(past.origin, return_inverse=True)
    squares = np.bincount(origin, (past.values[:, 0] - past.actual) ** 2) / 10
    draws = np.random.default_rng(1).multinomial(
        len(origins), np.full(len(origins), 1 / len(origins)), 1000
    )
    by_hand = np.percentile(np.sqrt(draws @ squares / len(origins)), [2.5, 97.5])
    assert step["band"]["RMSE"] == pytest.approx(by_hand)
    assert by_hand[0] < step["backtest"]["RMSE"] < by_hand[1]


def test_a_step_that_the_backtest_does_not_know_has_no_band() -> None:
    past = make_promise().backtest
    unknown = replace(past, actual=np.full(len(past), np.nan))
    promise = Promise(make_promise().schema, unknown, np.ones(len(past)), None)
    report = pair_report(
        ("a", 1, "d"), make_served(9, 2), promise, None, HOW, seed=1, series_count=1
    )
    (step,) = report["by_step"]["y"]
    assert (step["steps"], step["band"], step["outside_band"]) == (90, {}, [])


def serve_unknown(directory: Path) -> None:
    """Ask a server, whose ledger gets a file of its own, for a series that the store lacks."""
    service = Service(make_deployment(directory, ledger={}), ServingOptions())
    service.start()

    async def ask() -> None:
        body = orjson.dumps({"entities": [{"airport": "nowhere", "carrier": "DL"}]})
        call = Call("POST", "/predict/feast/batch", b"", {}, b"id")
        await service.answers.many(body, call)
        await service.close()

    asyncio.run(ask())


def test_a_file_of_the_ledger_that_has_failures_alone_is_counted(run: Any, tmp_path: Path) -> None:
    before = monitor(run)["expected"]
    serve_unknown(tmp_path)
    result = monitor(run)
    assert result["expected"] == before
    (pair,) = json.loads(Path(result["report"]).read_text())["pairs"]
    assert pair["failed"] == len(TARGETS)


def test_a_ledger_of_failures_alone_is_reported(run: Any, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "state")
    serve_unknown(tmp_path)
    result = monitor(run)
    assert result["live"]["production"] == {target: {"steps": 0} for target in TARGETS}
    assert {one["verdict"] for one in result["drift"]} == {"too few"}
    assert result["window"]["first"] is None


def test_what_forecasts_were_made_from_is_held_against_the_store(tmp_path: Path) -> None:
    run = make_run(tmp_path, MonitorOptions(), features="values", hashed=["airport"])
    origin = pd.Timestamp("2024-03-01", tz="UTC")
    rows = pd.DataFrame({"airport": ENTITIES, TIME: origin, "departures": 20.0, "delay": 3.5})
    ingest(run, rows.assign(departures=[99.0, *[float("nan")] * 9]))
    result = monitor(run)
    served = result["skew"]["served"]
    assert served["compared"] == 20
    assert served["different"] == 20  # the first of the two answers had another delay
    assert any("other values than the offline store" in one for one in result["warnings"])
    first = next(one for one in served["differences"] if one["feature"] == "departures")
    assert first["entity"] == {"airport": "A0", "carrier": "DL"}
    assert first["offline"] == 99.0
    json.dumps(result, allow_nan=False)


def test_a_dead_sensor_of_forecasts_of_one_step_is_told_by_the_steps_before() -> None:
    promise = make_promise()
    unknown = np.full(len(promise.backtest), np.nan)
    lacking = replace(promise, backtest=replace(promise.backtest, before=unknown))
    past = promise.backtest
    panel = panel_from_rows(
        pd.DataFrame(
            {
                "key": past.entities[past.series, 0],
                TIME: pd.DatetimeIndex(past.time).tz_localize("UTC"),
                "y": past.actual,
            }
        ).sort_values(["key", TIME], ignore_index=True),
        entity_keys=("key",),
        past=("y",),
        known=(),
        categories=(),
        frequency=HOW.frequency,
    )
    filled = with_before(lacking, panel).backtest.before
    assert np.array_equal(filled, past.before, equal_nan=True)
    verdicts = [
        one["verdict"]
        for used in (lacking, with_before(lacking, panel))
        for one in watch(make_served(30, 3), used, 0, HOW)
        if one["signal"] == "repeat_up"
    ]
    assert verdicts == ["too few", "quiet"]


def make_table(day: int, stale: list[str | None]) -> pa.Table:
    """Make rows of a ledger, all of one time in May."""
    time = pa.timestamp("us", tz="UTC")
    at = pa.array([datetime(2024, 5, day, tzinfo=UTC)] * len(stale), time)
    texts = {"arm": "a", "digest": "d", "key": "7", "target": "y", "status": OK}
    numbers = {"version": 1, "step": 1, "mean": 2.0}
    columns = {name: pa.array([value] * len(stale)) for name, value in (texts | numbers).items()}
    return pa.table({**columns, "at": at, "origin": at, TIME: at, "stale": stale})


def test_stale_features_are_counted_by_view_until_they_are_fresh_again() -> None:
    tables = [make_table(1, ["weather", "weather,prices", None])]
    ledger: Any = SimpleNamespace(read=lambda *_: tables)
    reading = read_served(ledger, "n", Path(), ["key"], ["y"], None)
    (prices, weather) = findings(reading, None, [], 1, HOW.frequency)
    assert "view weather: 2 rows" in sentence(weather)
    assert prices["view"] == "prices"
    tables.append(make_table(2, [None, "prices"]))
    reading = read_served(ledger, "n", Path(), ["key"], ["y"], None)
    (prices,) = findings(reading, None, [], 1, HOW.frequency)
    assert (prices["view"], prices["rows"]) == ("prices", 2)


def test_a_category_that_the_pair_of_today_has_seen_is_new_no_more(
    run: Any, tmp_path: Path
) -> None:
    registry, schema = FolderRegistry(tmp_path), fakes.make_schema()
    time = pd.Timestamp("2024-03-02", tz="UTC")
    ingest(run, pd.DataFrame({"airport": ENTITIES, TIME: time, "departures": 9.0, "delay": 3.0}))
    shutil.rmtree(tmp_path / "3")
    registry.add(3, schema.model_copy(update={"categories": {"season": ("winter",)}}))
    (new,) = monitor(run)["findings"]
    assert (new["finding"], new["value"], new["series"]) == ("new_category", "spring", 10)
    registry.add(4, schema.model_copy(update={"categories": {"season": ("spring", "winter")}}))
    registry.point("production", 4)
    serve_unknown(tmp_path)
    result = monitor(run)
    assert result["serving"]["production"]["version"] == 4
    assert result["findings"] == []


def test_after_a_rollback_the_figures_are_of_the_pair_that_serves(run: Any) -> None:
    (answering,) = read_served(
        LEDGER, "fake", run.config.paths.state, ("airport", "carrier"), TARGETS, None
    ).forecasts
    late, later = np.datetime64("2024-05-01", "us"), np.datetime64("2024-05-02", "us")
    old, new = answering, ("production", 9, "d")
    reading = Reading({}, {}, {old: later, new: late}, 0)
    assert reading.serving([old, new]) == {"production": old}
    assert reading.serving([new]) == {"production": new}
    assert monitor(run)["serving"] == {"production": {"version": old[1], "digest": old[2]}}


def test_a_schedule_monitors_until_it_is_told_to_stop(run: Any) -> None:
    run.config.run, run.config.start = "monitor", "2099-01-01"
    run.options = MonitorOptions(schedule="* * * * * *")

    def say(line: str) -> None:
        run.said.append(line)
        if "no forecasts of 'fake'" in line:
            run.config.start = None  # what failed at one time is tried again at the next
        elif "what was served" in line:
            os.kill(os.getpid(), signal.SIGTERM)

    def make(group: str) -> Any:
        if group == "registry" and outages:
            raise outages.pop()
        return parts(group)

    outages = [OSError("no space left"), RegistryError("the registry does not answer")]
    parts = run.make
    run.say, run.make = say, make
    result = monitor(run)
    assert (result["done"], result["failed"]) == (1, 3)
    assert result["live"]["production"]["delay"] == {"steps": 0}
    assert run.record.artifacts == [Path(result["report"]), Path(result["page"])]


def test_an_entity_key_may_begin_as_quantiles_do() -> None:
    at = pa.array([datetime(2024, 5, 1, tzinfo=UTC)], pa.timestamp("us", tz="UTC"))
    texts = {"arm": "a", "digest": "d", "quay": "7", "target": "y", "status": OK}
    numbers = {"version": 1, "step": 1, "mean": 2.0, "q0.1": 1.0, "q0.9": 3.0}
    columns = {name: pa.array([value]) for name, value in (texts | numbers).items()}
    table = pa.table({**columns, "at": at, "origin": at, TIME: at})
    ledger: Any = SimpleNamespace(read=lambda *_: [table])
    reading = read_served(ledger, "n", Path(), ["quay"], ["y"], None)
    (served,) = reading.forecasts.values()
    assert served.entities.tolist() == [["7"]]
    assert served.values.tolist() == [[2.0, 1.0, 3.0]]


def test_nothing_served_and_a_pair_that_is_gone_are_said(run: Any, tmp_path: Path) -> None:
    run.config.start = "2099-01-01"
    with pytest.raises(DataError, match=r"no forecasts of 'fake' since 2099-01-01"):
        monitor(run)
    run.config.start = None
    (tmp_path / "other").mkdir()
    empty = FolderRegistry(tmp_path / "other")
    run.make = {**{k: run.make(k) for k in ("retrieval", "ledger")}, "registry": empty}.get
    with pytest.raises(DataError, match="the registry has no pair 3"):
        monitor(run)


def make_served(days: int, seed: int, shift: float = 0.0, dead: bool = False) -> Served:
    """Ten series, forecast each day for the next: 0, with normal errors."""
    rng = np.random.default_rng(seed)
    actual = rng.standard_normal((days, 10)) + shift
    if dead:
        actual[:, 3] = 0.5
    before = np.full_like(actual, np.nan)
    before[1:] = actual[:-1]
    day = np.datetime64("2024-01-01", "us") + np.arange(days) * np.timedelta64(1, "D")
    n = actual.size
    ends = np.tile([0.0, -1.2816, 1.2816], (n, 1))
    return Served(
        np.array([[f"s{i}"] for i in range(10)], dtype=object),
        np.tile(np.arange(10), days),
        np.repeat(day, 10),
        np.repeat(day + np.timedelta64(1, "D"), 10),
        np.ones(n, dtype=np.int64),
        np.zeros(n, dtype=np.int64),
        ends,
        actual.ravel(),
        before.ravel(),
    )


def make_promise() -> Promise:
    schema = fakes.make_schema().model_copy(
        update={
            "entity_keys": ("key",),
            "targets": ("y",),
            "horizon": 1,
            "quantiles": (0.1, 0.9),
        }
    )
    assert isinstance(schema, Schema)
    past = make_served(120, 1)
    return Promise(schema, past, np.ones(len(past)), None)


HOW = Watched(Frequency.parse("D"), 7, 0.05, 0.1, 365, 0.01)


def test_drift_is_told_of_a_shift_and_of_nothing_else() -> None:
    quiet = watch(make_served(200, 2), make_promise(), 0, HOW)
    assert {one["verdict"] for one in quiet} == {"quiet"}
    level = next(one for one in quiet if one["signal"] == "level_up")
    assert level["backtest"] == pytest.approx(0.5, abs=0.05)
    assert level["live"] == pytest.approx(0.5, abs=0.05)
    assert level["observations"] == 200
    shifted = watch(make_served(60, 2, shift=1.0), make_promise(), 0, HOW)
    alarms = {one["signal"]: one for one in shifted if one["verdict"] == "alarm"}
    assert "level_up" in alarms
    assert "level_down" not in alarms
    assert alarms["level_up"]["since"] < "2024-02-15"
    assert alarms["level_up"]["evidence"] > alarms["level_up"]["threshold"]


def test_a_dead_sensor_is_named_and_no_other_series() -> None:
    assert drifted_series(make_served(30, 3), make_promise(), 0, HOW) == []
    (named,) = drifted_series(make_served(14, 3, dead=True), make_promise(), 0, HOW)
    assert named["entity"] == {"key": "s3"}


def test_normal_actuals_are_flagged_as_often_as_asked_and_spikes_are_found() -> None:
    served = make_served(200, 4)
    found = anomalies(served, make_promise(), 0, HOW)
    assert found["checked"] == 2000
    assert 10 <= found["flagged"] <= 32
    assert found["sure"] == 0
    served.actual[::100] = 6.0
    windows = [timedelta(days=days) for days in (1, 50, 1000)]
    spiked = anomalies(served, make_promise(), 0, HOW, windows)
    assert list(spiked["windows"].values()) == [0, 5, 20]
    assert spiked["flagged"] - found["flagged"] >= 19
    assert spiked["sure"] == 20
    assert all(one["p"] < 1e-8 and one["sure"] for one in spiked["worst"])


def test_of_normal_errors_few_are_called_sure_anomalies() -> None:
    sure = [anomalies(make_served(50, seed), make_promise(), 0, HOW)["sure"] for seed in range(40)]
    assert sum(map(bool, sure)) <= 4  # of 400 series' errors, at most a tenth may have one
