"""Forecasts keep to the domain of their target: bounds, known states, whole numbers; in every
quantile and interval.
"""

from dataclasses import replace

import numpy as np
import pytest

from framework.config.sections import PanelConfig
from framework.data.schema import Schema
from framework.errors import ConfigError
from framework.evaluation.doubts import idle_states, outside_domain
from framework.options import validate
from framework.pairs.domain import Domain
from framework.pairs.intervals import Calibration
from framework.pairs.pair import KnownTerms
from framework.testing import fakes
from framework.testing.fakes import make_schema
from framework.testing.panels import make_panel, panel_schema

PANEL = {
    "targets": ["y"],
    "known": ["open"],
    "frequency": "D",
    "horizon": 2,
    "season_length": 7,
}


def schema(**more: object) -> Schema:
    fields: dict[str, object] = {
        "targets": ("y",),
        "past": ("y",),
        "known": ("open",),
        "horizon": 2,
    }
    return make_schema(**fields, **more)


def test_bounds_states_and_whole_numbers_in_turn() -> None:
    values = np.array([-3.2, 2.5, 4.6, np.nan]).reshape(2, 2, 1, 1)
    known = np.array([[[1.0], [0.0]], [[np.nan], [0.0]]])
    bounds = {"y": (0.0, 4.0)}
    bounded = Domain(schema(bounds=bounds)).settle(values, known)
    np.testing.assert_array_equal(bounded.ravel(), [0, 2.5, 4, np.nan])
    ruled = Domain(schema(zero_when={"open": 0.0})).settle(values, known)
    np.testing.assert_array_equal(ruled.ravel(), [-3.2, 0, 4.6, np.nan])
    whole = Domain(schema(rounded=("y",))).settle(values, known)
    np.testing.assert_array_equal(whole.ravel(), [-3, 2, 5, np.nan])
    both = Domain(schema(rounded=("y",), bounds={"y": (None, 2.6)})).settle(values, known)
    np.testing.assert_array_equal(both.ravel(), [-3, 2, 2, np.nan])
    zero = Domain(schema(rounded=("y",))).settle(np.full((1, 1, 1, 1), -0.2), None)
    assert not np.signbit(zero).any()
    assert Domain(schema()).settle(values, known) is values


def test_intervals_keep_to_the_domain_and_nest() -> None:
    """In a pair and in the terms that a server finishes forecasts by, to the bit."""
    pair, golden = fakes.make_pair()
    targets = pair.schema.targets
    own = pair.schema.model_copy(
        update={"bounds": dict.fromkeys(targets, (0.0, 12.0)), "rounded": targets}
    )
    steps, kinds = own.horizon, len(targets)
    calibration = Calibration(
        np.broadcast_to(np.linspace(-40, 40, 199), (kinds, steps, 199)).copy(),
        np.full((kinds, steps), 199),
        np.tile(np.array([50.0, 60, 70, 80, 90, 95, 98, 99]), (kinds, 1)),
        np.ones(kinds),
        False,
        {},
        np.ones(kinds),
    )
    pair = replace(pair, schema=own, calibration=calibration)
    context = replace(golden.context, levels=(50.0, 95.0))
    forecast = pair.forecast(context)
    inner, outer = forecast.intervals["50"], forecast.intervals["95"]
    for ends in (forecast.values, inner, outer):
        assert ends.min() >= 0
        assert ends.max() <= 12
        np.testing.assert_array_equal(ends, np.rint(ends))
    assert (outer[..., 0] <= inner[..., 0]).all()
    assert (inner[..., 1] <= outer[..., 1]).all()
    raw = pair.predict(pair.windows(context))
    values, intervals = KnownTerms(own, calibration).settle(context, raw)
    assert values.tobytes() == forecast.values.tobytes()
    assert intervals["95"].tobytes() == outer.tobytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bounds": {"x": {"lower": 0}}}, r"bounds: 'x' is not in panel.targets"),
        ({"bounds": {"y": {"lower": 2, "upper": 1}}}, r"lower 2 is above upper 1"),
        ({"bounds": {"y": {}}}, "lower or upper is needed"),
        (
            {"bounds": {"y": {"lower": 0.2, "upper": 0.9}}, "rounded": ["y"]},
            "bounds.y: no whole number lies between them",
        ),
        ({"zero_when": {"shut": 1}}, r"zero_when: 'shut' is not in panel.known"),
        ({"rounded": ["x"]}, r"rounded: 'x' is not in panel.targets"),
        (
            {"bounds": {"y": {"lower": 1}}, "zero_when": {"open": 0}},
            "zero_when: 0 is outside panel.bounds.y",
        ),
    ],
)
def test_what_cannot_be_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        validate(PanelConfig, {**PANEL, **change}, "panel")


def test_actuals_outside_the_domain_are_counted() -> None:
    panel = make_panel()
    plain = panel_schema(panel)
    name = plain.targets[0]
    assert outside_domain(panel, plain) == []
    highest = float(np.nanmax(panel.past[:, 0])) - 1e-6
    (line,) = outside_domain(panel, plain.model_copy(update={"bounds": {name: (None, highest)}}))
    assert f"rows of '{name}' are not so" in line


def test_a_state_that_no_row_has_is_named() -> None:
    panel = make_panel()
    plain = panel_schema(panel)
    column = plain.known[0]
    rows = panel.known[:, panel.known_names.index(column)]
    has = plain.model_copy(update={"zero_when": {column: float(np.nanmax(rows))}})
    assert idle_states(panel, has) == []
    highest = float(np.nanmax(rows)) + 1
    (line,) = idle_states(panel, has.model_copy(update={"zero_when": {column: highest}}))
    assert line.startswith(f"panel.zero_when.{column}: no row has {highest:g}, they lie between ")
    nulls = replace(panel, known=np.full_like(panel.known, np.nan))
    (line,) = idle_states(nulls, has)
    assert "all are null" in line
