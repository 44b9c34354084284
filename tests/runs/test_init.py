"""``run=init`` as a person types it: from a file of their own to a pair and a forecast."""

from __future__ import annotations

import json
import runpy
import sqlite3
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from framework.data.frequency import Frequency
from framework.features.calendar import check_fields
from framework.projects.models import _calendar_fields
from framework.testing.servers import command
from framework.tuning.space import parse_space


def call(project: Path, *overrides: str, code: int = 0) -> dict[str, Any]:
    done = command.run(*overrides, cwd=project)
    assert done.returncode == code, done.stderr
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def hourly_with_gaps(folder: Path) -> str:
    """Two meters by the clock of Berlin over the end of summer time, decimal commas, holes."""
    hours = pd.date_range("2024-10-22", "2024-11-02", freq="h", tz="Europe/Berlin")
    lines = ["meter;time;kwh"]
    for meter in ("007", "008"):
        for place, hour in enumerate(hours):
            load = f"{5 + np.sin(hour.hour / 24 * 2 * np.pi) + place % 5 / 10:.2f}"
            if place % 97 != 50:
                lines.append(f"{meter};{hour:%d.%m.%Y %H:%M};{load.replace('.', ',')}")
    (folder / "load.csv").write_text("\n".join(lines) + "\n")
    return "load.csv"


def monthly(folder: Path) -> str:
    months = pd.date_range("2013-01-01", periods=96, freq="MS")
    season = 20 * np.sin(np.arange(96) / 12 * 2 * np.pi)
    rows = pd.DataFrame({"Month": months.strftime("%Y-%m"), "#Passengers": 100 + season.round(1)})
    rows.to_csv(folder / "Air Passengers.csv", index=False)
    return "Air Passengers.csv"


def daily_with_covariates(folder: Path) -> str:
    """Parquet in folders of shops, a plan of promotions that goes on after the last sale."""
    days = pd.date_range("2023-01-01", periods=130)
    rng = np.random.default_rng(3)
    for shop in (1, 2):
        part = folder / "sales" / f"shop={shop}"
        part.mkdir(parents=True)
        promo = (rng.random(130) < 0.2).astype(int)
        units = 10.0 * shop + days.dayofweek + 5 * promo
        rows = pd.DataFrame({"day": days, "promo": promo, "units": units, "town": f"town {shop}"})
        rows.loc[120:, "units"] = np.nan
        rows.to_parquet(part / "rows.parquet")
    return "sales"


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        pytest.param(
            hourly_with_gaps,
            {
                "entity": ["meter"],
                "time": "time",
                "targets": ["kwh"],
                "frequency": "h",
                "time_zone": "Europe/Berlin",
                "season_length": 24,
                "horizon": 24,
                "decimal": ",",
                "gaps": "insert",
            },
            marks=pytest.mark.stress,
        ),
        (
            monthly,
            {
                "entity": [],
                "time": "Month",
                "targets": ["#Passengers"],
                "frequency": "MS",
                "time_zone": None,
                "season_length": 12,
                "horizon": 12,
                "gaps": "refuse",
            },
        ),
        pytest.param(
            daily_with_covariates,
            {
                "entity": ["shop"],
                "time": "day",
                "targets": ["units"],
                "known": ["promo"],
                "categories": ["town"],
                "frequency": "D",
                "season_length": 7,
                "horizon": 7,
                "gaps": "refuse",
            },
            marks=pytest.mark.stress,
        ),
    ],
)
def test_from_a_file_to_a_forecast(tmp_path: Path, make: Any, expected: dict[str, Any]) -> None:
    result = call(tmp_path, "run=init", f"init.data='{make(tmp_path)}'")
    assert result["project"] == str(tmp_path)
    guesses = {key: guess["value"] for key, guess in result["guesses"].items()}
    assert {key: guesses[key] for key in expected} == expected
    assert all(guess["why"] for guess in result["guesses"].values())
    name = f"+experiment={result['experiment']}"
    trained = call(tmp_path, name, "model.n_estimators=20")
    assert trained["pair"]["version"] == 1
    another = call(tmp_path, name, "run=pairs", "model=seasonal_naive")
    assert another["status"] == "done", "another model is one word"
    metrics = trained["metrics"]
    assert metrics["model"]["MAE"] <= 1.1 * metrics["baseline"]["MAE"] + 0.2
    predicted = call(tmp_path, name, "run=predict")
    forecast = pd.read_parquet(predicted["output"])
    series = max(1, len(forecast[guesses["entity"]].drop_duplicates())) if guesses["entity"] else 1
    assert len(forecast) == predicted["rows"] == series * expected["horizon"]
    assert forecast["status"].eq("ok").all()
    assert forecast["mean"].notna().all()


