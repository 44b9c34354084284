"""The set-ups that ``model=auto`` tries, over several families of models; with their means at
most twelve.

What is tried follows from the facts of the data and from what is installed; what it costs is
reckoned, never timed, so that a rerun tries the same.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil, gcd
from typing import Any

from framework.config.automatic import FEW, MANY
from framework.interfaces.plugin import Automatic
from framework.tuning.automatic.facts import Facts

#: Three means of the best are judged beside them, and an ensemble that weighs by series.
MOST = 8
#: Naive forecasts that stay on the leaderboard.
NAIVE = 2
#: Rows that a booster learns from at most, by leaving out origins.
_ROWS = 400_000
#: The part of the time that one set-up of a booster may take; origins are left out for it too, but
#: not below so many.
_SHARE, _LEAST = 1 / 6, 500
#: Trees and learning rate; half as many, of twice the rate, where they take more than that part.
_TREES, _RATE = 200, 0.05
#: A tree costs so many rows more than it reads: the histograms of its leaves.
_TREE_ROWS = 8_000
#: Trees and learning rate of a cautious set-up: it goes 70 % of the way that its trees point.
_FEW, _SLOW = 30, 0.04
#: Steps that a naive forecast of whole seasons looks at, at least.
_LEVEL = 30
#: Seasons that a seasonal mean is taken of, and their steps at most: each answer reads them all.
_SEASONS, _READ = (2, 4), 700
#: The longest season that a local model is given: it is fitted for each answer.
_LONG = 24


@dataclass(frozen=True, slots=True)
class Setup:
    """One candidate. ``model``: the component; ``options``: those that are not its defaults;
    ``seconds``: what judging it is reckoned to cost. ``naive``: whether it learns nothing.
    """

    name: str
    model: str
    why: str
    options: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    naive: bool = False


@dataclass(frozen=True, slots=True)
class Frame:
    """The fixed parts of a comparison of set-ups. ``lags``: those that the view has columns for;
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


def candidates(frame: Frame, models: Mapping[str, Automatic], seconds: float) -> list[Setup]:
    """List the set-ups that fit into a budget of ``seconds``, the naive ones first.

    A set-up that does not fit is left out; what follows it may fit. The naive ones cost nothing
    and stay; the strongest :data:`NAIVE` of them are kept when they are judged. ``models``: those
    that offer themselves, by name.
    """
    setups: list[Setup] = []
    budget = seconds
    for setup in _all(frame, models, seconds * _SHARE):
        learners = sum(not each.naive for each in setups)
        if learners + min(NAIVE, len(setups) - learners) == MOST and not setup.naive:
            break
        if setup.seconds <= budget:
            setups.append(setup)
            budget -= setup.seconds
    return setups


def _all(frame: Frame, models: Mapping[str, Automatic], share: float) -> list[Setup]:
    by_cost = sorted(models, key=lambda name: (models[name].seconds, name))
    family: dict[str, list[str]] = defaultdict(list)
    for name in by_cost:
        family[models[name].family].append(name)
    naive = [setup for name in family["naive"][:1] for setup in _naive(frame, name)]
    naive += [setup for name in family["seasonal"] for setup in _seasonal(frame, name)]
    naive += [setup for name in family["level"] for setup in _level(frame, name)]
    boosted = [
        s for name in family["boosted"][:1] for s in _boosted(frame, name, models[name], share)
    ]
    local = [s for name in family["local"] for s in _local(frame, name, models[name])]
    demand = frame.facts.targets[next(iter(frame.facts.targets))].demand
    sparse = [s for name in family[demand] for s in _sparse(frame, name, models[name])]
    return [*naive, *sparse, *boosted[:3], *local, *boosted[3:]]


def _naive(frame: Frame, name: str) -> list[Setup]:
    lengths = sorted({1, *frame.facts.targets[next(iter(frame.facts.targets))].naive})
    return [
        Setup(
            f"{name}_{n}" if n > 1 else "last_value",
            name,
            f"the value {n} steps ago" if n > 1 else "the last value",
            {"season_length": n},
            naive=True,
        )
        for n in lengths
        if frame.limit is None or n <= frame.limit
    ]


def _seasonal(frame: Frame, name: str) -> list[Setup]:
    """A naive forecast of the mean of some seasons, where the shortest series has them."""
    lengths = sorted(n for n in frame.facts.targets[next(iter(frame.facts.targets))].naive if n > 1)
    return [
        Setup(
            f"{name}_{n}_x{count}",
            name,
            f"the mean of the values {n} to {count * n} steps ago",
            {"season_length": n, "context_length": count * n},
            naive=True,
        )
        for n in lengths
        for count in _SEASONS
        if count * n <= min(_READ, _room(frame))
    ]


def _room(frame: Frame) -> int:
    """The longest history that every series has at every origin, and the store gives."""
    room = frame.facts.shortest - frame.horizon * frame.origins
    return room if frame.limit is None else min(room, frame.limit)


