"""One question, every door: the same series and origin gives the same bytes or the same status, whatever way it is asked."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
import yaml
from hydra import compose, initialize_config_dir
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from framework import compose as offers
from framework.components import Components
from framework.config import build_config
from framework.errors import DataError
from framework.interfaces.values import OK, TIME
from framework.lifecycle import execute
from framework.pairing import HALVES
from framework.plugins import Plugins, load_plugins
from framework.run import Run
from framework.serving.deployment import Deployment
from framework.serving.http import create_app
from framework.serving.options import ServingOptions
from framework.serving.service import Service
from framework.testing.doors import NONE, REFUSED, Doors, Outcome, Rows

#: How many questions are asked of each project; ``make fuzz`` asks more.
EXAMPLES = int(os.environ.get("DOORS_EXAMPLES", "20"))
FIRST, DAYS, HORIZON = pd.Timestamp("2024-01-01", tz="UTC"), 40, 2
#: The series, each with the day of its newest actual: unlike keys (a text, a number), one short, one whose weather stopped.
SERIES = {("north", "7"): 39, ("north", "12"): 37, ("south", "7"): 39, ("old town", "7"): 39, ("new", "7"): 39}
SHORT, STOPPED = ("new", "7"), "south"
KEYS = ("shop", "item")


@dataclass(frozen=True)
class Kind:
    """One kind of project. ``model``: its overrides."""

    name: str
    model: tuple[str, ...]
    known: tuple[str, ...] = ("promo",)
    quantiles: tuple[float, ...] = ()
    gaps: str = "refuse"
    stale: str = "refuse"


KINDS = (
    Kind("boosted", ("model=xgboost", "model.n_estimators=8", "model.n_jobs=1"), quantiles=(0.1, 0.9)),
    Kind("windows", ("model=seasonal_naive",), gaps="insert"),
    Kind("flagged", ("model=xgboost", "model.n_estimators=8", "model.n_jobs=1"), known=(), stale="flag"),
)


def make_tables(gaps: bool) -> dict[str, pd.DataFrame]:
    """Sales with nulls, categories of three types and a null; a plan of the days ahead by shop; weather by shop that stops for one."""
    generator = np.random.default_rng(11)
    sales, plan, weather = [], [], []
    for number, ((shop, item), newest) in enumerate(SERIES.items()):
        for day in range(newest - 2 if (shop, item) == SHORT else 0, newest + 1):
            if gaps and number == 1 and day in (20, 21):
                continue
            sales.append(
                {
                    "shop": shop,
                    "item": int(item),
                    TIME: FIRST + pd.Timedelta(days=day),
                    "y": None if day % 11 == 10 else float(10 * number + generator.normal(5, 1)),
                    "stock": None if generator.random() < 0.2 else float(generator.integers(0, 50)),
                    "open": None if day % 9 == 4 else bool(day % 7),
                    "grade": None if number == 3 else number,
                    "sort": "" if number == 2 else "Größe 1",
                }
            )
    for shop in dict.fromkeys(shop for shop, _ in SERIES):
        for day in range(DAYS + HORIZON):
            promo = None if (shop, day) == ("old town", DAYS) else float(generator.integers(0, 3)) / 3  # a hole in the steps ahead
            plan.append({"shop": shop, TIME: FIRST + pd.Timedelta(days=day), "promo": promo})
            if day < DAYS - (6 if shop == STOPPED else 0):
                weather.append({"shop": shop, TIME: FIRST + pd.Timedelta(days=day), "rain": float(generator.normal(2, 1))})
    frames = {"sales": pd.DataFrame(sales), "plan": pd.DataFrame(plan), "weather": pd.DataFrame(weather)}
    frames["sales"] = frames["sales"].astype({"open": "boolean", "grade": "Int64"})
    return frames


def write_project(home: Path, kind: Kind) -> dict[str, pd.DataFrame]:
    tables = make_tables(gaps=kind.gaps == "insert")
    (home / "conf/experiment").mkdir(parents=True)
    (home / "conf/config.yaml").write_text("defaults:\n  - framework\n  - _self_\n")
    views: dict[str, Any] = {
        "sales": {
            "entity": list(KEYS),
            "columns": ["y", "stock", "open", "grade", "sort"],
            "categories": ["open", "grade", "sort"],
            "ttl": "1d",
            "engineer": [{"op": "lag", "columns": ["y"], "steps": [1, 2]}],
        },
        "weather": {"entity": ["shop"], "columns": ["rain"], "ttl": "2d"},
    }
    if kind.known:
        views["plan"] = {"entity": ["shop"], "columns": ["promo"], "ttl": "1d"}
    for name in views:
        tables[name].to_parquet(home / f"{name}.parquet", index=False)
    experiment = {
        "defaults": [{"override /source": "files"}, {"override /retrieval": "file"}],
        "name": kind.name,
        "quantiles": list(kind.quantiles),
        "paths": {"state": str(home / "state")},
        "source": {"files": {name: str(home / f"{name}.parquet") for name in views}},
        "features": {"primary": "sales", "stale": kind.stale, "views": views},
        "panel": {"targets": ["y"], "frequency": "D", "horizon": HORIZON, "season_length": 5, "known": list(kind.known)},
        "backtest": {"folds": 1},
    }
    experiment["panel"] |= {"gaps": kind.gaps, "short": "keep"}
    (home / "conf/experiment/e.yaml").write_text("# @package _global_\n" + yaml.safe_dump(experiment, sort_keys=False, allow_unicode=True))
    return tables


@dataclass(frozen=True)
class Project:
    kind: Kind
    tables: dict[str, pd.DataFrame]
    doors: Doors

    def rows(self, entity: tuple[str, str], origin: int) -> Rows | None:
        """What a client that has the source's own rows would send, by plain loops; None where the origin has no row."""
        length = self.doors.schema.context_length
        shop, item = entity
        sales = self.tables["sales"]
        mine = sales[(sales["shop"] == shop) & (sales["item"] == int(item))].set_index(TIME)
        days = [FIRST + pd.Timedelta(days=day) for day in range(origin - length + 1, origin + 1)]
        if days[-1] not in mine.index or days[0] < mine.index.min():
            return None

        def number(day: pd.Timestamp, column: str) -> float | None:
            value = mine[column].get(day)
            return None if value is None or pd.isna(value) else float(value)

        history = []
        for day in days:
            row = {"shop": shop, "item": item, TIME: day.isoformat(), "y": number(day, "y"), "stock": number(day, "stock")}
            row |= {f"y_lag_{k}": number(day - pd.Timedelta(days=k), "y") for k in (1, 2)}
            row |= {"rain": self.rain(shop, day, is_row=day in mine.index)}
            before = mine.loc[:day].iloc[-1]
            for column in ("open", "grade", "sort"):
                value = before[column]
                row[column] = None if pd.isna(value) else str(value).lower() if column == "open" else str(value)
            history.append(row)
        plan = self.tables["plan"]
        future = []
        for step in range(1, HORIZON + 1):
            day = days[-1] + pd.Timedelta(days=step)
            value = plan[(plan["shop"] == shop) & (plan[TIME] == day)]["promo"]
            if len(value) and pd.notna(value.iloc[0]):
                future.append({"shop": shop, "item": item, TIME: day.isoformat(), "promo": float(value.iloc[0])})
        return Rows(history, future)

    def rain(self, shop: str, day: pd.Timestamp, is_row: bool) -> float | None:
        """The newest weather that is not older than its ttl; nothing describes a step that the series lacks."""
        weather = self.tables["weather"]
        mine = weather[(weather["shop"] == shop) & (weather[TIME] <= day)]
        if not is_row or not len(mine) or day - mine[TIME].max() > pd.Timedelta(days=2):
            return None
        return float(mine[mine[TIME] == mine[TIME].max()]["rain"].iloc[0])


