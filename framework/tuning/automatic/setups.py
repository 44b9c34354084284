"""The set-ups that ``model=auto`` tries, over several families of models; with their means at
most twelve.

What is tried follows from the facts of the data and from what is installed; what it costs is
reckoned, never timed, so that a rerun tries the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import gcd
from typing import Any

from framework.tuning.automatic.facts import Facts

#: Two means of the best are judged beside them.
MOST = 10
#: Rows that a booster learns from at most, by leaving out origins.
_ROWS = 400_000
#: Seconds: a booster for each row, column and tree; a local fit for each step of its history.
_BOOSTED, _LOCAL = 4e-9, {"auto_ets": 1.5e-3, "auto_theta": 1.0e-3}
_TREES = 200


@dataclass(frozen=True, slots=True)
class Setup:
    """One candidate. ``model``: the component; ``options``: those that are not its defaults;
    ``seconds``: what judging it is reckoned to cost.
    """

    name: str
    model: str
    why: str
    options: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Frame:
    """What is fixed while set-ups are compared. ``lags``: those that the view has columns for;
    ``columns``: past and known columns; ``scales``: by target the columns that it may be divided
    by, the best first; ``limit``: the longest history that retrieval gives, None for any.
    """

    facts: Facts
    horizon: int
    origins: int
    lags: tuple[int, ...]
    columns: int
    scales: dict[str, tuple[str, ...]]
    limit: int | None


def candidates(frame: Frame, installed: Iterable[str], seconds: float) -> list[Setup]:
    """List the set-ups that fit into a budget of ``seconds``, the naive ones first.

    A set-up that does not fit is left out; what follows it may fit. The naive ones cost nothing
    and stay.
    """
    names = set(installed)
    chosen: list[Setup] = []
    left = seconds
    for setup in _all(frame, names):
        if len(chosen) == MOST:
            break
        if setup.seconds <= left:
            chosen.append(setup)
            left -= setup.seconds
    return chosen


def _all(frame: Frame, installed: set[str]) -> list[Setup]:
    setups = _naive(frame) if "seasonal_naive" in installed else []
    booster = next((name for name in ("lightgbm", "xgboost") if name in installed), None)
    boosted = _boosted(frame, booster) if booster else []
    local = _local(frame, installed)
    return [*setups, *boosted[:3], *local, *boosted[3:]]


def _naive(frame: Frame) -> list[Setup]:
    lengths = sorted({1, *frame.facts.targets[next(iter(frame.facts.targets))].naive})
    usable = [n for n in lengths if frame.limit is None or n <= frame.limit]
    return [
        Setup(
            f"seasonal_naive_{n}" if n > 1 else "last_value",
            "seasonal_naive",
            f"the value {n} steps ago" if n > 1 else "the last value",
            {"season_length": n},
        )
        for n in usable
        if n <= frame.facts.shortest
    ]


def _boosted(frame: Frame, booster: str) -> list[Setup]:
    facts = frame.facts
    season = facts.season
    others = [n for n in frame.lags if n != season]
    seasonal = [season, *others]
    last = [1, *[n for n in frame.lags if n != 1]]
    names = list(facts.targets)
    positive = [n for n in names if not facts.targets[n].signed]
    scale = {n: frame.scales[n][0] for n in names if frame.scales.get(n)}
    stride = _stride(frame)
    common: dict[str, Any] = {
        "n_estimators": _TREES,
        "learning_rate": 0.05,
        "early_stopping_rounds": None,
        "colsample_bytree": 0.7,
        "origin_stride": stride,
    }
    rows = min(facts.rows, facts.rows // stride + 1) * frame.horizon
    cost = rows * (frame.columns + 4) * _TREES * _BOOSTED * len(names)

    def setup(name: str, why: str, loss: str, lags: Sequence[int], **more: Any) -> Setup:
        options = {**common, "seasonal_lags": list(lags), "objective": _LOSSES[booster][loss]}
        return Setup(f"{booster}_{name}", booster, why, {**options, **more}, cost)

    scaled = {"scale": scale} if scale else {}
    setups = [
        setup(
            "seasonal_difference",
            f"the change since {season} steps before, absolute error, own scale",
            "absolute",
            seasonal,
            difference=names,
            **scaled,
        ),
        setup("level", "the level, absolute error, own scale", "absolute", seasonal, **scaled),
        setup(
            "last_difference",
            "the change since the last value, absolute error, own scale",
            "absolute",
            last,
            difference=names,
            **scaled,
        ),
        setup(
            "seasonal_difference_squared",
            f"the change since {season} steps before, squared error, own scale",
            "squared",
            seasonal,
            difference=names,
            **scaled,
        ),
        setup("squared", "the level, squared error, own scale", "squared", seasonal, **scaled),
    ]
    if len(positive) == len(names):
        setups.append(
            setup(
                "log", "the logarithm of the level, squared error", "squared", seasonal, log=names
            )
        )
        if any(facts.targets[n].zeros > 0.1 for n in names):
            setups.append(
                setup(
                    "tweedie", "the level, Tweedie loss, own scale", "tweedie", seasonal, **scaled
                )
            )
    return setups


_LOSSES = {
    "lightgbm": {
        "absolute": "regression_l1",
        "squared": "regression",
        "tweedie": "tweedie",
    },
    "xgboost": {
        "absolute": "reg:absoluteerror",
        "squared": "reg:squarederror",
        "tweedie": "reg:tweedie",
    },
}


def _stride(frame: Frame) -> int:
    """Leave out origins until few enough rows are left, by a stride that shares no factor with any
    season.
    """
    stride = max(1, -(-frame.facts.rows * frame.horizon // _ROWS))
    seasons = [n for n in frame.lags if n > 1]
    while any(gcd(stride, n) > 1 for n in seasons):
        stride += 1
    return stride


def _local(frame: Frame, installed: set[str]) -> list[Setup]:
    """Models of one series, which are fitted whenever they are asked."""
    facts = frame.facts
    season = facts.season if facts.season <= 24 else 1
    length = min(max(10 * season, 30), facts.shortest - frame.horizon * frame.origins - 1)
    if length < max(2 * season + 1, 8) or (frame.limit is not None and length > frame.limit):
        return []
    fits = facts.series * frame.origins * len(facts.targets)
    return [
        Setup(
            name,
            name,
            f"{why}, season {season}",
            {"season_length": season, "context_length": length},
            fits * length * _LOCAL[name] * (1 if season == 1 else 3),
        )
        for name, why in (("auto_ets", "exponential smoothing"), ("auto_theta", "Theta"))
        if name in installed
    ]
