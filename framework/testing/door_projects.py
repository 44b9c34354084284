"""Small projects with what has gone wrong between doors.

Columns known ahead, categories of three types, nulls, stale views, views of another cadence, short
histories.

A test asks their questions through :mod:`framework.testing.doors`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from hydra import compose, initialize_config_dir

from framework.config.catalog import Plugins
from framework.config.config import build_config
from framework.data.vocabulary import OK, TIME
from framework.plugins.components import Components
from framework.plugins.execute import execute
from framework.plugins.run import Run
from framework.serving.deployment import Deployment
from framework.testing.doors import NONE, REFUSED, Client, Doors, Outcome, Rows

FIRST, DAYS, HORIZON = pd.Timestamp("2024-01-01", tz="UTC"), 40, 2
#: The series, each with the day of its newest actual: unlike keys (a text, a number), one short,
#: one whose weather stopped.
SERIES = {
    ("north", "7"): 39,
    ("north", "12"): 37,
    ("south", "7"): 39,
    ("old town", "7"): 39,
    ("new", "7"): 39,
}
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
    retrieval: str = "file"
    config: str = "defaults:\n  - framework\n  - _self_\n"  # conf/config.yaml
    domain: dict[str, Any] = field(default_factory=dict)  # more keys of the panel


def make_tables(gaps: bool) -> dict[str, pd.DataFrame]:
    """Sales with nulls, categories of three types and a null; a plan of the days ahead by shop;
    weather by shop that stops for one.
    """
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
            if (shop, day) not in (
                ("old town", DAYS),
                ("north", 12),
            ):  # holes in the plan, one of them ahead of the newest origin
                promo = (
                    None if (shop, day) == ("north", 25) else float(generator.integers(0, 3)) / 3
                )
                plan.append({"shop": shop, TIME: FIRST + pd.Timedelta(days=day), "promo": promo})
            if (
                day < DAYS - (6 if shop == STOPPED else 0) and generator.random() < 0.7
            ):  # of another cadence than the sales
                weather.append(
                    {
                        "shop": shop,
                        TIME: FIRST + pd.Timedelta(days=day),
                        "rain": float(generator.normal(2, 1)),
                    }
                )
    frames = {
        "sales": pd.DataFrame(sales),
        "plan": pd.DataFrame(plan),
        "weather": pd.DataFrame(weather),
    }
    frames["sales"] = frames["sales"].astype({"open": "boolean", "grade": "Int64"})
    return frames


def write_project(home: Path, kind: Kind) -> dict[str, pd.DataFrame]:
    tables = make_tables(gaps=kind.gaps == "insert")
    (home / "conf/experiment").mkdir(parents=True, exist_ok=True)
    (home / "conf/config.yaml").write_text(kind.config)
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
    panel = {
        "targets": ["y"],
        "frequency": "D",
        "horizon": HORIZON,
        "season_length": 5,
        "known": list(kind.known),
    }
    experiment = {
        "defaults": [{"override /source": "files"}, {"override /retrieval": kind.retrieval}],
        "name": kind.name,
        "quantiles": list(kind.quantiles),
        "paths": {"state": str(home / "state")},
        "source": {"files": {name: str(home / f"{name}.parquet") for name in views}},
        "features": {"primary": "sales", "stale": kind.stale, "views": views},
        "panel": {**panel, "gaps": kind.gaps, "short": "keep", **kind.domain},
        "backtest": {"folds": 1},
    }
    (home / "conf/experiment/e.yaml").write_text("# @package _global_\n" + json.dumps(experiment))
    return tables


@dataclass(frozen=True)
class Project:
    """A trained kind: its source's tables, and the doors to ask."""

    kind: Kind
    tables: dict[str, pd.DataFrame]
    doors: Doors

    def rows(self, entity: tuple[str, str], origin: int) -> Rows | None:
        """Make the rows that a client of the source would send, by plain loops: fewer than a window
        where the series is younger; None where the origin has no row.
        """
        length = self.doors.schema.context_length
        shop, item = entity
        sales = self.tables["sales"]
        of_entity = sales[(sales["shop"] == shop) & (sales["item"] == int(item))].set_index(TIME)
        days = [FIRST + pd.Timedelta(days=day) for day in range(origin - length + 1, origin + 1)]
        if days[-1] not in of_entity.index:
            return None
        days = [day for day in days if day >= of_entity.index.min()]

        def number(day: pd.Timestamp, column: str) -> float | None:
            value = of_entity[column].get(day)
            return None if value is None or pd.isna(value) else float(value)

        history = []
        for day in days:
            row = {
                "shop": shop,
                "item": item,
                TIME: day.isoformat(),
                "y": number(day, "y"),
                "stock": number(day, "stock"),
            }
            row |= {f"y_lag_{k}": number(day - pd.Timedelta(days=k), "y") for k in (1, 2)}
            row |= {"rain": self.rain(shop, day, is_row=day in of_entity.index)}
            before = of_entity.loc[:day].iloc[-1]
            for column in ("open", "grade", "sort"):
                value = before[column]
                row[column] = (
                    None
                    if pd.isna(value)
                    else str(value).lower()
                    if column == "open"
                    else str(value)
                )
            history.append(row)
        plan = self.tables["plan"]
        future = []
        for step in range(1, HORIZON + 1):
            day = days[-1] + pd.Timedelta(days=step)
            value = plan[(plan["shop"] == shop) & (plan[TIME] == day)]["promo"]
            if len(value) and pd.notna(value.iloc[0]):
                future.append(
                    {
                        "shop": shop,
                        "item": item,
                        TIME: day.isoformat(),
                        "promo": float(value.iloc[0]),
                    }
                )
        return Rows(history, future)

    def rain(self, shop: str, day: pd.Timestamp, is_row: bool) -> float | None:
        """The newest weather that is not older than its ttl; nothing describes a step that the
        series lacks.
        """
        weather = self.tables["weather"]
        of_shop = weather[(weather["shop"] == shop) & (weather[TIME] <= day)]
        if not is_row or not len(of_shop) or day - of_shop[TIME].max() > pd.Timedelta(days=2):
            return None
        return float(of_shop[of_shop[TIME] == of_shop[TIME].max()]["rain"].iloc[0])