@pytest.fixture(scope="module")
def plugins() -> Plugins:
    plugins = load_plugins()
    offers.register(plugins)
    return plugins


def compose_run(home: Path, plugins: Plugins, kind: Kind, *overrides: str) -> Run:
    with initialize_config_dir(str(home / "conf"), version_base="1.3"):
        config = build_config(compose("config", ["+experiment=e", *kind.model, *overrides]), plugins)
    directory = home / "runs" / config.run
    directory.mkdir(parents=True, exist_ok=True)
    return Run(config, plugins, directory, lambda _: None)


def load_functions(run: Run) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """Both halves through ``mlflow.pyfunc.load_model``, as somebody without this product would load them."""
    mlflow.set_tracking_uri(run.make("registry").store.uri)
    preprocessor, model = (mlflow.pyfunc.load_model(f"models:/{run.config.name}_{half}@production") for half in HALVES)

    def answer(rows: pd.DataFrame) -> pd.DataFrame:
        try:
            return pd.DataFrame(model.predict(preprocessor.predict(rows)))
        except mlflow.MlflowException as error:
            raise DataError(str(error)) from error

    return answer


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory, plugins: Plugins) -> Iterator[dict[str, Project]]:
    """Each kind trained and promoted once, with its server's application in this process."""
    with ExitStack() as stack:
        projects = {}
        for kind in KINDS:
            home = tmp_path_factory.mktemp(kind.name)
            tables = write_project(home, kind)
            execute(compose_run(home, plugins, kind))
            run = compose_run(home, plugins, kind, "run=serve")
            config = run.config
            run.make("registry").move(config.name, "production", 1, expected=None)
            parts = Components(config, plugins)
            deployment = Deployment(parts, config.name, "production", config.features, "file", config.paths.state)
            client = stack.enter_context(TestClient(create_app(Service(deployment, ServingOptions())), raise_server_exceptions=False))
            projects[kind.name] = Project(kind, tables, Doors(run, "production", client, load_functions(run)))
        yield projects


