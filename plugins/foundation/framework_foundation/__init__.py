"""``model=chronos2``: a foundation model from a local folder, by Darts."""

from __future__ import annotations

from pydantic import Field, PositiveInt

from framework.interfaces.plugin import Component, hookimpl
from framework.options import Options


class Chronos2Options(Options):
    """Chronos-2 forecasts without training: its weights are those of a folder.

    ``weights``: the folder, with ``config.json`` and ``model.safetensors``, as ``amazon/chronos-2``
    is published. ``weights_sha256``: the SHA-256 that ``model.safetensors`` must have, null for
    any. ``accept_license``: needed where the folder's model card states a licence that is not
    free, such as a non-commercial one. ``input_chunk_length``: past steps of a window, null for
    four seasons and at least 64. ``use_past_covariates``: let it see the past features too.
    ``history``: by column known in advance, the past feature that holds the column's own values:
    Chronos-2 reads from them how the target answered to it. A column that is not named is left out.
    ``threads``: torch's threads in this process, null for torch's own choice.
    """

    weights: str
    weights_sha256: str | None = Field(default=None, pattern="^[0-9a-f]{64}$")
    accept_license: bool = False
    input_chunk_length: PositiveInt | None = None
    use_past_covariates: bool = False
    history: dict[str, str] = Field(default_factory=dict)
    threads: PositiveInt | None = 1


@hookimpl
def components() -> list[Component]:
    return [
        Component(
            "model",
            "chronos2",
            "framework_foundation.chronos2:Chronos2",
            Chronos2Options,
            "Chronos-2 from a local folder, zero-shot",
        )
    ]