def compose_run(home: Path, plugins: Plugins, kind: Kind, *overrides: str) -> Run:
    with initialize_config_dir(str(home / "conf"), version_base="1.3"):
        config = build_config(
            compose("config", ["+experiment=e", *kind.model, *overrides]), plugins
        )
    directory = home / "runs" / config.run
    directory.mkdir(parents=True, exist_ok=True)
    return Run(config, plugins, directory, lambda _: None)


def told(outcomes: dict[str, Outcome]) -> str:
    """List what each door said, for a failed test."""
    return "; ".join(
        f"{name}: {o.status} {np.frombuffer(o.values)} {o.detail}" for name, o in outcomes.items()
    )


def agree(outcomes: dict[str, Outcome]) -> bool:
    """A fold says no more than that there is no forecast."""
    first = outcomes["run=predict"]
    others = [o for name, o in outcomes.items() if name != "backtest"]
    fold = outcomes.get("backtest", first)
    return all(first.same(o) for o in others) and (
        first.same(fold) or (fold.status == NONE and first.status != OK)
    )


@contextmanager
def trained(
    home: Path,
    plugins: Plugins,
    kind: Kind,
    serve: Callable[[Deployment], Any],
    functions: Callable[[Run], Callable[[pd.DataFrame], pd.DataFrame]] | None = None,
) -> Iterator[Project]:
    """Train a project of a kind in an empty folder, point ``production`` at its pair and serve
    that.

    Args: home: The folder. plugins: As :func:`framework.plugins.composition.register` knows them.
        kind: What the project is like. serve: Makes a context manager that gives a
        :class:`framework.testing.doors.Client` of the deployment's server. functions: Opens both
        halves of the pair of a run as MLflow does; without it that door is not asked.
    """
    tables = write_project(home, kind)
    execute(compose_run(home, plugins, kind))
    run = compose_run(home, plugins, kind, "run=serve")
    config = run.config
    run.make("registry").move(config.name, "production", 1, expected=None)
    if kind.retrieval != "file":
        execute(compose_run(home, plugins, kind, "run=materialize"))
    deployment = Deployment(
        Components(config, plugins),
        config.name,
        "production",
        config.features,
        kind.retrieval,
        config.paths.state,
    )
    client: Client
    with serve(deployment) as client:
        yield Project(kind, tables, Doors(run, "production", client, functions and functions(run)))


def origin_of(day: int | None) -> str | None:
    """A day's number as a request writes it."""
    return None if day is None else (FIRST + pd.Timedelta(days=day)).strftime("%Y-%m-%dT%H:%M:%SZ")


def ask(project: Project, entity: tuple[str, str], origin: int | None) -> dict[str, Outcome]:
    """Ask every door and fail where two of them differ.

    Doors that look the series up must agree. Doors that are handed its rows, as the source has
    them, must agree too, and give the same forecast where the former give one.
    """
    looked_up = project.doors.looked_up(dict(zip(KEYS, entity, strict=True)), origin_of(origin))
    assert agree(looked_up), told(looked_up)
    rows = None if entity not in SERIES or origin is None else project.rows(entity, origin)
    if rows is None:
        return looked_up
    handed = project.doors.handed(rows)
    outcomes = {**looked_up, **handed}
    first = looked_up["run=predict"]
    if first.status == OK and project.kind.stale == "refuse":
        assert all(first.same(o) for o in handed.values()), told(outcomes)
    answers = [o for o in handed.values() if o.status == OK]
    assert not answers or (
        len(answers) == len(handed) and all(o.same(answers[0]) for o in answers)
    ), told(outcomes)
    assert all(
        o.status in (OK, REFUSED, "short_history", "missing_feature") for o in handed.values()
    ), told(handed)
    return outcomes
