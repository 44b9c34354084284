"""One question, every door: the same series and origin gives the same bytes or the same status,
whatever way it is asked.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from framework.data.vocabulary import OK
from framework.errors import DataError
from framework.pairs.manifest import HALVES
from framework.plugins import composition as offers
from framework.plugins.discovery import load_plugins
from framework.plugins.run import Run
from framework.serving.app.app import create_app
from framework.serving.deployment import Deployment
from framework.serving.options import ServingOptions
from framework.serving.service import Service
from framework.testing.door_projects import (
    DAYS,
    HORIZON,
    SERIES,
    SHORT,
    Kind,
    Project,
    ask,
    told,
    trained,
)

#: How many questions are asked of each project; ``make fuzz`` asks more.
EXAMPLES = int(os.environ.get("DOORS_EXAMPLES", "30"))
BOOSTED = ("model=xgboost", "model.n_estimators=8", "model.n_jobs=1")
#: A highest value below some actuals, whole numbers, and nothing sold where the plan says 0.
DOMAIN = {
    "bounds": {"y": {"upper": 14.7}},
    "rounded": ["y"],
    "zero_when": {"promo": 0},
}
#: Holidays of the series' own countries, of the steps ahead and of the history.
COUNTRIES = (
    "{step: calendar, fields: [days_to_holiday, days_since_holiday], country_column: shop, "
    "countries: {north: US, south: DE, old town: FR, new: JP}}"
)
CALENDARS = (f"preprocessor.past=[{COUNTRIES}]", f"preprocessor.future=[{COUNTRIES}]")
#: Asks whose window it is.
WEIGHTED = (
    "model=ensemble",
    "model.weights=by_series",
    "model.members={tree: {name: xgboost, n_estimators: 8, n_jobs: 1}, "
    "naive: {name: seasonal_naive, season_length: 5}}",
)
KINDS = (
    Kind("boosted", (*BOOSTED, *CALENDARS), quantiles=(0.1, 0.9)),
    Kind("windows", ("model=seasonal_naive",), gaps="insert", domain=DOMAIN),
    Kind("flagged", WEIGHTED, known=(), stale="flag"),
)


def serve(deployment: Deployment) -> TestClient:
    """The application of a server in this process."""
    return TestClient(
        create_app(Service(deployment, ServingOptions())),
        base_url="http://127.0.0.1",
        raise_server_exceptions=False,
    )


def load_functions(run: Run) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """Both halves through ``mlflow.pyfunc.load_model``, as somebody without this product would load
    them.
    """
    mlflow.set_tracking_uri(run.make("registry").store.uri)
    preprocessor, model = (
        mlflow.pyfunc.load_model(f"models:/{run.config.name}_{half}@production") for half in HALVES
    )

    def answer(rows: pd.DataFrame) -> pd.DataFrame:
        try:
            return pd.DataFrame(model.predict(preprocessor.predict(rows)))
        except mlflow.MlflowException as error:
            raise DataError(str(error)) from error

    return answer


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Project]]:
    """Each kind trained once."""
    plugins = load_plugins()
    offers.register(plugins)
    with ExitStack() as stack:
        yield {
            k.name: stack.enter_context(
                trained(tmp_path_factory.mktemp(k.name), plugins, k, serve, load_functions)
            )
            for k in KINDS
        }


QUESTIONS = {
    "entity": st.sampled_from([*SERIES, ("nowhere", "7"), ("north", "8")]),
    "origin": st.one_of(st.none(), st.sampled_from([DAYS - 1, DAYS - 3]), st.integers(2, DAYS + 1)),
}


@pytest.mark.parametrize("kind", [kind.name for kind in KINDS])
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(**QUESTIONS)
def test_every_door_gives_the_same(
    projects: dict[str, Project], kind: str, entity: tuple[str, str], origin: int | None
) -> None:
    ask(projects[kind], entity, origin)


@pytest.mark.parametrize(
    ("kind", "entity", "origin", "status"),
    [
        ("boosted", ("north", "7"), 20, OK),
        ("boosted", ("old town", "7"), DAYS - 1, "missing_feature"),  # the plan lacks a step ahead
        ("boosted", ("south", "7"), DAYS - 1, "stale"),
        ("flagged", ("south", "7"), DAYS - 1, OK),
        ("flagged", ("new", "7"), DAYS - 1, OK),  # its members need a step each
        ("windows", ("new", "7"), DAYS - 2, OK),  # younger than its window
        ("windows", ("north", "12"), 22, OK),  # steps without a row in its window
        ("windows", ("nowhere", "7"), None, "unknown_entity"),
    ],
)
def test_the_questions_meet_every_status(
    projects: dict[str, Project],
    kind: str,
    entity: tuple[str, str],
    origin: int | None,
    status: str,
) -> None:
    outcomes = ask(projects[kind], entity, origin)
    assert outcomes["/predict/feast"].status == status, told(outcomes)
    if status == OK:
        assert len(outcomes) == 8, told(outcomes)


@pytest.mark.stress
def test_a_series_that_is_younger_than_the_window_of_a_network_is_refused_at_every_door(
    tmp_path: Path,
) -> None:
    """Networks need their whole window: no other model of this distribution does."""
    plugins = load_plugins()
    offers.register(plugins)
    network = ("model=nlinear", "model.input_chunk_length=6", "model.n_epochs=1")
    with trained(
        tmp_path, plugins, Kind("network", network, known=(), gaps="insert"), serve, load_functions
    ) as project:
        for entity, status in ((SHORT, "short_history"), (("old town", "7"), OK)):
            outcomes = ask(project, entity, DAYS - 1)
            assert outcomes["/predict/feast"].status == status, told(outcomes)
            assert len(outcomes) == 8, told(outcomes)


def test_every_door_keeps_to_the_domain(projects: dict[str, Project]) -> None:
    """Plain naive forecasts have fractions, and rise above the bound."""
    project = projects["windows"]
    values, promos = [], []
    for origin in (18, 21, 32, 36):
        for entity in (("north", "7"), ("old town", "7")):
            rows = project.rows(entity, origin)
            if rows is None or len(rows.future) < HORIZON:
                continue
            outcomes = ask(project, entity, origin)
            if outcomes["/predict/feast"].status != OK:
                continue
            assert len(outcomes) == 8, told(outcomes)
            values += np.frombuffer(outcomes["/predict/feast"].values).tolist()
            promos += [row["promo"] for row in rows.future]
    shut = np.array(promos) == 0
    forecast = np.array(values)
    assert shut.any()
    assert not forecast[shut].any()
    assert (forecast[~shut] > 0).all()
    assert forecast.max() == 14
    np.testing.assert_array_equal(forecast, np.rint(forecast))
