"""The batches that a module is trained on: gathered by index from the panel's rows, on the device
that trains.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from darts.utils.data.torch_datasets.utils import PLModuleInput

from framework.data.arrays import Float32, Float64, Rows
from framework.data.windows import WindowSet
from framework_darts.modules import Sizes
from framework_darts.scaling import FeatureScaler, TargetScaler, scale_features

#: Windows whose centre and size are worked out at once.
_PIECE = 4096


class Feed:
    """Gives batches of the windows that know at least one target step.

    The rows go to the device once; on the CPU they are those of the panel, not copies. A batch is
    gathered and scaled there, by the arithmetic of :mod:`.scaling`, so it has the numbers that a
    server would see.
    """

    def __init__(
        self,
        windows: WindowSet,
        scaler: TargetScaler,
        features: Mapping[str, FeatureScaler],
        sizes: Sizes,
        device: torch.device,
    ) -> None:
        """Put the rows on the device.

        Args:
            windows: Windows of a panel.
            scaler: Of the target.
            features: Scalers by ``past``, ``future`` and ``static``; a part without one is taken
                as it is.
            sizes: Of the module.
            device: The device that trains.
        """
        windows = _usable(windows)
        arrays, self._sizes, self._device = windows.arrays, sizes, device
        self._count = len(windows)
        self._origins = torch.from_numpy(windows.origins).to(device)
        self._ends = torch.from_numpy(windows.ends(windows.origins)).to(device)
        self._target = self._rows(arrays.target)
        self._newest: torch.Tensor | None = None
        known = np.isfinite(arrays.target)
        if not known.all():
            newest = np.where(known, np.arange(len(known))[:, None], -1)
            self._newest = torch.from_numpy(np.maximum.accumulate(newest, axis=0)).to(device)
        self._parts = {
            part: self._rows(getattr(arrays, part))
            for part in ("past", "future", "static")
            if getattr(sizes, part)
        }
        self._scales = {part: features[part].on(device) for part in self._parts if part in features}
        centre, size = _centres(windows, scaler)
        self._centre = self._empty = torch.from_numpy(centre).to(device)
        self._size = torch.from_numpy(size).to(device)
        if self._newest is not None and scaler.last:
            centre, _ = _centres(windows, replace(scaler, last=False))
            self._empty = torch.from_numpy(centre).to(device)
        self._back = torch.arange(1 - sizes.length, 1, device=device)
        self._ahead = torch.arange(1, sizes.horizon + 1, device=device)

    def __len__(self) -> int:
        return self._count

    def _rows(self, values: Float64 | Float32) -> torch.Tensor:
        with warnings.catch_warnings():  # rows that may not be written are not written
            warnings.filterwarnings("ignore", "The given NumPy array is not writable")
            return torch.from_numpy(np.ascontiguousarray(values)).to(self._device)

    def batch(self, index: torch.Tensor) -> tuple[PLModuleInput, torch.Tensor]:
        """Gather windows.

        Args:
            index: Their places, ``[n]``, on the device.

        Returns:
            The module's input, and the target ``[n, H, T]`` in scaled units, NaN where it is
            unknown.
        """
        sizes, origins = self._sizes, self._origins[index]
        back, ahead = origins[:, None] + self._back, origins[:, None] + self._ahead
        beyond = (ahead >= self._ends[index][:, None])[..., None]
        ahead = ahead.clamp_(max=len(self._target) - 1)
        centre, size = self._centre[index], self._size[index]
        target = torch.where(beyond, torch.nan, (_take(self._target, ahead) - centre) / size)
        future = self._part("future", ahead)
        if future is not None:
            future = torch.where(beyond, 0.0, future)
        nothing = torch.zeros(1, 1, 1, device=self._device)
        return PLModuleInput(
            past_target=((self._filled(back, index) - centre) / size).float(),
            past_covariates=self._part("past", back),
            historic_future_covariates=nothing.expand(len(index), sizes.length, sizes.future)
            if sizes.future
            else None,
            future_covariates=future,
            static_covariates=self._part("static", origins[:, None]),
        ), target.float()

    def _filled(self, back: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        """The past of the target; an unknown step takes the one before it, or the window's centre
        when there is none.
        """
        if self._newest is None:
            return _take(self._target, back)
        newest = _take(self._newest, back)
        before = torch.gather(self._target, 0, newest.clamp(min=0).flatten(0, 1))
        return torch.where(newest >= back[:, :1, None], before.view_as(newest), self._empty[index])

    def _part(self, part: str, rows: torch.Tensor) -> torch.Tensor | None:
        if part not in self._parts:
            return None
        return scale_features(_take(self._parts[part], rows), self._scales.get(part), torch.float32)


def _take(values: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """``values[rows, width]`` at ``rows[n, steps]``."""
    return values.index_select(0, rows.flatten()).view(*rows.shape, values.shape[1])


def _usable(windows: WindowSet) -> WindowSet:
    """The windows that know at least one target step."""
    known = np.isfinite(windows.arrays.target).any(axis=1)
    ends = np.minimum(windows.origins + 1 + windows.horizon, windows.ends(windows.origins))
    before = np.concatenate([[0], np.cumsum(known)])
    return _chosen(windows, np.flatnonzero(before[ends] > before[windows.origins + 1]))


def _chosen(windows: WindowSet, index: Rows) -> WindowSet:
    return WindowSet(
        windows.arrays, windows.origins[index], windows.context_length, windows.horizon
    )


def _centres(windows: WindowSet, scaler: TargetScaler) -> tuple[Float64, Float64]:
    """``[n, 1, T]`` each: what brings a window's answer back to natural units."""
    shape = (len(windows), 1, windows.arrays.target.shape[1])
    centre, size = np.empty(shape), np.empty(shape)
    steps = np.arange(1 - windows.context_length, 1)
    for start in range(0, len(windows), _PIECE):
        rows = windows.origins[start : start + _PIECE, None] + steps
        past = windows.arrays.target.take(rows, axis=0)
        _, centre[start : start + _PIECE], size[start : start + _PIECE] = scaler.apply(past)
    return centre, size
