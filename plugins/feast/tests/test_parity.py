"""``run=verify what=features`` on a real store: nothing differs after materialize, one altered cell
is found and named.
"""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from framework_feast import FeastOptions
from framework_feast.retrieval import FeastRetrieval
from hydra import compose, initialize_config_dir

from framework.config.config import build_config
from framework.data.vocabulary import TIME
from framework.features.views import FeatureSet
from framework.plugins.composition import register
from framework.plugins.discovery import load_plugins
from framework.plugins.run import Run
from framework.retrieval.features import Features
from framework.testing.servers import command

STORE = """
project: shops
provider: local
registry: {path: "${paths.state}/feast/registry.db"}
online_store: {type: sqlite, path: "${paths.state}/feast/online.db"}
offline_store: {type: duckdb}
entity_key_serialization_version: 3
materialization: {pull_latest_features: true}
"""
VIEWS: dict[str, Any] = {
    "primary": "sales",
    "views": {
        "sales": {
            "entity": ["shop"],
            "columns": ["y", "kind"],
            "categories": ["kind"],
            "ttl": "1d",
        },
        "area": {"entity": ["shop"], "columns": ["size"], "ttl": "9d"},
    },
}
FIRST = pd.Timestamp("2024-01-01", tz="UTC")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "conf" / "experiment").mkdir(parents=True)
    (tmp_path / "conf" / "feature_store").mkdir()
    (tmp_path / "conf" / "feature_store" / "local.yaml").write_text(STORE)
    (tmp_path / "conf" / "config.yaml").write_text(
        "defaults: [framework, {override /retrieval: feast}, {override /feature_store: "
        "local}, _self_]\n"
    )
    (tmp_path / "conf" / "experiment" / "shops.yaml").write_text(
        "# @package _global_\ndefaults:\n  - override /source: files\n  - override /model: "
        "seasonal_naive\nname: shops\n"
        "source: {files: {sales: sales.csv, area: area.csv}}\n"
        f"features: {json.dumps(VIEWS)}\npanel: {{targets: [y], frequency: D, horizon: 1, "
        f"season_length: 1}}\n"
    )
    shops = [f"s{i:02}" for i in range(12)]
    days = [FIRST + pd.Timedelta(days=d) for d in range(5)]
    rows = [(s, d, i + k / 3, f"k{i}") for i, s in enumerate(shops) for k, d in enumerate(days)]
    pd.DataFrame(rows, columns=["shop", TIME, "y", "kind"]).to_csv(
        tmp_path / "sales.csv", index=False
    )
    old = {"s11": FIRST - pd.Timedelta(days=20)}  # too old for its ttl: null offline, stale online
    pd.DataFrame(
        [(s, old.get(s, FIRST), 10.0 * i) for i, s in enumerate(shops)],
        columns=["shop", TIME, "size"],
    ).to_csv(tmp_path / "area.csv", index=False)
    return tmp_path


def run(project: Path, *overrides: str) -> tuple[int, dict[str, Any]]:
    done = command.run("+experiment=shops", *overrides, cwd=project)
    return done.returncode, json.loads(done.stdout.splitlines()[-1])


def alter(project: Path) -> None:
    """One value of one shop, written to the online store as a stream would bring it, and nowhere
    else.
    """
    from omegaconf import OmegaConf

    state = project / "state"
    content = OmegaConf.to_container(
        OmegaConf.create({"paths": {"state": str(state)}, "store": OmegaConf.create(STORE)}),
        resolve=True,
    )
    strategy = FeastRetrieval(FeastOptions(store=content["store"], state=state / "offline"))  # type: ignore[index,call-overload]
    features = FeatureSet.model_validate(VIEWS)
    rows = strategy.stored_rows(features, "sales", pd.DataFrame({"shop": ["s07"]}))
    strategy.push(features, "sales", rows.assign(y=rows["y"] + 1e-9).tail(1))
    asyncio.run(strategy.close())


def test_an_altered_cell_is_found_and_named(project: Path) -> None:
    for step in ("ingest", "materialize"):
        assert run(project, f"run={step}")[0] == 0
    code, result = run(project, "run=verify", "what=features")
    assert (code, result["status"], result["entities"], result["differences"]) == (
        0,
        "done",
        12,
        [],
    )
    alter(project)
    code, result = run(project, "run=verify", "what=features")
    assert (code, result["status"]) == (3, "refused")
    (found,) = result["verdict"]["differences"]
    assert (found["entity"], found["feature"], found["origin"][:10]) == (
        {"shop": "s07"},
        "y",
        "2024-01-05",
    )
    assert found["online"] - found["offline"] == pytest.approx(1e-9, rel=1e-3)
    assert "'s07'" in result["error"]
    code, result = run(project, "run=verify", "what=features", "verify.sample=3", "seed=1")
    assert result.get("entities", result.get("verdict", {}).get("entities")) == 3


@pytest.mark.stress
@pytest.mark.gate_cases(1)
@pytest.mark.parametrize("retrieval", ["feast", "file"])
def test_the_facades_three_lines_are_those_of_the_how_to(project: Path, retrieval: str) -> None:
    page = (Path(__file__).parents[3] / "docs" / "how-to" / "offline-stores.md").read_text()
    (lines,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert run(project, f"retrieval={retrieval}", "run=ingest")[0] == 0
    if retrieval == "feast":
        assert run(project, "run=materialize")[0] == 0
    overrides = [
        "+experiment=shops",
        f"retrieval={retrieval}",
        f"paths.state={project / 'state'}",
        "preprocessor=native",
    ]
    plugins = load_plugins()
    register(plugins)
    with initialize_config_dir(str(project / "conf"), version_base="1.3"):
        config = build_config(compose("config", overrides), plugins)
    found: dict[str, Any] = {
        "asyncio": asyncio,
        "Features": Features,
        "run": Run(config, plugins, project, print),
    }
    exec(lines, found)
    assert len(found["panel"].entities) == 12
    assert found["context"].status == ["ok"]
    assert found["context"].past[0, -1].tolist() == [4 / 3, 0.0]