def test_every_guess_is_told_and_can_be_decided(tmp_path: Path) -> None:
    monthly(tmp_path)
    done = command.run(
        *("run=init", "init.data='Air Passengers.csv'", "init.name=air"),
        *("init.horizon=3", "init.season_length=6", "init.gaps=insert"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    for name, guess in result["guesses"].items():
        assert f"init: {name} = " in done.stderr
        assert guess["why"] in done.stderr
    assert not {"horizon", "season_length", "gaps"} & result["guesses"].keys()
    text = (tmp_path / "conf" / "experiment" / "air.yaml").read_text()
    assert result["guesses"]["targets"]["why"] in text
    panel = yaml.safe_load(text)["panel"]
    assert (panel["horizon"], panel["season_length"], panel["gaps"]) == (3, 6, "insert")
    call(tmp_path, "+experiment=air", "run=ingest")


@pytest.mark.stress
def test_columns_can_be_decided_and_the_baseline_learns_from_three_steps(tmp_path: Path) -> None:
    rows = [f"{shop},2024-01-0{day},{day},{day % 2},x{day}" for shop in "ab" for day in range(1, 4)]
    (tmp_path / "my 'own' {d}.csv").write_text("\n".join(("shop,day,y,promo,note", *rows)))
    result = call(
        tmp_path,
        *("run=init", "init.data=\"my 'own' {d}.csv\"", "init.name=d", "init.entity=[shop]"),
        *("init.known=[promo]", "init.columns=[y,promo]"),
    )
    guesses = {name: guess["value"] for name, guess in result["guesses"].items()}
    assert (guesses["targets"], guesses["categories"], guesses["folds"]) == (["y"], [], 1)
    evaluated = call(tmp_path, "+experiment=d", "run=backtest")
    assert evaluated["metrics"]["model"]["MAE"] == 1.0


@pytest.mark.stress
def test_a_project_is_not_written_over(tmp_path: Path) -> None:
    monthly(tmp_path)
    (tmp_path / "README.md").write_text("mine\n")
    first = call(tmp_path, "run=init", "init.data='Air Passengers.csv'")
    assert first["warnings"] == ["README.md was there and is kept as it is"]
    path = tmp_path / "conf" / "experiment" / "air_passengers.yaml"
    before = path.read_text()
    refused = call(tmp_path, "run=init", "init.data='Air Passengers.csv'", "init.horizon=2", code=2)
    assert "init.overwrite=true" in refused["error"]
    assert path.read_text() == before
    call(
        tmp_path,
        *("run=init", "init.data='Air Passengers.csv'", "init.horizon=2", "init.overwrite=true"),
    )
    assert yaml.safe_load(path.read_text())["panel"]["horizon"] == 2
    assert (tmp_path / "README.md").read_text() == "mine\n"


@pytest.mark.stress
def test_the_test_of_a_new_project_passes(tmp_path: Path) -> None:
    monthly(tmp_path)
    call(tmp_path, "run=init", "init.data='Air Passengers.csv'")
    names = runpy.run_path(str(tmp_path / "tests" / "test_air_passengers.py"))
    names["test_the_data_are_read"](tmp_path / "other")
    assert list((tmp_path / "other" / "offline").glob("*.parquet"))


@pytest.mark.gate_cases(4)
@pytest.mark.parametrize(
    ("rows", "overrides", "said"),
    [
        ("a,b\nx,1\ny,2\n", [], "init.time=COLUMN"),
        ("day,y\n2024-01-01,1\n2024-01-01,1\n", [], "init.entity=[COLUMN]"),
        ("day,name\n2024-01-01,a\n2024-01-02,b\n", [], "is one of numbers"),
        ("day,y\n2024-01-01,1\n2024-01-02,2\n", ["init.targets=[z]"], "init.targets: no column"),
        (
            "t,y\n2024-01-01 00:00,1\n2024-01-01 01:00,2\n2024-01-01 02:10,3\n2024-01-01 03:10,3\n",
            [],
            "02:10:00 is no step of frequency h",
        ),
        ("day,y\n2024-01-01,1\n2024-01-02,2\n", [], "a longer history"),
        ("day,y\n2024-01-01,1\n2024-01-01,2\n", ["init.entity=[]"], "init.entity: the columns"),
        ("day,y\n2024-01-01,1\n2024-01-02,2\n", ["init.time_zone=No"], "init.time_zone: no time"),
        (
            "day,y,z\n2024-01-01,1,2\n2024-01-02,2,3\n",
            ["init.columns=[z]", "init.targets=[y]"],
            "init.targets: column 'y' is not one of numbers that are used; those are z",
        ),
        (
            "day,y,town\n2024-01-01,1,a\n2024-01-02,2,b\n",
            ["init.columns=[y]", "init.categories=[town]"],
            "init.categories: column 'town' is not among those that are used; those are y",
        ),
    ],
)
def test_what_cannot_be_guessed_is_refused_with_the_next_step(
    tmp_path: Path, rows: str, overrides: list[str], said: str
) -> None:
    (tmp_path / "d.csv").write_text(rows)
    done = command.run("run=init", "init.data=d.csv", *overrides, cwd=tmp_path)
    assert done.returncode in (1, 2)
    assert said in json.loads(done.stdout.splitlines()[-1])["error"]
    assert not (tmp_path / "conf").exists()


def test_a_few_texts_among_numbers_are_no_reason_to_forecast_another_column(
    tmp_path: Path,
) -> None:
    days = pd.date_range("2024-01-01", periods=60)
    sales = [str(20 + 3 * (n % 12)) for n in range(60)]
    sales[4] = sales[9] = "abc"
    state = ["a" if n == 8 else "0" for n in range(60)]  # a category, of which some are digits
    rows = pd.DataFrame({"day": days, "sales": sales, "price": range(60), "state": state})
    rows.to_csv(tmp_path / "d.csv", index=False)
    error = call(tmp_path, "run=init", "init.data=d.csv", code=1)["error"]
    assert error.startswith("init.data: column 'sales' has numbers but for 'abc' in 2 of 60 rows")
    nulls = "+init.reading.null_values=['', 'abc']"
    assert nulls in error
    done = call(tmp_path, "run=init", "init.data=d.csv", nulls)
    assert done["guesses"]["targets"]["value"] == ["sales"]
    assert done["guesses"]["categories"]["value"] == ["state"]


def test_other_runs_still_need_an_experiment(tmp_path: Path) -> None:
    assert "no experiment is chosen" in call(tmp_path, "run=ingest", code=2)["error"]


def database(folder: Path) -> Path:
    """Daily sales of two shops in SQLite, which keeps a day as text, and another table."""
    path = folder / "shop.db"
    days = pd.date_range("2024-01-01", periods=40).strftime("%Y-%m-%d")
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute('CREATE TABLE sales (shop TEXT, "day" TEXT, units REAL, "Promo:%" INT)')
        connection.execute("CREATE TABLE staff (name TEXT)")
        rows = [
            (s, day, 9 + i % 7 + 5 * (s == "b"), i % 3) for s in "ab" for i, day in enumerate(days)
        ]
        connection.executemany("INSERT INTO sales VALUES (?, ?, ?, ?)", rows)
    return path


@pytest.mark.stress
def test_from_a_database_to_a_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_DATABASE", f"sqlite:///{database(tmp_path)}")
    project = tmp_path / "project"
    project.mkdir()
    data = "init.data='${oc.env:SHOP_DATABASE}'"
    error = call(project, "run=init", data, code=2)["error"]
    assert error.startswith("init.table: missing; ")
    assert error.endswith("There are: sales, staff.")
    error = call(project, "run=init", data, "init.table=sale", code=2)["error"]
    assert "Did you mean 'sales'?" in error
    result = call(project, "run=init", data, "init.table=sales", "init.folds=3")
    guesses = {key: guess["value"] for key, guess in result["guesses"].items()}
    assert {key: guesses[key] for key in ("entity", "time", "targets", "frequency")} == {
        "entity": ["shop"],
        "time": "day",
        "targets": ["units"],
        "frequency": "D",
    }
    assert "folds" not in guesses
    texts = [
        path.read_text()
        for path in project.rglob("*")
        if path.is_file() and "state" not in path.parts
    ]
    assert not [text for text in texts if "shop.db" in text], "the URL is the environment's"
    experiment = yaml.safe_load((project / "conf/experiment/sales.yaml").read_text())
    assert experiment["source"] == {
        "url": "${oc.env:SHOP_DATABASE}",
        "tables": {
            "sales": {
                "query": 'SELECT "shop", "day" AS "event_timestamp", "units", "Promo\\:%" '
                'FROM "sales" ORDER BY "day"'
            }
        },
    }
    assert experiment["backtest"] == {"folds": 3}
    assert {*experiment["space"]} >= {"model.learning_rate", "model.max_depth"}
    ingested = call(project, "+experiment=sales", "run=ingest")
    assert ingested["rows"] == {"sales": 80}
    planned = parse_space(experiment["space"])
    assert len(planned) == len(experiment["space"])


def test_a_short_project_searches_the_season(tmp_path: Path) -> None:
    rows = pd.DataFrame(
        {"month": pd.date_range("2022-01-01", periods=30, freq="MS"), "y": range(30)}
    )
    rows.to_csv(tmp_path / "y.csv", index=False)
    call(tmp_path, "run=init", "init.data=y.csv", "init.season_length=12", "init.horizon=6")
    experiment = yaml.safe_load((tmp_path / "conf/experiment/y.yaml").read_text())
    assert experiment["space"] == {"model.season_length": {"choice": [12, 1]}}


def test_days_that_no_series_has_are_taken_for_closed_ones(tmp_path: Path) -> None:
    days = pd.bdate_range("2024-01-01", periods=80).delete([20, 41])
    rows = [f"{day:%Y-%m-%d},{shop},{day.day}" for day in days for shop in "ab"]
    (tmp_path / "sales.csv").write_text("\n".join(["day,shop,y", *rows]) + "\n")
    guesses = call(tmp_path, "run=init", "init.data=sales.csv")["guesses"]
    assert guesses["frequency"]["value"] == "B:2024-01-29+2024-02-27"
    assert guesses["gaps"]["value"] == "refuse"


@pytest.mark.parametrize(
    "alias", ["30min", "h", "D", "2D", "B:US", "W-SUN", "W", "ME", "QE-MAR", "YS"]
)
def test_the_calendar_of_a_new_project_is_one_that_its_steps_have(alias: str) -> None:
    decided = SimpleNamespace(value={"frequency": alias}.__getitem__)
    fields = tuple(_calendar_fields(decided))  # type: ignore[arg-type]
    check_fields(fields, None, "UTC", Frequency.parse(alias))
