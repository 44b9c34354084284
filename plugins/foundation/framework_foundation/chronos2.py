"""Chronos-2 as a model: zero-shot, one window after the other. Torch and Darts are imported by what
fits, loads or asks the network, so that a wrong option or column is refused at once.
"""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from framework.data.arrays import Float32, Float64
from framework.data.schema import Schema
from framework.data.windows import PanelArrays, Windows, WindowSet
from framework.errors import ConfigError
from framework.interfaces.model import Covariates, FitSize, Model
from framework_foundation import Chronos2Options
from framework_foundation.covariates import KnownColumns
from framework_foundation.weights import (
    CARD,
    CONFIG,
    WEIGHTS,
    is_free,
    read_config,
    read_license,
    sha256_of,
)

if TYPE_CHECKING:
    from framework_foundation.module import Module

#: The fewest past steps of a window, unless the options say otherwise.
SHORTEST = 64

log = logging.getLogger(__name__)


class Chronos2(Model):
    """The forecast of the mean is the median, as Chronos-2 has no mean; quantiles between those of
    the model are interpolated.

    A window is forecast by itself: Chronos-2 attends over the whole batch, and the sums of an
    attention over more rows would move a window's last bits.
    """

    requirements = (
        *("darts", "huggingface_hub", "pytorch-lightning", "pyyaml"),
        *("safetensors", "torch"),
    )
    options: Chronos2Options
    _doubts: tuple[str, ...] = ()
    _module: Module

    def context_length(self, schema_hint: int) -> int:
        return self.options.input_chunk_length or max(4 * schema_hint, SHORTEST)

    @property
    def supports_quantiles(self) -> bool:
        return True

    @property
    def covariates(self) -> frozenset[Covariates]:
        kinds: list[Covariates] = ["past"] if self.options.use_past_covariates else []
        return frozenset([*kinds, "future"] if self.options.history else kinds)

    @property
    def notes(self) -> tuple[str, ...]:
        return self._doubts

    @property
    def _folder(self) -> Path:
        return Path(self.options.weights).expanduser()

    def check(self, schema: Schema, past_names: tuple[str, ...]) -> None:
        self._check_license()
        chronos = read_config(self._folder)["chronos_config"]
        longest = chronos["output_patch_size"] * chronos.get("max_output_patches", 1)
        levels = chronos["quantiles"]
        if schema.horizon > longest:
            raise ConfigError(
                f"panel.horizon: {schema.horizon} steps; the model of {self._folder} forecasts at "
                f"most {longest}."
            )
        if schema.context_length > chronos["context_length"]:
            raise ConfigError(
                f"model.input_chunk_length: {schema.context_length} steps; the model of "
                f"{self._folder} takes at most {chronos['context_length']}."
            )
        beyond = [q for q in schema.quantiles if not min(levels) <= q <= max(levels)]
        if beyond:
            raise ConfigError(
                f"quantiles: {beyond[0]:g} is beyond those of the model of {self._folder}, "
                f"{min(levels):g} to {max(levels):g}."
            )
        KnownColumns.check(self.options.history, schema.known, past_names)
        if self.options.weights_sha256 is not None:
            sha256_of(self._folder / WEIGHTS, self.options.weights_sha256)

    def _check_license(self) -> str | None:
        terms = read_license(self._folder) if (self._folder / CONFIG).is_file() else None
        if terms is not None and not is_free(terms) and not self.options.accept_license:
            raise ConfigError(
                f"model.accept_license: the weights of {self._folder} are under the licence "
                f"'{terms}', which may forbid your use; read it, and set "
                "model.accept_license=true if you may use them."
            )
        return terms

    def memory(self, size: FitSize, stride: int | None = None) -> int | None:
        try:
            return 2 * (self._folder / WEIGHTS).stat().st_size
        except OSError:
            return None

    def fit(
        self, train: WindowSet, validation: WindowSet | None, schema: Schema, seed: int
    ) -> None:
        """Nothing is learned but the levels that stand in where a window knows nothing."""
        terms = self._check_license()
        digest = sha256_of(self._folder / WEIGHTS, self.options.weights_sha256)
        log.info("%s: SHA-256 %s, licence %s", self._folder / WEIGHTS, digest, terms)
        arrays = _learned_rows(train)
        known = KnownColumns.fit(self.options.history, arrays, schema.known)
        self._use(
            {
                "sha256": digest,
                "license": terms,
                "targets": len(schema.targets),
                "horizon": schema.horizon,
                "quantiles": list(schema.quantiles),
                "level": _means(arrays.target),
                "known": known.to_json(),
            }
        )
        self._doubts = (*self._license_notes(terms), *self._unused_notes(schema.known))

    def _unused_notes(self, known: tuple[str, ...]) -> tuple[str, ...]:
        unused = [column for column in known if column not in self.options.history]
        if not unused or not self.options.history:
            return ()  # without any history the run names the whole kind as left out
        return (
            f"model.history names no past feature for {', '.join(unused)}: chronos2 leaves out "
            "what is known of them in advance.",
        )

    def _license_notes(self, terms: str | None) -> tuple[str, ...]:
        if terms is None:
            return (
                f"model.weights: {self._folder} states no licence, neither in {CARD} nor in "
                f"{CONFIG}; find it out before you use the forecasts.",
            )
        if not is_free(terms):
            return (
                f"model.weights: the weights are under the licence '{terms}', accepted by "
                "model.accept_license; the pair carries them.",
            )
        return ()

    def _use(self, body: dict[str, Any]) -> None:
        import torch

        from framework_foundation.module import Module

        if self.options.threads is not None:
            torch.set_num_threads(self.options.threads)
        self._body = body
        self._known = KnownColumns.from_json(body["known"])
        self._level = np.array(body["level"])
        self._module = Module.read(self._folder, body["horizon"])
        levels, quantiles = self._module.levels, np.array([0.5, *body["quantiles"]])
        self._below = np.clip(np.searchsorted(levels, quantiles, "right") - 1, 0, len(levels) - 2)
        self._share = (quantiles - levels[self._below]) / (
            levels[self._below + 1] - levels[self._below]
        )

    def gpus(self) -> int | None:
        import torch

        return torch.cuda.device_count()

    def move(self, device: str) -> None:
        self._module.move(device)

    def predict(self, windows: Windows) -> Float64:
        horizon, targets = self._body["horizon"], self._body["targets"]
        out = np.empty((len(windows), horizon, targets, len(self._share)))
        centre, size = _own_scale(windows.target_past, self._level)
        scaled = (windows.target_past - centre) / size
        for i in range(len(windows)):
            past, future = self._variates(scaled[i], windows, i)
            answer = self._module(past, future)[:targets].astype(np.float64)  # [T, H, levels]
            answer.sort(axis=-1)  # the model's quantiles may cross
            low, high = answer[..., self._below], answer[..., self._below + 1]
            out[i] = (low + self._share * (high - low)).swapaxes(0, 1)
        return out * size[..., None] + centre[..., None]

    def _variates(self, target: Float64, windows: Windows, i: int) -> tuple[Float32, Float32]:
        """The rows of one window, ``[variates, L]`` and ``[variates, H]``: targets, past features,
        known columns. NaN is unknown.
        """
        past = [target]
        if self.options.use_past_covariates:
            past.append(windows.past[i].astype(np.float64))
        history, plan = self._known.apply(windows.past[i], windows.future[i])
        rows = np.concatenate([*past, history], axis=1).T.astype(np.float32)
        future = np.full((len(rows), self._body["horizon"]), np.nan, dtype=np.float32)
        if plan.shape[1]:
            future[-plan.shape[1] :] = plan.T
        return rows, future

    def save(self, directory: Path) -> None:
        """The weights go into the pair: a server answers from those that were judged, and the
        manifest has their SHA-256.
        """
        for name in (CONFIG, WEIGHTS):
            shutil.copyfile(self._folder / name, directory / name)
        sha256_of(directory / WEIGHTS, self._body["sha256"])
        options = self.options.model_dump(mode="json") | {"weights": ""}
        body = {"options": options, **self._body}
        (directory / "model.json").write_text(json.dumps(body))

    @classmethod
    def load(cls, directory: Path) -> Self:
        body = json.loads((directory / "model.json").read_text())
        options = body.pop("options") | {"weights": str(directory)}
        model = cls(Chronos2Options(**options))
        model._use(body)
        return model


