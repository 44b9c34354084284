"""The local models under the public contract suite; and what is theirs alone."""

import subprocess
import sys
from typing import Any, ClassVar

import numpy as np
import pytest
from framework_statsforecast import model as local

from framework.data.windows import Windows
from framework.interfaces.model import FitSize
from framework.models import progress
from framework.options import validate
from framework.pairs.fit import fit_model
from framework.plugins.discovery import load_plugins
from framework.testing.contracts.model import ModelContract
from framework.testing.panels import make_panel, panel_schema, plain_arrays


class TestAutoTheta(ModelContract):
    name = "auto_theta"
    local = True
    options: ClassVar[dict[str, Any]] = {
        "context_length": 28,
        "model": "STM",
        "decomposition_type": "additive",
    }

    def window(self, *values: float) -> Windows:
        past = np.array(values, dtype=np.float64).reshape(1, -1, 1)
        empty = np.zeros((1, len(values), 0), np.float32)
        return Windows(past, empty, np.zeros((1, 5, 0), np.float32), np.zeros((1, 0), np.float32))

    def test_the_answer_is_the_librarys(self) -> None:
        from statsforecast.models import AutoTheta

        model, windows, schema = self.fitted()
        got = model.predict(windows)
        y = windows.target_past[3, :, 1].copy()
        library = AutoTheta(season_length=7, model="STM", decomposition_type="additive")
        expected = library.forecast(y=y, h=schema.horizon, level=[80])
        assert np.array_equal(got[3, :, 1, 0], expected["mean"])
        assert np.array_equal(got[3, :, 1, 1], expected["lo-80"])
        assert np.array_equal(got[3, :, 1, 3], expected["hi-80"])

    def test_remembering_changes_no_bit(self) -> None:
        model, windows, _ = self.fitted()
        first = model.predict(windows)
        local._answer.cache_clear()
        assert model.predict(windows).tobytes() == first.tobytes()

    def test_each_series_is_told_when_it_takes_long(
        self, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(progress, "FIRST", 0)
        monkeypatch.setattr(progress, "EACH", 0)
        model, windows, _ = self.fitted()
        with progress.fitting("backtest: fold 1, forecast"):
            model.predict(windows)
        lines = capfd.readouterr().err.splitlines()
        assert len(lines) == len(windows)
        assert lines[-1].startswith(f"backtest: fold 1, forecast: series {len(windows)} of ")

    def test_nulls_short_and_constant_histories(self) -> None:
        model, _, _ = self.fitted()
        nan = float("nan")
        lead = model.predict(self.window(nan, nan, 1, 2, 3, 4, 5, 6, 5, 4))
        assert np.array_equal(lead, model.predict(self.window(1, 2, 3, 4, 5, 6, 5, 4)))
        inside = model.predict(self.window(1, 2, nan, 4, 5, 6, 5, 4))
        assert np.array_equal(inside, model.predict(self.window(1, 2, 3, 4, 5, 6, 5, 4)))
        assert (model.predict(self.window(4, 4, 4, 4)) == 4).all()
        assert (model.predict(self.window(nan, 4)) == 4).all()

    @pytest.mark.parametrize("name", ["auto_theta", "auto_ets", "auto_arima"])
    def test_a_season_is_found(self, name: str) -> None:
        """The second season of a noiseless one is predicted."""
        contract = {
            "auto_theta": TestAutoTheta,
            "auto_ets": TestAutoETS,
            "auto_arima": TestAutoARIMA,
        }[name]()
        schema = self.schema(make_panel()).model_copy(
            update={"targets": ("sales",), "quantiles": ()}
        )
        train, _ = self.split(plain_arrays(make_panel(), 1), schema)
        changed = {
            "auto_theta": {},
            "auto_ets": {"model": "ANA"},
            "auto_arima": {"seasonal": True, "D": 1},
        }[name]
        model = contract.make(**changed)
        model.fit(train, None, schema, 1)
        y = (
            20
            + 5 * np.sin(2 * np.pi * np.arange(40) / 7)
            + np.random.default_rng(1).normal(0, 0.05, 40)
        )
        got = model.predict(self.window(*y[:35]))[0, :, 0, 0]
        assert np.abs(got - y[35:40]).max() < 0.5


class TestAutoETS(ModelContract):
    name = "auto_ets"
    local = True
    options: ClassVar[dict[str, Any]] = {"context_length": 21, "model": "ANN"}


@pytest.mark.stress
class TestAutoARIMA(ModelContract):
    name = "auto_arima"
    local = True
    options: ClassVar[dict[str, Any]] = {
        "context_length": 21,
        "max_p": 1,
        "max_q": 0,
        "max_d": 1,
        "seasonal": False,
    }


@pytest.mark.stress
class TestCrostonSBA(ModelContract):
    name = "croston_sba"
    local = True
    options: ClassVar[dict[str, Any]] = {"context_length": 21}


@pytest.mark.parametrize("name", ["croston_sba", "tsb", "adida", "imapa"])
def test_demand_that_is_mostly_zero_is_forecast_by_its_rate(name: str) -> None:
    """Four pieces every fifth day are less than one a day; the library's own answer, to the bit."""
    from statsforecast import models as library

    plugins = load_plugins()
    options = {"context_length": 60}
    component = plugins.find("model", name)
    model = plugins.make("model", name, validate(component.options, options, "model"))
    panel = make_panel()
    schema = panel_schema(panel, targets=("sales",), context_length=60, quantiles=())
    fit_model(plain_arrays(panel, 1), schema, model, 0, 1)
    y = np.where(np.arange(60) % 5 == 0, 4.0, 0.0)
    past = y.reshape(1, -1, 1)
    empty = np.zeros((1, schema.horizon, 0), np.float32)
    windows = Windows(past, past.astype(np.float32), empty, np.zeros((1, 0), np.float32))
    answer = model.predict(windows)[0, :, 0, 0]
    assert ((answer > 0.2) & (answer < 2)).all()
    arguments = {"alpha_d": 0.2, "alpha_p": 0.2} if name == "tsb" else {}
    own = getattr(library, type(model).__name__)(**arguments)
    np.testing.assert_array_equal(answer, own.forecast(y=y, h=schema.horizon)["mean"])
    assert not model.supports_quantiles


#: What the library takes for the largest order. In a process of its own, whose peak is its own.
LARGEST = """
import sys
import numpy as np
from statsforecast.arima import getQ0
lags = np.zeros(int(sys.argv[1]))
lags[0], lags[-1] = 0.3, 0.2
def peak():
    lines = open("/proc/self/status").read().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
getQ0(lags[:3], lags[:3])
before = peak()
getQ0(lags, np.array([0.1]))
print(peak() - before)
"""


@pytest.mark.stress
@pytest.mark.parametrize("season", [40, 52])
def test_the_memory_of_the_largest_order_is_counted(season: int) -> None:
    options = validate(local.AutoARIMAOptions, {"season_length": season}, "model")
    model = local.AutoARIMA(options)
    steps = model.context_length(season)
    size = FitSize(0, 0, steps, 5, 0, 0, 0, 1, 0)
    lags = str(model._states(steps) - 1)  # one more is of the errors
    done = subprocess.run(
        [sys.executable, "-c", LARGEST, lags], capture_output=True, text=True, check=True
    )
    assert (model.memory(size) or 0) == pytest.approx(int(done.stdout), rel=0.3)
