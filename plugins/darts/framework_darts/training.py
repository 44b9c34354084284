"""Trains a module on windows: shuffled batches, early stopping on the validation windows."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch

from framework.data.windows import WindowSet
from framework.errors import ConfigError, DataError, FrameworkError, one_line
from framework.models.progress import tell
from framework_darts import DartsOptions
from framework_darts.feed import Feed
from framework_darts.modules import Sizes
from framework_darts.scaling import FeatureScaler, TargetScaler

#: Batches of an epoch where the batch size is left to the data, and the bounds of the size.
_STEPS, _LEAST, _MOST = 100, 32, 512
#: What the options call a precision, and the type of the module's arithmetic then.
_PRECISIONS = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}


class Loss:
    """Squared (or absolute) error of the first output plus the pinball losses of the others, over
    the known steps, in scaled units.
    """

    def __init__(self, kind: str, quantiles: tuple[float, ...], device: torch.device) -> None:
        self._kind = kind
        self._levels = torch.tensor(quantiles, dtype=torch.float32, device=device)

    def __call__(
        self, output: torch.Tensor, target: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the loss, and how many steps are known. Nothing waits for the device.

        ``output[n, H, T, 1 + Q]``, ``target[n, H, T]`` with NaN where unknown.
        """
        known = torch.isfinite(target)
        count = known.sum()
        error = torch.where(known[..., None], target[..., None] - output, 0.0)
        first, others = error[..., 0], error[..., 1:]
        total = (first**2 if self._kind == "mse" else first.abs()).sum()
        loss = total / count
        if len(self._levels):
            pinball = torch.maximum(self._levels * others, (self._levels - 1) * others).sum()
            loss = loss + pinball / (count * len(self._levels))
        return loss, count


def device_of(accelerator: str) -> torch.device:
    """Raises :class:`ConfigError` when a GPU is asked for and torch sees none."""
    available = torch.cuda.is_available()
    if accelerator == "gpu" and not available:
        raise ConfigError(
            "model.accelerator: gpu is asked for, torch sees none here; use "
            "model.accelerator=auto or cpu."
        )
    return torch.device("cuda" if available and accelerator != "cpu" else "cpu")


def check_device(options: DartsOptions) -> torch.device:
    """Return the device that trains. Raises :class:`ConfigError` when there is none, or it cannot
    do the arithmetic of ``precision``.
    """
    device, precision = device_of(options.accelerator), options.precision
    if precision == "16-mixed" and device.type == "cpu":
        raise ConfigError(
            "model.precision=16-mixed: it needs a GPU, this fit is on the CPU; use "
            "model.precision=bf16-mixed or 32-true."
        )
    if precision == "bf16-mixed" and device.type == "cuda" and not torch.cuda.is_bf16_supported():
        raise ConfigError(
            "model.precision=bf16-mixed: this GPU has no bfloat16; use model.precision=16-mixed "
            "or 32-true."
        )
    return device


def batch_size_of(options: DartsOptions, windows: int) -> int:
    """Return the windows of a step: those of the options, else the largest power of 2 that leaves
    an epoch 100 steps, from 32 to 512.
    """
    if options.batch_size is not None:
        return options.batch_size
    fitting = 1 << max(windows // _STEPS, 1).bit_length() - 1
    return min(max(fitting, _LEAST), _MOST)


@dataclass(frozen=True, slots=True)
class Training:
    """``epochs`` that were run, with ``batch_size`` windows in a step."""

    epochs: int
    batch_size: int


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
) -> Training:
    """Fit ``module`` in place, on the device of the options; it comes back on the CPU with its best
    weights.

    Raises :class:`DataError` when there is nothing to learn from, :class:`FrameworkError` when the
    GPU's memory is too small.
    """
    device = check_device(options)
    try:
        feed = Feed(train_windows, scaler, features, sizes, device)
        if not len(feed):
            raise DataError("model: no training window has a known target step.")
        later = None
        if validation is not None and options.patience is not None:
            later = Feed(validation, scaler, features, sizes, device)
        return _epochs(module, options, quantiles, feed, later, device, seed)
    except torch.cuda.OutOfMemoryError as error:
        raise FrameworkError(
            f"model: the GPU's memory is too small for this fit ({one_line(error, 200)}); lower "
            "model.batch_size, or use model.accelerator=cpu."
        ) from error


def _epochs(
    module: torch.nn.Module,
    options: DartsOptions,
    quantiles: tuple[float, ...],
    feed: Feed,
    later: Feed | None,
    device: torch.device,
    seed: int,
) -> Training:
    size, loss_of = batch_size_of(options, len(feed)), Loss(options.loss_fn, quantiles, device)
    module.to(device)
    optimizer = torch.optim.Adam(module.parameters(), lr=options.lr)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, options.lr_gamma)
    scale = torch.amp.GradScaler(device.type, enabled=options.precision == "16-mixed")
    order = np.random.default_rng(seed)

    def mixed() -> AbstractContextManager[object]:
        if options.precision == "32-true":
            return nullcontext()
        return torch.autocast(device.type, _PRECISIONS[options.precision])

    def loss_on(part: Feed, index: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        windows, target = part.batch(index)
        with mixed():
            output = module(windows).prediction
        return loss_of(output.float(), target)

    best, best_state, waited, epoch = float("inf"), None, 0, 0
    for epoch in range(1, options.n_epochs + 1):
        module.train()
        for index in torch.from_numpy(order.permutation(len(feed))).to(device).split(size):
            loss, _ = loss_on(feed, index)
            optimizer.zero_grad()
            scale.scale(loss).backward()
            if options.gradient_clip_val is not None:
                scale.unscale_(optimizer)
                torch.nn.utils.clip_grad_norm_(module.parameters(), options.gradient_clip_val)
            scale.step(optimizer)
            scale.update()
        schedule.step()
        tell(epoch, options.n_epochs, "epoch")
        if later is None or not len(later):
            continue
        module.eval()
        with torch.inference_mode():
            every = torch.arange(len(later), device=device).split(8 * size)
            parts = [loss_on(later, index) for index in every]
        score = sum(float(loss) * int(count) for loss, count in parts)
        score /= sum(int(count) for _, count in parts)
        if not np.isfinite(score):
            raise DataError(
                f"model: the validation loss is {score} after epoch {epoch}; lower model.lr "
                "or set model.gradient_clip_val."
            )
        if score < best:
            best, best_state, waited = score, copy.deepcopy(module.state_dict()), 0
            continue
        waited += 1
        if options.patience is not None and waited >= options.patience:
            break
    if best_state is not None:
        module.load_state_dict(best_state)
    module.to("cpu")
    return Training(epoch, size)
