"""The leak canary: absurd values after an origin must not change one byte of what was fitted,
computed or forecast at it.

For the tests of a project or a plugin: :func:`assert_features_do_not_leak` for a view,
:func:`assert_pair_does_not_leak` for a preprocessor with a model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from framework.data.frequency import Frequency
from framework.data.panel import Panel
from framework.data.schema import Schema
from framework.data.vocabulary import TIME
from framework.features.engineering import Tables
from framework.features.leak_canary import leaking_feature
from framework.features.views import View
from framework.interfaces.model import Model
from framework.interfaces.preprocessor import Preprocessor
from framework.pairs.fit import fit_pair
from framework.testing.contracts.component import saved

#: Nothing that a real series holds.
ABSURD = -1e12

#: Makes both halves for a panel. What it makes should not depend on the panel; when it does, and
#: looks too far, that is the leak.
Make = Callable[[Panel], tuple[Preprocessor, Model]]


class LeakError(AssertionError):
    """Something at the origin knew what came after it."""


def with_absurd_future(panel: Panel, origin: np.datetime64, horizon: int) -> Panel:
    """Make everything after an origin absurd; columns known in advance from behind the horizon on,
    until there they are known.

    Args:
        panel: A panel.
        origin: The origin (UTC).
        horizon: The steps ahead that are known in advance.

    Returns:
        The panel with absurd values.
    """
    past, known = panel.past.copy(), panel.known.copy()
    past[panel.times > origin] = ABSURD
    known[panel.times > panel.frequency.shift(np.array([origin]), horizon)[0]] = ABSURD
    return replace(panel, past=past, known=known)


def assert_features_do_not_leak(
    view: View,
    rows: pd.DataFrame,
    frequency: Frequency,
    origin: np.datetime64,
    tables: Tables | None = None,
) -> None:
    """Engineer rows twice, the second time with absurd numbers after an origin.

    Args:
        view: The view.
        rows: What the source gives for it.
        frequency: How far apart its rows are.
        origin: The origin (UTC).
        tables: Those that the view joins; what they hold after ``origin`` becomes absurd too.

    Raises:
        LeakError: A feature changes up to the origin; the message names it.
        ValueError: There is no row after the origin: the check would prove nothing.
    """
    after = rows[TIME] > pd.Timestamp(origin, tz="UTC")
    if not after.any():
        raise ValueError(f"no row after {origin}: the check would prove nothing.")
    name = leaking_feature(view, rows, frequency, origin, ABSURD, tables)
    if name is not None:
        raise LeakError(
            f"feature '{name}': values at or before {origin} change with what comes after."
        )


def assert_pair_does_not_leak(
    panel: Panel,
    schema: Schema,
    make: Make,
    origin: np.datetime64,
    validation_steps: int,
    directory: Path,
    seed: int = 7,
) -> None:
    """Fit and forecast at an origin twice, the second time on a panel whose future is absurd.

    Args:
        panel: The panel.
        schema: What the pair is fitted on.
        make: Makes an unfitted preprocessor and model, of the panel.
        origin: The origin (UTC).
        validation_steps: How many steps before the origin validate.
        directory: An empty folder.
        seed: The seed of everything random.

    Raises:
        LeakError: A file of the fitted state, or the forecast, differs; the message names the
            first.
        ValueError: There is no row after the origin: the check would prove nothing.
    """
    if not (panel.times > origin).any():
        raise ValueError(f"no row after {origin}: the check would prove nothing.")
    states, forecasts = [], []
    for name, inputs in (
        ("clean", panel),
        ("absurd", with_absurd_future(panel, origin, schema.horizon)),
    ):
        pair = fit_pair(inputs.until(origin), schema, *make(inputs), validation_steps, seed)
        (directory / name).mkdir()
        state: dict[str, bytes] = {}
        for half, component in (("preprocessor", pair.preprocessor), ("model", pair.model)):
            state |= {
                f"{half}/{file}": data
                for file, data in saved(component, directory / name / half).items()
            }
        states.append(state)
        forecasts.append(
            pair.forecast(inputs.context(schema, *inputs.origins_at(origin))).values.tobytes()
        )
    for file in sorted({*states[0], *states[1]}):
        if states[0].get(file) != states[1].get(file):
            raise LeakError(
                f"{file} of the fitted state changes with values after {origin}: something "
                "is fitted on rows it must not see."
            )
    if forecasts[0] != forecasts[1]:
        raise LeakError(f"the forecasts from {origin} change with values after it.")
