"""The device that a pair forecasts on: the CPU, or a GPU where the model's library can use one."""

from __future__ import annotations

from framework.data.vocabulary import CPU
from framework.errors import ConfigError, FrameworkError, one_line
from framework.interfaces.model import Model
from framework.models.gpus import refuse_beyond


def device_for(model: Model, choice: str, key: str) -> str:
    """Settle where a model forecasts. Nothing is moved.

    Args:
        model: The fitted model.
        choice: A :data:`~framework.data.vocabulary.Device`.
        key: The option that says so, for the message.

    Returns:
        ``cpu`` or ``cuda:N``.

    Raises:
        ConfigError: A GPU is asked for that the model cannot use, or that is not there.
    """
    if choice == CPU:
        return CPU
    gpus, name = model.gpus(), type(model).__name__
    if choice == "auto":
        return "cuda:0" if gpus else CPU
    if gpus is None:
        raise ConfigError(f"{key}={choice}: {name} forecasts on the CPU only; use {key}=cpu.")
    refuse_beyond(gpus, choice, key)
    return f"cuda:{int(choice.partition(':')[2] or 0)}"


def place(model: Model, choice: str, key: str) -> str:
    """Move a model to where it forecasts from now on.

    Args:
        model: The fitted model.
        choice: A :data:`~framework.data.vocabulary.Device`.
        key: The option that says so, for the message.

    Returns:
        ``cpu`` or ``cuda:N``.

    Raises:
        ConfigError: As :func:`device_for`.
        FrameworkError: The GPU does not take it: its memory is full, or another process has it for
            itself.
    """
    device = device_for(model, choice, key)
    if device != CPU:
        try:
            model.move(device)
        except RuntimeError as error:  # what torch raises for all that CUDA reports
            raise FrameworkError(
                f"{key}={choice}: {type(model).__name__} cannot be moved to {device} "
                f"({one_line(error, 200)}); free it, or use {key}=cpu."
            ) from error
        model.placed_on = device
    return device
