"""The season lengths that a run's data show, for the baseline and for ``model=auto``."""

from __future__ import annotations

from collections.abc import Callable

from framework.config.automatic import seasons
from framework.config.catalog import Plugins
from framework.config.config import Config
from framework.data.panel import Panel
from framework.data.season_search import found_seasons
from framework.data.time import to_numpy
from framework.evaluation.folds import plan_folds
from framework.interfaces.model import Model
from framework.tuning.automatic.facts import NEAR, describe

#: Seasons that are looked at, at most.
_MOST = 3
#: The families of models that learn nothing.
_NAIVE = ("naive", "seasonal", "level", "strongest")


def judged_history(config: Config, panel: Panel) -> tuple[Panel, Panel]:
    """Cut off what the backtest judges.

    Args:
        config: The run's.
        panel: What the store gives.

    Returns:
        What was known at the first origin, and of that what the first fold learns from.

    Raises:
        ConfigError: A fold would have nothing to learn from.
    """
    since = config.panel.since
    folds = plan_folds(
        panel.times, panel.frequency, config.panel.horizon, config.backtest, since=since
    )
    known = panel.known_at(folds[0].origin)
    first = known.times.min() if since is None else to_numpy(since)
    return known, known.between(first, min(folds[0].cutoff, folds[0].origin))


def season_lengths(config: Config, history: Panel) -> tuple[int, ...]:
    """Find the seasons: those of ``panel.seasons``; without them the usual ones and those that the
    data show, where their naive forecast is nearly as good as that of a usual one.

    Args:
        config: The run's.
        history: The rows that may be looked at.

    Returns:
        The season lengths, in steps, ``panel.season_length`` first if it is among them, then the
        shortest.
    """
    usual = seasons(config.panel.model_dump())
    if config.panel.seasons is None:
        usual = _with_found(config, history, usual)
    own = config.panel.season_length
    return tuple(sorted(usual, key=lambda length: (length != own, length)))


def strongest_naive(
    config: Config, plugins: Plugins, panel: Panel
) -> tuple[str, Callable[[], Model]] | None:
    """Find the naive forecast that a learning model is measured by, beside a weaker baseline.

    Args:
        config: The run's.
        plugins: Whose models offer themselves.
        panel: What the store gives.

    Returns:
        Its name and how it is made; None where the baseline or the model is such a forecast
        itself, or none is installed.
    """
    offers = {c.name: c.automatic for c in plugins.components() if c.kind == "model"}
    families = {name: offer.family for name, offer in offers.items() if offer is not None}
    names = [name for name, family in families.items() if family == "strongest"]
    own = families.get(config.component("model").name)
    if not names or own in _NAIVE or config.component("baseline").name in names:
        return None
    lengths = season_lengths(config, judged_history(config, panel)[1])
    values = {"season_length": config.panel.season_length, "seasons": lengths or None}
    options = plugins.find("model", names[0]).options.model_validate(values)
    return names[0], lambda: plugins.make("model", names[0], options)


def _with_found(config: Config, history: Panel, usual: tuple[int, ...]) -> tuple[int, ...]:
    targets, horizon = config.panel.targets, config.panel.horizon
    others = dict.fromkeys(
        length
        for column in range(len(targets))
        for length in found_seasons(history, column, usual)
        if length not in usual
    )
    if not others:
        return usual
    facts = describe(history, targets, (*usual, *others), horizon)
    good = [
        length
        for length in others
        if any(
            length in target.naive and target.naive[length] <= NEAR * min(target.naive.values())
            for target in facts.targets.values()
        )
    ]
    return (*good, *usual)[:_MOST]
