"""One question, every door and Ray Serve: the same series and origin gives the same bytes or the
same status.

``run=serve serving=ray`` serves one real project from its four services, in the Ray of these tests.
Every request goes to it and to the HTTP application of this process; both must answer the same
bytes. Look-ups of more than two series are joined from pieces.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from framework.data.vocabulary import OK, TIME
from framework.plugins import composition as offers
from framework.plugins.discovery import load_plugins
from framework.plugins.execute import execute
from framework.serving.app.app import create_app
from framework.serving.deployment import Deployment
from framework.serving.options import ServingOptions
from framework.serving.service import Service
from framework.testing.door_projects import (
    DAYS,
    FIRST,
    KEYS,
    SERIES,
    Kind,
    Project,
    ask,
    compose_run,
    origin_of,
    told,
    trained,
)
from framework.testing.doors import Rows

from .conftest import fresh_options

KIND = Kind(
    "boosted", ("model=xgboost", "model.n_estimators=8", "model.n_jobs=1"), quantiles=(0.1, 0.9)
)
#: Its newest row has categories that training did not see.
RENEWED, NEWEST = ("north", "12"), 37
UNKNOWN = ("nowhere", "7")
ENTITIES = st.sampled_from([*SERIES, UNKNOWN])
ORIGINS = st.one_of(st.none(), st.sampled_from([DAYS - 1, NEWEST]), st.integers(2, DAYS + 1))
repeated = settings(
    max_examples=50,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


class Both:
    """Asks two servers each question. Their answers must have the same bytes."""

    def __init__(self, fast: TestClient, ray: httpx.Client) -> None:
        self._fast, self._ray = fast, ray

    def post(self, url: str, *, json: Any) -> httpx.Response:
        expected, answer = (
            self._fast.post(url, json=json),
            self._ray.post(url.removeprefix("/"), json=json),
        )
        assert (answer.status_code, answer.content) == (expected.status_code, expected.content), (
            json
        )
        return answer


@contextmanager
def serve(deployment: Deployment) -> Iterator[Both]:
    """The application of a server in this process, and ``run=serve`` on Ray; their source has
    changed since training.
    """
    home = deployment.state.parent
    renew(home / "sales.parquet")
    execute(compose_run(home, deployment.parts.plugins, KIND, "run=ingest"))
    fast = TestClient(
        create_app(Service(deployment, ServingOptions())),
        base_url="http://127.0.0.1",
        raise_server_exceptions=False,
    )
    with fast, on_ray(home) as url, httpx.Client(base_url=url, timeout=60) as ray:
        yield Both(fast, ray)


def renew(path: Path) -> None:
    sales = pd.read_parquet(path)
    newest = (
        (sales["shop"] == RENEWED[0])
        & (sales["item"] == int(RENEWED[1]))
        & (sales[TIME] == FIRST + pd.Timedelta(days=NEWEST))
    )
    sales.loc[newest, ["grade", "sort"]] = [9, "Größe 2"]
    sales.to_parquet(path, index=False)


@contextmanager
def on_ray(home: Path) -> Iterator[str]:
    """The URL of a server process that deploys to the Ray of the tests."""
    options = {
        key: "null" if value is None else value for key, value in fresh_options(chunk=2).items()
    }
    overrides = [
        *KIND.model,
        "run=serve",
        "serving=ray",
        *(f"serving.{key}={value}" for key, value in options.items()),
    ]
    command = [sys.executable, "-m", "framework", "+experiment=e", *overrides]
    process = subprocess.Popen(command, cwd=home, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["url"]
    finally:
        process.terminate()
        assert process.wait(60) == 0


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """Trained and served once."""
    plugins = load_plugins()
    offers.register(plugins)
    home = tmp_path_factory.mktemp("boosted")
    with trained(home, plugins, KIND, serve) as project:
        project.tables["sales"] = pd.read_parquet(home / "sales.parquet")
        yield project


def rows_of(project: Project, entity: tuple[str, str], origin: int) -> Rows:
    rows = project.rows(entity, origin)
    assert rows is not None
    return rows


@pytest.mark.stress
@repeated
@given(entity=ENTITIES, origin=ORIGINS)
def test_ray_serve_gives_the_same_as_every_door(
    project: Project, entity: tuple[str, str], origin: int | None
) -> None:
    ask(project, entity, origin)


@repeated
@given(
    entities=st.lists(ENTITIES, min_size=2, max_size=7),
    origin=ORIGINS,
    more=st.sampled_from(
        [{}, {"horizon": 1}, {"levels": [50, 80]}, {"levels": [99], "horizon": 2}]
    ),
)
def test_a_batch_joined_from_pieces_is_each_series_alone(
    project: Project, entities: list[tuple[str, str]], origin: int | None, more: dict[str, Any]
) -> None:
    asked = {**more, "at": origin_of(origin)}
    records = [dict(zip(KEYS, entity, strict=True)) for entity in entities]
    together = project.doors.client.post(
        "/predict/feast/batch", json={"entities": records, **asked}
    )
    alone = {
        entity: project.doors.client.post("/predict/feast", json={"entity": dict(entity), **asked})
        for entity in map(_items, records)
    }
    if together.status_code == 200:
        assert together.json()["forecasts"] == [
            alone[_items(record)].json()["forecasts"][0] for record in records
        ]
    assert {answer.status_code for answer in alone.values()} == {together.status_code}


def _items(record: dict[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(record.items())


@pytest.mark.parametrize(
    ("entity", "origin", "status", "detail"),
    [
        (("north", "7"), 20, OK, ""),
        (("north", "7"), 24, "missing_feature", "promo"),  # a null of the plan
        (("old town", "7"), DAYS - 1, "missing_feature", "promo"),  # the plan lacks a step ahead
        (("south", "7"), DAYS - 1, "stale", "weather"),
        (("new", "7"), DAYS - 2, OK, ""),
        (UNKNOWN, None, "unknown_entity", "no rows"),
        (
            RENEWED,
            NEWEST,
            OK,
            "grade: '9' was not seen in training; sort: 'Größe 2' was not seen in training",
        ),
    ],
)
def test_the_questions_meet_every_status(
    project: Project, entity: tuple[str, str], origin: int | None, status: str, detail: str
) -> None:
    outcomes = ask(project, entity, origin)
    for door in ("/predict/feast", "/predict/feast/batch"):
        assert outcomes[door].status == status, told(outcomes)
        assert detail in outcomes[door].detail, told(outcomes)


def test_unseen_values_of_a_batch_come_through_with_their_series(project: Project) -> None:
    asked = (*SERIES, RENEWED)
    entities = [dict(zip(KEYS, entity, strict=True)) for entity in asked]
    forecasts = project.doors.client.post(
        "/predict/feast/batch", json={"entities": entities}
    ).json()["forecasts"]
    assert [entry["entity"] for entry in forecasts] == entities
    assert ["'9' was not seen" in str(entry.get("detail")) for entry in forecasts] == [
        entity == RENEWED for entity in asked
    ]


@pytest.mark.parametrize(
    ("changed", "detail"),
    [
        ({"open": True, "grade": 1}, None),
        ({"open": "TRUE", "grade": "1.0"}, None),
        ({"sort": "nobody's"}, 'sort: "nobody\'s" was not seen in training'),
        ({"grade": 99, "sort": ""}, "grade: '99' was not seen in training"),
        ({"open": None, "grade": None, "stock": None, "rain": None}, None),
    ],
)
def test_categories_of_any_type_and_nulls_are_the_same_in_rows(
    project: Project, changed: dict[str, Any], detail: str | None
) -> None:
    rows = rows_of(project, ("north", "7"), 20)
    history = [{**row, **changed} for row in rows.history]
    answer = project.doors.client.post(
        "/predict", json={"rows": history, "future": rows.future}
    ).json()["forecasts"][-1]
    assert (answer["status"], answer.get("detail")) == (OK, detail)
    project.doors.client.post(
        "/invocations", json={"dataframe_records": history, "params": {"future": rows.future}}
    )


def test_a_window_without_a_value_of_its_target_has_too_short_a_history(project: Project) -> None:
    rows = rows_of(project, ("north", "7"), 20)
    history = [{**row, **dict.fromkeys(("y", "y_lag_1", "y_lag_2"))} for row in rows.history]
    answer = project.doors.client.post(
        "/predict", json={"rows": history, "future": rows.future}
    ).json()["forecasts"][-1]
    assert answer["status"] == "short_history"
    assert answer["detail"]


def test_rows_of_several_series_are_worked_on_in_pieces(project: Project) -> None:
    parts = [rows_of(project, entity, NEWEST) for entity in SERIES if entity != ("new", "7")]
    history, future = (
        [row for part in parts for row in part.history],
        [row for part in parts for row in part.future],
    )
    answer = project.doors.client.post("/predict", json={"rows": history, "future": future})
    assert {entry["status"] for entry in answer.json()["forecasts"]} == {OK}
    records = {"dataframe_records": history, "params": {"future": future}}
    assert project.doors.client.post("/invocations", json=records).status_code == 200


@pytest.mark.parametrize("time", ["2024-02-09T12:00:00Z", "2024-02-30", "soon"])
def test_a_time_off_the_grid_is_refused(project: Project, time: str) -> None:
    entity = dict(zip(KEYS, ("north", "7"), strict=True))
    rows = rows_of(project, ("north", "7"), 20)
    history = [*rows.history[:-1], {**rows.history[-1], TIME: time}]
    future = [{**row, TIME: time} for row in rows.future]
    for url, body in {
        "/predict/feast": {"entity": entity, "at": time},
        "/predict/feast/batch": {"entities": [entity] * 3, "at": time},
        "/predict": {"rows": history, "future": rows.future},
        "/invocations": {"dataframe_records": history, "params": {"future": rows.future}},
    }.items():
        assert project.doors.client.post(url, json=body).status_code == 422, url
    assert (
        project.doors.client.post(
            "/predict", json={"rows": rows.history, "future": future}
        ).status_code
        == 422
    )
