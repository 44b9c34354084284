"""A promotion on a real registry: proof, gate, a plugin's veto, force, and what history keeps of
each.
"""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from framework_mlflow.options import MlflowOptions
from framework_mlflow.registry.registry import MlflowRegistry

from framework.config.sections import GateConfig
from framework.errors import ConfigError, RefusedError
from framework.interfaces.plugin import hookimpl
from framework.interfaces.registry import Check, PairDraft, ProvenPair
from framework.pairs.artifacts import Evidence, write_pair
from framework.plugins.discovery import load_plugins
from framework.plugins.run import Record
from framework.runs.options import PromoteOptions
from framework.runs.promote import promote
from framework.runs.rollback import rollback
from framework.runs.steps.checks import check_move
from framework.testing import fakes


def backtest(error: float) -> pd.DataFrame:
    """Two series, three steps; the model is off by ``error``, the naive by 3."""
    steps = np.tile([1, 2, 3], 2)
    origin = pd.Timestamp("2026-01-01", tz="UTC")
    columns = {
        "airport": np.repeat(["a", "b"], 3),
        "carrier": "x",
        "origin": origin,
        "event_timestamp": origin + pd.to_timedelta(steps, unit="D"),
        "step": steps,
        "target": "departures",
        "actual": 10.0,
        "baseline": 13.0,
        "scale": 1.0,
        "mean": 10.0 + error,
    }
    return pd.DataFrame(columns)


class Veto:
    """A plugin that lets nothing pass on a Friday; ``friday`` says whether it is one."""

    friday = False

    @hookimpl
    def gate(self, candidate: ProvenPair, incumbent: ProvenPair | None) -> list[Check]:
        return [
            Check(
                "not on a Friday",
                not self.friday,
                None,
                None,
                f"candidate {candidate.version.version}",
            )
        ]


class Desk:
    """A registry, and runs on it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.veto = folder, Veto()
        self.plugins = load_plugins(extra=[fakes, self.veto])
        options = {
            "tracking_uri": f"sqlite:///{folder}/mlflow.db",
            "artifact_location": f"{folder}/artifacts",
            "ledger": f"sqlite:///{folder}/ledger.db",
            "cache": f"{folder}/cache",
            "experiment": "tests",
        }
        self.registry = MlflowRegistry(MlflowOptions.model_validate(options))

    def register(self, error: float) -> int:
        pair, golden = fakes.make_pair()
        folder = self.folder / f"draft{len(self.registry.pairs())}"
        write_pair(
            folder,
            pair,
            {"preprocessor": "fake", "model": "fake"},
            Evidence(golden, backtest(error), {}),
        )
        pinned = tuple(f"{name}=={metadata.version(name)}" for name in ("framework-core", "numpy"))
        return self.registry.register(
            PairDraft(
                folder / "preprocessor", folder / "model", pair.schema, "run: train\n", pinned
            ),
            "run",
        ).version

    def run(self, force: bool = False, **changed: Any) -> Any:
        values = {
            "run": "promote",
            "name": "fake",
            "alias": "production",
            "version": None,
            "reason": None,
        }
        config = SimpleNamespace(gate=GateConfig(), **{**values, **changed})
        return SimpleNamespace(
            config=config,
            options=PromoteOptions(force=force),
            plugins=self.plugins,
            make=lambda _: self.registry,
            say=print,
            directory=self.folder,
            record=Record(),
        )

    def at(self) -> int:
        return self.registry.resolve("fake", "production").version


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_better_moves_worse_is_refused_and_history_has_the_figures(desk: Desk) -> None:
    desk.register(2.0)
    assert promote(desk.run())["previous"] is None
    desk.register(1.0)
    moved = promote(desk.run())
    assert (moved["previous"], moved["pair"]["version"], desk.at()) == (1, 2, 2)
    desk.register(1.5)
    with pytest.raises(
        RefusedError, match=r"departures: MAE against the incumbent: 1\.5 > 1 on 6 rows"
    ) as refused:
        promote(desk.run())
    assert refused.value.verdict is not None
    assert desk.at() == 2
    assert json.loads((desk.folder / "verdict.json").read_text()) == refused.value.verdict
    entry = desk.registry.history("fake", "production")[-1]
    assert (entry.action, entry.before, entry.after, entry.verdict) == (
        "refuse",
        2,
        3,
        refused.value.verdict,
    )
    assert rollback(desk.run())["pair"]["version"] == desk.at() == 1


def test_force_needs_a_reason_and_both_are_remembered(desk: Desk) -> None:
    desk.register(4.0)
    with pytest.raises(RefusedError, match="against the baseline"):
        promote(desk.run())
    with pytest.raises(ConfigError, match="reason: missing"):
        check_move(desk.run(force=True))
    assert promote(desk.run(force=True, reason="hotfix"))["verdict"]["forced"] is True
    entry = desk.registry.history("fake", "production")[-1]
    assert (entry.action, entry.reason, entry.verdict and entry.verdict["forced"]) == (
        "move",
        "hotfix",
        True,
    )


def test_a_plugin_can_veto(desk: Desk) -> None:
    desk.register(1.0)
    desk.veto.friday = True
    with pytest.raises(RefusedError, match="not on a Friday: candidate 1"):
        promote(desk.run())
    desk.veto.friday = False
    assert promote(desk.run())["pair"]["version"] == 1


def test_no_force_overrules_a_proof(desk: Desk) -> None:
    desk.register(1.0)
    weights = next((desk.folder / "artifacts").rglob("golden.json"))
    text = weights.read_text()
    weights.write_text(text.replace("2024", "2025", 1))
    with pytest.raises(RefusedError, match=r"golden\.json was changed"):
        promote(desk.run(force=True, reason="now"))
    assert desk.registry.history("fake", "production")[-1].action == "refuse"
