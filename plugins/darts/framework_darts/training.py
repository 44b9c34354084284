"""Trains a module on windows: shuffled batches gathered from the panel's arrays, early stopping on
the validation windows.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from framework.data.arrays import Rows
from framework.data.windows import WindowSet
from framework.errors import ConfigError, DataError
from framework.models.progress import tell
from framework_darts import DartsOptions
from framework_darts.modules import Sizes, inputs
from framework_darts.scaling import FeatureScaler, TargetScaler


@dataclass(frozen=True, slots=True)
class Loss:
    """Squared (or absolute) error of the first output plus the pinball losses of the others, over
    the known steps, in scaled units.
    """

    kind: str
    quantiles: tuple[float, ...]

    def __call__(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """``output[n, H, T, 1 + Q]``, ``target[n, H, T]`` with NaN where unknown."""
        known = torch.isfinite(target)
        error = target[known].unsqueeze(-1) - output[known]
        first = error[..., 0]
        loss = (first**2 if self.kind == "mse" else first.abs()).mean()
        if self.quantiles:
            levels = torch.tensor(self.quantiles, dtype=error.dtype, device=error.device)
            others = error[..., 1:]
            loss = loss + torch.maximum(levels * others, (levels - 1) * others).mean()
        return loss


def device_of(accelerator: str) -> torch.device:
    """Raises :class:`ConfigError` when a GPU is asked for and torch sees none."""
    available = torch.cuda.is_available()
    if accelerator == "gpu" and not available:
        raise ConfigError(
            "model.accelerator: gpu is asked for, torch sees none here; use "
            "model.accelerator=auto or cpu."
        )
    return torch.device("cuda" if available and accelerator != "cpu" else "cpu")


def usable(windows: WindowSet) -> WindowSet:
    """The windows that know at least one target step."""
    known = np.isfinite(windows.arrays.target).any(axis=1)
    ends = np.minimum(
        windows.origins + 1 + windows.horizon, windows.arrays.series_ends()[windows.origins]
    )
    before = np.concatenate([[0], np.cumsum(known)])
    return _take(
        windows, np.flatnonzero(before[ends] > before[windows.origins + 1]).astype(np.int64)
    )


def _take(windows: WindowSet, index: Rows) -> WindowSet:
    return WindowSet(
        windows.arrays, windows.origins[index], windows.context_length, windows.horizon
    )


def train(
    module: torch.nn.Module,
    sizes: Sizes,
    scaler: TargetScaler,
    features: Mapping[str, FeatureScaler],
    options: DartsOptions,
    quantiles: tuple[float, ...],
    train_windows: WindowSet,
    validation: WindowSet | None,
    seed: int,
) -> int:
    """Fit ``module`` in place, on the device of the options; it comes back on the CPU with its best
    weights. Returns the epochs run.
    """
    windows = usable(train_windows)
    if not len(windows):
        raise DataError("model: no training window has a known target step.")
    validation_set = usable(validation) if validation is not None else None
    device, loss_of = device_of(options.accelerator), Loss(options.loss_fn, quantiles)
    module.to(device)
    optimizer = torch.optim.Adam(module.parameters(), lr=options.lr)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, options.lr_gamma)
    order = np.random.default_rng(seed)

    def loss_on(part: WindowSet) -> tuple[torch.Tensor, int]:
        batch = part.gather()
        scaled, centre, size = scaler.apply(batch.target_past)
        assert batch.target is not None
        target = torch.as_tensor((batch.target - centre) / size, dtype=torch.float32, device=device)
        output = module(inputs(batch, scaled, features, sizes, device, torch.float32)).prediction
        return loss_of(output, target), int(torch.isfinite(target).sum())

    best, best_state, waited, epoch = float("inf"), None, 0, 0
    for epoch in range(1, options.n_epochs + 1):
        module.train()
        shuffled = order.permutation(len(windows))
        for start in range(0, len(windows), options.batch_size):
            loss, _ = loss_on(_take(windows, shuffled[start : start + options.batch_size]))
            optimizer.zero_grad()
            loss.backward()
            if options.gradient_clip_val is not None:
                torch.nn.utils.clip_grad_norm_(module.parameters(), options.gradient_clip_val)
            optimizer.step()
        schedule.step()
        tell(epoch, options.n_epochs, "epoch")
        if validation_set is None or not len(validation_set) or options.patience is None:
            continue
        module.eval()
        with torch.inference_mode():
            parts = [
                loss_on(_take(validation_set, chunk))
                for chunk in _chunks(len(validation_set), 8 * options.batch_size)
            ]
        score = sum(float(loss) * known for loss, known in parts) / sum(known for _, known in parts)
        if not np.isfinite(score):
            raise DataError(
                f"model: the validation loss is {score} after epoch {epoch}; lower model.lr "
                "or set model.gradient_clip_val."
            )
        if score < best:
            best, best_state, waited = score, copy.deepcopy(module.state_dict()), 0
            continue
        waited += 1
        if waited >= options.patience:
            break
    if best_state is not None:
        module.load_state_dict(best_state)
    module.to("cpu")
    return epoch


def _chunks(count: int, size: int) -> list[Rows]:
    return [
        np.arange(start, min(start + size, count), dtype=np.int64)
        for start in range(0, count, size)
    ]
