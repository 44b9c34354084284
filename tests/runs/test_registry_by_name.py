"""The registry without an experiment: pairs, history, aliases and differences by the name alone."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from framework_mlflow.options import MlflowOptions
from framework_mlflow.registry.registry import MlflowRegistry

from framework.interfaces.registry import PairDraft
from framework.pairs.artifacts import Evidence, write_pair
from framework.testing import fakes
from framework.testing.servers import command

CONFIG = """\
run: train
name: {name}
seed: {seed}
model: {{name: fake, level: 1}}
panel: {{targets: [departures], horizon: 3{more}}}
"""


def backtest(error: float, year: int) -> pd.DataFrame:
    origin = pd.Timestamp(f"{year}-01-01", tz="UTC")
    columns = {
        "airport": ["a", "a", "b"],
        "carrier": "x",
        "origin": origin,
        "fold": 0,
        "event_timestamp": origin + pd.to_timedelta([1, 2, 1], unit="D"),
        "step": [1, 2, 1],
        "target": "departures",
        "actual": 10.0,
        "baseline": 13.0,
        "scale": 1.0,
        "mean": 10.0 + error,
    }
    return pd.DataFrame(columns)


def register(folder: Path, name: str, number: int, config: str, panel: dict[str, str]) -> None:
    state = folder / "state"
    state.mkdir(exist_ok=True)
    options = {
        "tracking_uri": f"sqlite:///{state}/mlflow.db",
        "artifact_location": f"{state}/artifacts",
        "ledger": f"sqlite:///{state}/ledger.db",
        "cache": f"{state}/cache",
        "experiment": "tests",
    }
    pair, golden = fakes.make_pair()
    pair = replace(pair, schema=pair.schema.model_copy(update={"name": name}))
    draft = folder / f"draft-{name}-{number}"
    table = backtest(number, 2024)
    table = table.assign(**{f"q{q:g}": table["mean"] for q in pair.schema.quantiles})
    evidence = Evidence(golden, table, {"source": {"a.csv": "1"}, "panel": panel})
    write_pair(draft, pair, {"preprocessor": "fake", "model": "fake"}, evidence)
    MlflowRegistry(MlflowOptions.model_validate(options)).register(
        PairDraft(draft / "preprocessor", draft / "model", pair.schema, config, ("pandas==2.2.3",)),
        f"run-{number}",
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """No project at all, but the state of one with two names."""
    folder = tmp_path_factory.mktemp("operator")
    register(
        folder,
        "shops",
        1,
        CONFIG.format(name="shops", seed=1, more=""),
        {"2024-01": "a", "2024-02": "b"},
    )
    register(
        folder,
        "shops",
        2,
        CONFIG.format(name="shops", seed=2, more=", gaps: insert"),
        {"2024-02": "c", "2024-03": "d"},
    )
    register(folder, "rides", 1, CONFIG.format(name="rides", seed=1, more=""), {})
    return folder


def result(folder: Path, *overrides: str, code: int = 0) -> dict[str, Any]:
    done = command.run(*overrides, cwd=folder)
    assert done.returncode == code, done.stderr
    body: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return body


def test_pairs_and_the_check_of_the_registry_need_no_experiment(folder: Path) -> None:
    listed = result(folder, "run=pairs")["pairs"]
    assert {(pair["name"], pair["version"]) for pair in listed} == {
        ("shops", 1),
        ("shops", 2),
        ("rides", 1),
    }
    assert [p["version"] for p in result(folder, "run=pairs", "name=shops")["pairs"]] == [2, 1]
    assert result(folder, "run=verify")["pairs"] == 3
    assert result(folder, "run=verify", "name=rides")["pairs"] == 1
    error = result(folder, "run=verify", "what=features", code=2)["error"]
    assert error.endswith("choose one, +experiment=NAME.")


def test_a_name_is_asked_for_where_there_are_several(folder: Path) -> None:
    error = result(folder, "run=history", code=2)["error"]
    assert error == "name: missing; say whose pairs are meant, name=NAME, one of: rides, shops."
    # the name that a configuration has by itself, said: nobody else's pairs are meant
    assert result(folder, "run=pairs", "name=forecast")["pairs"] == []
    history = result(folder, "run=history", "name=rides")["history"]
    assert [entry["action"] for entry in history] == ["register"]


def test_diff_says_what_changed_between_two_pairs(folder: Path) -> None:
    done = command.run("run=diff", "name=shops", "version=2", "against=1", cwd=folder)
    assert done.returncode == 0, done.stderr
    body = json.loads(done.stdout.splitlines()[-1])
    assert (body["before"]["version"], body["after"]["version"]) == (1, 2)
    assert body["configuration"] == [
        {"key": "seed", "before": 1, "after": 2},
        {"key": "panel.gaps", "before": "(absent)", "after": "insert"},
    ]
    assert body["schema"] == []
    assert body["distributions"] == []
    assert body["data"] == {
        "months": {"before": ["2024-01", "2024-02"], "after": ["2024-02", "2024-03"]},
        "changed": ["2024-02"],
        "added": ["2024-03"],
        "removed": ["2024-01"],
        "source": [],
    }
    assert body["halves"]["preprocessor"] == {"same": True, "files": []}
    assert body["halves"]["model"] == {"same": False, "files": ["backtest.parquet", "data.json"]}
    figures = body["figures"]["targets"]["departures"]
    assert figures["model"]["MAE"] == {"before": 1.0, "after": 2.0}
    assert figures["baseline"]["MAE"] == {"before": 3.0, "after": 3.0}
    assert "configuration: panel.gaps: (absent) -> insert\n" in done.stderr
    assert "departures: model MAE: 1.0 -> 2.0\n" in done.stderr
    assert body["notes"] == []
    assert "against" in result(folder, "run=diff", "name=shops", code=2)["error"]
    two = ("version=2", "alias=nobody", "against=1")
    error = result(folder, "run=diff", "name=shops", *two, code=2)["error"]
    assert error == "alias=nobody and version=2 each name a pair; give one of them."


@pytest.mark.stress
def test_an_alias_is_moved_by_the_name_and_may_be_compared(folder: Path) -> None:
    moved = result(folder, "run=alias", "name=shops", "alias=staging", "version=1", code=2)
    assert moved["error"].startswith("preprocessor=fake is not known")  # fakes are no plugin's
    moved = result(folder, "run=diff", "name=shops", "alias=nobody", "against=1", code=1)
    assert "nobody" in moved["error"]
