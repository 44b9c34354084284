"""A long fit says where it is."""

from __future__ import annotations

import re

import pytest

from framework.models import progress
from framework.options import validate
from framework.plugins.discovery import load_plugins
from framework.testing.panels import make_panel, panel_schema, plain_arrays, windows_between


def fit(name: str, **options: object) -> None:
    panel = make_panel(series=2)
    schema = panel_schema(panel)
    arrays = plain_arrays(panel, 2)
    windows = windows_between(arrays, schema, None, arrays.times.max())
    plugins = load_plugins()
    component = plugins.find("model", name)
    plugins.load("model", name)(validate(component.options, options, "model")).fit(
        windows, None, schema, 0
    )


@pytest.mark.parametrize("name", ["xgboost", "lightgbm"])
def test_each_round_is_said_with_its_target_when_it_takes_long(
    name: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "FIRST", 0)
    monkeypatch.setattr(progress, "EACH", 0)
    with progress.fitting("backtest: fold 2"):
        fit(name, n_estimators=3)
    lines = capfd.readouterr().err.splitlines()
    for target in ("sales", "visits"):  # fitted beside each other, so their lines may alternate
        said = [line for line in lines if f"target {target}," in line]
        assert [re.sub(r"\d+ s more", "N s more", line) for line in said] == [
            f"backtest: fold 2, target {target}, mean: round {number} of 3, N s more at most"
            for number in (1, 2, 3)
        ]
        assert said[2].endswith("0 s more at most")
    assert len(lines) == 6


def test_a_short_fit_says_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    with progress.fitting("fit on all rows"):
        fit("xgboost", n_estimators=3)
    fit("xgboost", n_estimators=3)
    assert capfd.readouterr().err == ""