def _level(frame: Frame, name: str) -> list[Setup]:
    """A naive forecast of whole seasons, as long as the shortest series allows."""
    season, room = frame.facts.season, _room(frame)
    seasons = min(max(2, -(-_LEVEL // season)), (room - 1) // season)
    if seasons < 1:
        return []
    options = {"season_length": season, "context_length": seasons * season + 1}
    return [Setup(name, name, f"{name} of {seasons * season} steps", options, naive=True)]


def _boosted(frame: Frame, booster: str, offer: Automatic, share: float) -> list[Setup]:
    facts = frame.facts
    season = facts.season
    all_lags = [season, *(n for n in frame.lags if n != season)]
    # many seasons say the level of a place in them; a change is learned better from few
    further = {season * count for count in range(FEW + 1, MANY + 1)} if season > 1 else set()
    few_lags = [n for n in all_lags if n not in further]
    last = [1, *(n for n in few_lags if n != 1)]
    names, losses = list(facts.targets), dict(offer.losses)
    positive = [n for n in names if not facts.targets[n].signed]
    scale = {n: frame.scales[n][0] for n in names if frame.scales.get(n)}
    row_seconds = (frame.columns + 4) * offer.seconds * len(names)  # of one tree
    stride = _stride(frame, share / (row_seconds * _TREES) if row_seconds else _ROWS)
    rows = min(facts.rows, facts.rows // stride + 1) * frame.horizon + _TREE_ROWS
    hurry = 2 if rows * row_seconds * _TREES > share else 1
    common: dict[str, Any] = {
        "n_estimators": _TREES // hurry,
        "learning_rate": _RATE * hurry,
        "early_stopping_rounds": None,
        "colsample_bytree": 0.7,
        "origin_stride": stride,
    }

    def setup(name: str, why: str, loss: str, lags: Sequence[int], **more: Any) -> Setup:
        options = {**common, "seasonal_lags": list(lags), "objective": losses[loss], **more}
        seconds = rows * row_seconds * options["n_estimators"]
        return Setup(f"{booster}_{name}", booster, why, options, seconds)

    scaled = {"scale": scale} if scale else {}
    few: dict[str, Any] = {"n_estimators": _FEW, "learning_rate": _SLOW, **dict(offer.cautious)}
    own = ", own scale" if scale else ""
    change = "the change since the last value"
    since_last = setup(
        "last_difference",
        f"{change}, absolute error{own}",
        "absolute",
        last,
        difference=names,
        **scaled,
    )
    since_season = since_last
    if season > 1:
        change = f"the change since {season} steps before"
        since_season = setup(
            "seasonal_difference",
            f"{change}, absolute error{own}",
            "absolute",
            few_lags,
            difference=names,
            **scaled,
        )
    setups = [
        since_season,
        setup("level", f"the level, absolute error{own}", "absolute", all_lags, **scaled),
        *([since_last] if season > 1 else []),
        setup(
            "cautious",
            f"{change}, absolute error, few small trees{own}",
            "absolute",
            few_lags,
            difference=names,
            **scaled,
            **few,
        ),
        setup(
            "seasonal_difference_squared" if season > 1 else "last_difference_squared",
            f"{change}, squared error{own}",
            "squared",
            few_lags,
            difference=names,
            **scaled,
        ),
        setup("squared", f"the level, squared error{own}", "squared", few_lags, **scaled),
    ]
    if len(positive) == len(names):
        setups.append(
            setup(
                "log", "the logarithm of the level, squared error", "squared", few_lags, log=names
            )
        )
        if any(facts.targets[n].zeros > 0.1 for n in names):
            setups.append(
                setup("tweedie", f"the level, Tweedie loss{own}", "tweedie", few_lags, **scaled)
            )
    return setups


def _stride(frame: Frame, affordable: float) -> int:
    """Leave out origins until few enough rows are left, by a stride that shares no factor with any
    season. At least :data:`_LEAST` origins are left: fewer teach nothing, whatever they cost.
    """
    rows = min(_ROWS, max(affordable, _LEAST * frame.horizon))
    stride = max(1, ceil(frame.facts.rows * frame.horizon / rows))
    seasons = [n for n in frame.lags if n > 1]
    while any(gcd(stride, n) > 1 for n in seasons):
        stride += 1
    return stride


def _sparse(frame: Frame, name: str, offer: Automatic) -> list[Setup]:
    """A model for a target that is mostly 0."""
    facts = frame.facts
    target = facts.targets[next(iter(facts.targets))]
    length = min(100, facts.shortest - frame.horizon * frame.origins - 1)
    if length < 8 or (frame.limit is not None and length > frame.limit):
        return []
    seconds = facts.series * frame.origins * len(facts.targets) * length * offer.seconds
    why = (
        f"{target.demand} demand: {target.gap:.2g} steps from one value that is not 0 to the next "
        f"(ADI), squared coefficient of variation {target.unevenness:.2g}"
    )
    return [Setup(name, name, why, {"context_length": length}, seconds)]


def _local(frame: Frame, name: str, offer: Automatic) -> list[Setup]:
    """A model of one series, which is fitted whenever it is asked."""
    facts = frame.facts
    season = facts.season if facts.season <= _LONG else 1
    length = min(max(10 * season, 30), facts.shortest - frame.horizon * frame.origins - 1)
    if length < max(2 * season + 1, 8) or (frame.limit is not None and length > frame.limit):
        return []
    fits = facts.series * frame.origins * len(facts.targets)
    seconds = fits * length * offer.seconds * (1 if season == 1 else 3)
    options = {"season_length": season, "context_length": length}
    return [Setup(name, name, f"{name.replace('_', ' ')}, season {season}", options, seconds)]