def _learned_rows(train: WindowSet) -> PanelArrays:
    """The rows up to the last training origin, of all series."""
    return train.arrays.until(train.arrays.times[train.origins].max())


def _means(values: Float64) -> list[float]:
    """The mean of each column's known values, 0 without any."""
    known = np.isfinite(values)
    total = np.where(known, values, 0.0).sum(axis=0)
    mean: list[float] = (total / np.maximum(known.sum(axis=0), 1)).tolist()
    return mean


def _own_scale(past: Float64, level: Float64) -> tuple[Float64, Float64]:
    """``centre[n, 1, T]`` and ``size[n, 1, T]`` of each window's known values.

    The module computes in float32: what is far from 0 would lose its digits there. Sums run along
    time in a fixed order, so that a window's bits do not depend on its neighbours.
    """
    known = np.isfinite(past)
    count = known.sum(axis=1, keepdims=True)
    some = np.maximum(count, 1)
    mean = np.cumsum(np.where(known, past, 0.0), axis=1)[:, -1:] / some
    centre = np.where(count > 0, mean, level)
    variance = np.cumsum(np.where(known, (past - centre) ** 2, 0.0), axis=1)[:, -1:] / some
    size = np.sqrt(variance)
    constant = size <= 1e-12 * np.abs(centre)
    return centre, np.where(constant, 1.0, size)
