"""One adapter over statsforecast's automatic models: each window is a series of its own, fitted
when it is asked.
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from framework.data.arrays import Float64
from framework.data.schema import Schema
from framework.data.windows import Windows, WindowSet
from framework.errors import DataError
from framework.interfaces.model import Covariates, FitSize, Model
from framework.models.progress import tell
from framework.options import Options
from framework_statsforecast import (
    AutoARIMAOptions,
    AutoETSOptions,
    AutoThetaOptions,
    IntermittentOptions,
    TSBOptions,
)

#: Answers that a process remembers: a fit takes up to a second, and until a new step arrives a
#: series is asked with the same window.
REMEMBERED = 8192
#: Bytes of a row while its mean is taken: the value without nulls and the mark of a null.
_ROW_BYTES = 9
#: Bytes of a step of a window while it is fitted, at most: the library keeps some dozen copies.
_STEP_BYTES = 1000


@lru_cache(maxsize=REMEMBERED)
def _answer(
    name: str, options: str, history: bytes, horizon: int, quantiles: tuple[float, ...]
) -> Float64:
    """``[H, 1 + Q]`` of the library's model ``name`` fitted to ``history`` (float64, no nulls);
    read-only.
    """
    y = np.frombuffer(history, dtype=np.float64)
    if y.min() == y.max():  # nothing to fit, and not every model of the library bears it
        out = np.full((horizon, 1 + len(quantiles)), y[0])
    else:
        levels = sorted({_level(q) for q in quantiles if q != 0.5})
        arguments = json.loads(options)
        season = arguments.get("season_length")
        if season is not None and len(y) < 2 * season + 1:
            arguments["season_length"] = 1
        try:
            answer = _forecast(name, arguments, y, horizon, levels)
        except (ArithmeticError, IndexError, ValueError, np.linalg.LinAlgError) as error:
            raise DataError(
                f"{name} cannot be fitted to this window of {len(y)} steps: {error}; ask "
                "another model."
            ) from error
        columns = [answer["mean"]]
        for q in quantiles:
            columns.append(
                answer["mean"] if q == 0.5 else answer[f"{'lo' if q < 0.5 else 'hi'}-{_level(q)}"]
            )
        out = np.stack([np.asarray(c, dtype=np.float64) for c in columns], axis=1)
        out[:, 1:].sort(axis=1)
    out.setflags(write=False)
    return out


def _forecast(
    name: str, arguments: dict[str, Any], y: Float64, horizon: int, levels: list[float]
) -> Any:
    """Forecast one series; the library has a model of fewer values for those that it calls tiny:
    their average.
    """
    from statsforecast import models as library

    try:
        model = getattr(library, name)(**arguments)
        return model.forecast(y=y.copy(), h=horizon, level=levels or None)
    except NotImplementedError:
        return library.HistoricAverage().forecast(y=y.copy(), h=horizon, level=levels or None)


def _level(quantile: float) -> float:
    """The central interval, in per cent, that has ``quantile`` as one of its ends."""
    return round(abs(2 * quantile - 1) * 100, 8)


class LocalModel(Model):
    """Subclasses name the library's model.

    Nulls before the first value are cut off, others are interpolated linearly in time; a window
    with one value gets that value. The core asks for no window without any; the answer to one is
    the mean of the training rows. A history shorter than two seasons is fitted without a season.
    """

    requirements = ("statsforecast",)
    name: ClassVar[str]
    options_type: ClassVar[type[Options]]
    options: Any

    def context_length(self, schema_hint: int) -> int:
        length: int | None = self.options.context_length
        return length or max(10 * self.options.season_length, 30)

    def least_context(self, schema_hint: int) -> int:
        return 1

    @property
    def supports_quantiles(self) -> bool:
        return True

    @property
    def covariates(self) -> frozenset[Covariates]:
        return frozenset()

    def memory(self, size: FitSize, stride: int | None = None) -> int | None:
        """Count the copy of the targets that :meth:`fit` takes a mean of, and one window's fit."""
        rows = size.windows + size.validation
        return rows * size.targets * _ROW_BYTES + self._window_bytes(size)

    def _window_bytes(self, size: FitSize) -> int:
        """Count what the library takes for one window; windows are fitted one after another."""
        return size.context_length * _STEP_BYTES

    def fit(
        self, train: WindowSet, validation: WindowSet | None, schema: Schema, seed: int
    ) -> None:
        target = train.arrays.target
        known = np.isfinite(target)
        if not known.any():
            raise DataError(
                f"{self.name}: no target has a value in the training rows; check the source."
            )
        self._level = np.where(known, target, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
        self._horizon, self._quantiles = schema.horizon, schema.quantiles

    def predict(self, windows: Windows) -> Float64:
        n, _, targets = windows.target_past.shape
        options = json.dumps(self.options.model_dump(exclude={"context_length"}), sort_keys=True)
        out = np.empty((n, self._horizon, targets, 1 + len(self._quantiles)))
        for i in range(n):
            for t in range(targets):
                history = self._history(windows.target_past[i, :, t], t)
                out[i, :, t] = _answer(
                    self.name, options, history.tobytes(), self._horizon, self._quantiles
                )
            tell(i + 1, n, "series")
        return out

    def _history(self, values: Float64, target: int) -> Float64:
        known = np.flatnonzero(np.isfinite(values))
        if not len(known):
            return self._level[target : target + 1]
        return np.interp(np.arange(known[0], len(values)), known, values[known])

    def save(self, directory: Path) -> None:
        body: dict[str, Any] = {
            "options": self.options.model_dump(mode="json"),
            "level": self._level.tolist(),
        }
        body |= {"horizon": self._horizon, "quantiles": self._quantiles}
        (directory / "model.json").write_text(json.dumps(body, indent=1))

    @classmethod
    def load(cls, directory: Path) -> Self:
        body = json.loads((directory / "model.json").read_text())
        model = cls(cls.options_type.model_validate(body["options"]))
        model._level, model._horizon, model._quantiles = (
            np.array(body["level"]),
            body["horizon"],
            tuple(body["quantiles"]),
        )
        return model


class IntermittentModel(LocalModel):
    """It forecasts the mean demand of every step ahead; it has no season and no quantiles."""

    options_type = IntermittentOptions

    @property
    def supports_quantiles(self) -> bool:
        return False


class CrostonSBA(IntermittentModel):
    name = "CrostonSBA"


class TSB(IntermittentModel):
    name = "TSB"
    options_type = TSBOptions


class ADIDA(IntermittentModel):
    name = "ADIDA"


class IMAPA(IntermittentModel):
    name = "IMAPA"


class AutoARIMA(LocalModel):
    name = "AutoARIMA"
    options_type = AutoARIMAOptions

    def _window_bytes(self, size: FitSize) -> int:
        """Count the largest order that is tried.

        The library begins its Kalman filter as Gardner (1980), algorithm AS 154, does: of ``r``
        states it makes a triangle of ``r (r + 1) / 2`` equations in as many unknowns.
        """
        states = self._states(size.context_length)
        equations = states * (states + 1) // 2
        return equations * (equations - 1) // 2 * 8 + super()._window_bytes(size)

    def _states(self, steps: int) -> int:
        """The states of the largest order: its longest lag, or one more behind the errors."""
        options = self.options
        season = options.season_length if options.seasonal else 1
        if steps < 2 * season + 1:
            season = 1
        lags, errors = (
            min(plain, steps // 3, season - 1) + season * min(seasonal, steps // (3 * season))
            if season > 1
            else min(plain, steps // 3)
            for plain, seasonal in ((options.max_p, options.max_P), (options.max_q, options.max_Q))
        )
        return int(max(lags, errors + 1))


class AutoETS(LocalModel):
    name = "AutoETS"
    options_type = AutoETSOptions


class AutoTheta(LocalModel):
    name = "AutoTheta"
    options_type = AutoThetaOptions
