"""The messages of the stages to each other."""

from __future__ import annotations

from dataclasses import dataclass, field

from framework.data.arrays import Float64
from framework.data.schema import Schema
from framework.data.windows import Windows
from framework.pairs.golden import Golden
from framework.pairs.intervals import Calibration


@dataclass(frozen=True, slots=True)
class Facts:
    """The parts of a pair that ForecastAPI holds. ``device``: where a replica that was asked
    forecasts.
    """

    schema: Schema
    calibration: Calibration | None
    trained: frozenset[tuple[str, ...]] | None
    golden: Golden
    device: str


@dataclass(frozen=True, slots=True)
class Preprocessed:
    """``windows``: None when some of them cannot be transformed. ``seconds``: by stage."""

    windows: Windows | None
    seconds: dict[str, float]


@dataclass(frozen=True, slots=True)
class Predicted:
    """``values``: ``[n, H, T, 1 + Q]``, None when some windows cannot be done. ``failed``: why, by
    window. ``seconds``: by stage.
    """

    values: Float64 | None
    seconds: dict[str, float]
    failed: dict[int, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return 0 if self.values is None else len(self.values)
