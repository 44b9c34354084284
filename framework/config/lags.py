"""The lag columns that a model with seasonal lags needs: made here, so that nobody types them."""

from __future__ import annotations

from typing import Any

from framework.features.operations import steps_back
from framework.options import step_numbers


def add_lags(tree: dict[str, Any], lags: Any) -> None:
    """Add to the primary view the lag columns of the targets that ``lags`` need and no view makes.

    Args:
        tree: A composed configuration as plain containers; changed in place. Where a key that is
            needed is absent or wrong, nothing is added: the validation names that key.
        lags: ``model.seasonal_lags``, as it is written.
    """
    numbers = step_numbers(lags)
    panel, features = tree.get("panel"), tree.get("features")
    if not isinstance(panel, dict) or not isinstance(features, dict):
        return
    view = (features.get("views") or {}).get(features.get("primary"))
    horizon, targets = panel.get("horizon"), panel.get("targets")
    if (
        not isinstance(view, dict)
        or not isinstance(horizon, int)
        or not isinstance(targets, list)
        or not isinstance(numbers, list)
        or not all(isinstance(n, int) and n > 0 for n in numbers)
    ):
        return
    needed_lags = sorted(
        {back for step in range(1, horizon + 1) for back in steps_back(numbers, step)} - {0}
    )
    engineer = list(view.get("engineer") or ())
    present = {name for op in engineer for name in _lag_names(op)} | set(view.get("columns") or ())
    columns = panel.get("columns")
    for target in targets:
        missing_lags = [k for k in needed_lags if f"{target}_lag_{k}" not in present]
        if missing_lags:
            engineer.append({"op": "lag", "columns": [target], "steps": missing_lags})
        if isinstance(columns, list):
            names = [f"{target}_lag_{k}" for k in needed_lags]
            columns += [name for name in names if name not in columns]
    view["engineer"] = engineer


def _lag_names(op: Any) -> list[str]:
    if not isinstance(op, dict):
        return []
    if op.get("op") == "python":
        return [str(name) for name in op.get("outputs") or ()]
    if op.get("op") == "join":
        return [f"{op.get('prefix') or ''}{name}" for name in op.get("columns") or ()]
    if op.get("op") != "lag":
        return []
    steps = step_numbers(op.get("steps"))
    return [
        f"{column}_lag_{k}"
        for column in op.get("columns") or ()
        for k in (steps if isinstance(steps, list) else ())
    ]