def told(outcomes: dict[str, Outcome]) -> str:
    """What each door said, for a failed test."""
    return "; ".join(f"{name}: {o.status} {np.frombuffer(o.values)} {o.detail}" for name, o in outcomes.items())


def agree(outcomes: dict[str, Outcome]) -> bool:
    """A fold says no more than that there is no forecast."""
    first = outcomes["run=predict"]
    others = [o for name, o in outcomes.items() if name != "backtest"]
    fold = outcomes.get("backtest", first)
    return all(first.same(o) for o in others) and (first.same(fold) or (fold.status == NONE and first.status != OK))


QUESTIONS = {
    "entity": st.sampled_from([*SERIES, ("nowhere", "7"), ("north", "8")]),
    "origin": st.one_of(st.none(), st.sampled_from([DAYS - 1, DAYS - 3]), st.integers(2, DAYS + 1)),
}


@pytest.mark.parametrize("kind", [kind.name for kind in KINDS])
@settings(max_examples=EXAMPLES, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(**QUESTIONS)
def test_every_door_gives_the_same(projects: dict[str, Project], kind: str, entity: tuple[str, str], origin: int | None) -> None:
    project = projects[kind]
    at = None if origin is None else (FIRST + pd.Timedelta(days=origin)).strftime("%Y-%m-%dT%H:%M:%SZ")
    looked_up = project.doors.looked_up(dict(zip(KEYS, entity, strict=True)), at)
    assert agree(looked_up), told(looked_up)
    status = looked_up["run=predict"]
    rows = None if entity not in SERIES or origin is None else project.rows(entity, origin)
    if rows is None:
        return
    handed = project.doors.handed(rows)
    if status.status == OK and project.kind.stale == "refuse":
        assert all(status.same(o) for o in handed.values()), told({**looked_up, **handed})
    ok = [o for o in handed.values() if o.status == OK]
    assert not ok or (len(ok) == len(handed) and all(o.same(ok[0]) for o in ok)), told({**looked_up, **handed})
    assert all(o.status in (OK, REFUSED, "short_history", "missing_feature") for o in handed.values()), told(handed)


@pytest.mark.parametrize(
    ("kind", "entity", "origin", "status"),
    [
        ("boosted", ("north", "7"), 20, OK),
        ("boosted", ("old town", "7"), DAYS - 1, "missing_feature"),  # the plan lacks a step ahead
        ("boosted", ("south", "7"), DAYS - 1, "stale"),
        ("flagged", ("south", "7"), DAYS - 1, OK),
        ("windows", ("new", "7"), DAYS - 1, "short_history"),
        ("windows", ("north", "12"), 22, OK),  # steps without a row in its window
        ("windows", ("nowhere", "7"), None, "unknown_entity"),
    ],
)
def test_the_questions_meet_every_status(
    projects: dict[str, Project], kind: str, entity: tuple[str, str], origin: int | None, status: str
) -> None:
    project = projects[kind]
    at = None if origin is None else (FIRST + pd.Timedelta(days=origin)).strftime("%Y-%m-%dT%H:%M:%SZ")
    looked_up = project.doors.looked_up(dict(zip(KEYS, entity, strict=True)), at)
    assert looked_up["/predict/feast"].status == status, told(looked_up)
    if status == OK:
        rows = project.rows(entity, origin or 0)
        assert rows is not None
        assert {o.status for o in project.doors.handed(rows).values()} == {OK}
