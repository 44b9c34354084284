"""Tell a real change of the forecasts' errors from chance, with a bound on false alarms.

The data are not tested: season, trend and holidays change them every day. The forecast is tested,
because its median and its interval carry what is expected to change. See
:mod:`framework.monitoring.observations`.

The null says: given the past, the expectation of an observation is at most a limit. The limit is
the mean of the pair's own backtest, plus what the day before carries over, plus a margin ``delta``
for what the backtest leaves unknown. A bet of ``1 + lambda * (x - limit)`` has then an expectation
of at most 1, so the wealth of a bettor is a non-negative supermartingale, and Ville's inequality
bounds the probability that it ever exceeds ``1 / alpha`` by ``alpha``, whatever the dependence
between series (Waudby-Smith & Ramdas 2024, "Estimating means of bounded random variables by
betting"; Vovk & Wang 2021, "E-values: calibration, combination and applications"). The wealth is
averaged over a grid of stakes and of days on which the betting begins.

A forecast of several steps has errors that overlap with those of the next origin, and the average
of interleaved products is no supermartingale (erratum, Biometrika 109(4):1181). An observation
must therefore begin after the last step of the one before:
:func:`framework.monitoring.observations.spaced` picks such origins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from framework.data.arrays import Flags, Float64, Rows
from framework.monitoring.observations import mean_over_series, ratio

#: Fewer observations of a backtest give no reference, fewer live ones no verdict.
FEWEST_REFERENCE, FEWEST_LIVE = 4, 5
#: Stakes, as shares of the largest one that cannot lose everything.
STAKES = (0.5, 0.8)
#: Observations between two days on which betting begins.
START_EVERY = 10
#: The margin in standard errors of what the backtest estimates, and the least margin.
STANDARD_ERRORS, LEAST_DELTA = 2.0, 0.02
#: What the day before may carry over at most.
MOST_CARRIED = 0.9
#: A limit is at least this, and there are no bets above this.
LEAST_LIMIT, HIGHEST_LIMIT = 0.01, 0.97

Verdict = Literal["alarm", "quiet", "too few"]


@dataclass(frozen=True, slots=True)
class Reference:
    """The promise of the backtest for each test, ``[..., tests]``; NaN where it had too few
    observations.

    ``mean``: of the observations. ``carry``: the lag-one autocorrelation, 0 when negative.
    ``delta``: the margin. ``count``: observations behind them.
    """

    mean: Float64
    carry: Float64
    delta: Float64
    count: Rows


def make_reference(tested: Float64) -> Reference:
    """Estimate the null from a backtest's observations.

    ``delta`` covers the standard errors of the mean and of the carry-over.

    Args:
        tested: ``[origins, ..., tests]``, in order of time, from
            :func:`framework.monitoring.observations.one_sided`.
    """
    known = np.isfinite(tested)
    count = known.sum(0)
    enough = count >= FEWEST_REFERENCE
    mean = ratio(np.where(known, tested, 0).sum(0), count)
    carry = _carried(tested, mean)
    error = _for_few(count) * np.sqrt(2 * _unexplained(tested, mean, carry) / np.maximum(count, 1))
    delta = np.maximum(STANDARD_ERRORS * error, LEAST_DELTA)
    return Reference(np.where(enough, mean, np.nan), carry, np.where(enough, delta, np.nan), count)


def make_reference_of_series(tested: Float64) -> Reference:
    """Estimate the null of each series by itself, with what the others tell of it.

    A series' mean is pulled to the mean of all by as much as its own standard error is larger than
    the series differ (empirical Bayes, Efron & Morris 1975). ``delta`` covers what is left, and the
    carry-over is that of all.

    Args:
        tested: ``[origins, series, tests]``, in order of time, from
            :func:`framework.monitoring.observations.one_sided`.
    """
    of_each = make_reference(tested)
    enough = np.isfinite(of_each.mean)
    weights = enough.astype(np.float64)
    of_all = ratio((np.nan_to_num(of_each.mean) * weights).sum(0), weights.sum(0))
    carry = np.broadcast_to(
        np.nan_to_num(ratio((of_each.carry * weights).sum(0), weights.sum(0))), of_each.mean.shape
    )
    noise = (
        _unexplained(tested, of_each.mean, carry) / np.maximum(of_each.count, 1) / (1 - carry) ** 2
    )
    distance = np.where(enough, of_each.mean - of_all, 0.0)
    differing = np.maximum(
        ratio((distance**2 - np.where(enough, noise, 0.0)).sum(0), weights.sum(0)), 0.0
    )
    own = np.nan_to_num(ratio(differing * np.ones_like(noise), differing + noise))
    of_mean = np.nan_to_num(make_reference(mean_over_series(tested)).delta) / STANDARD_ERRORS
    uncertainty = (1 - carry) ** 2 * own * noise + of_mean**2
    delta = np.maximum(
        STANDARD_ERRORS * _for_few(of_each.count) * np.sqrt(uncertainty), LEAST_DELTA
    )
    return Reference(
        np.where(enough, of_all + own * distance, np.nan),
        carry,
        np.where(enough, delta, np.nan),
        of_each.count,
    )


def _carried(tested: Float64, mean: Float64) -> Float64:
    """Estimate the lag-one autocorrelation, 0 when it is negative."""
    known = np.isfinite(tested)
    centred = np.where(known, tested - mean, 0.0)
    before = np.where(known[1:], centred[:-1], 0.0)
    carry = np.nan_to_num(ratio((before * centred[1:]).sum(0), (before**2).sum(0)))
    # the estimate from n observations is about (1 + 3 carry) / n too low
    raised = carry + (1 + 3 * carry) / np.maximum(known.sum(0), 1)
    return np.asarray(np.clip(raised, 0, MOST_CARRIED))


def _unexplained(tested: Float64, mean: Float64, carry: Float64) -> Float64:
    """Estimate the variance of the observations, given the one before each."""
    known = np.isfinite(tested)
    residual = np.where(known, tested - mean, 0.0)
    residual[1:] -= np.where(known[1:], carry * residual[:-1], 0.0)
    return ratio((residual**2).sum(0), np.maximum(known.sum(0) - 2, 1))


def _for_few(count: Rows) -> Float64:
    """Compute how much wider Student's t is than the normal law (Cornish-Fisher, three terms)."""
    free, z = np.maximum(count - 2, 1).astype(np.float64), STANDARD_ERRORS
    first = (z**2 + 1) / 4
    second = (5 * z**4 + 16 * z**2 + 3) / 96
    return np.asarray(1 + first / free + second / free**2)


def wealth(tested: Float64, reference: Reference, review: int) -> Float64:
    """Bet against the null, observation by observation.

    Args:
        tested: ``[times, ..., tests]`` of the live forecasts, in order, from
            :func:`framework.monitoring.observations.one_sided`. An
            unknown one leaves the wealth as it is.
        reference: The null, ``[..., tests]``. A test without one keeps a wealth of 1.
        review: Observations of a review period. Betting starts afresh in each; the bound on false
            alarms is one period's.

    Returns:
        ``[times, ..., tests]``, the wealth after each observation.
    """
    stakes = np.array(STAKES).reshape(-1, *([1] * (tested.ndim - 1)))
    starts = -(-review // START_EVERY)
    mean, usable = np.nan_to_num(reference.mean), np.isfinite(reference.mean)
    delta = np.nan_to_num(reference.delta)
    out = np.ones(tested.shape)
    betting, waiting = np.zeros((len(STAKES), *tested.shape[1:])), 1.0
    before = np.broadcast_to(mean, tested.shape[1:])
    for t, x in enumerate(tested):
        if t % review == 0:
            betting, waiting = np.zeros_like(betting), 1.0
        if t % review % START_EVERY == 0:
            betting = betting + 1 / starts
            waiting -= 1 / starts
        limit = np.maximum(mean + reference.carry * (before - mean) + delta, LEAST_LIMIT)
        # where the null allows nearly everything there is nothing to bet on
        known = np.isfinite(x) & usable & (limit <= HIGHEST_LIMIT)
        bets = 1 + stakes / limit * (np.where(known, x, limit) - limit)
        betting *= bets
        out[t] = betting.mean(0) + waiting
        before = np.where(np.isfinite(x), x, mean)
    return out


def threshold(tests: int, alpha: float) -> float:
    """Return the wealth that is an alarm, when ``tests`` are watched together: a false one in a
    review period has a probability of at most ``alpha``.
    """
    return tests / alpha


def verdicts(
    path: Float64, tested: Float64, reference: Reference, tests: int, alpha: float
) -> list[Verdict]:
    """Say of each test of ``path[times, tests]`` whether it alarmed at any time of it."""
    live = np.isfinite(tested).sum(0)
    highest = path.max(0, initial=1.0)
    return [
        "too few"
        if live[i] < FEWEST_LIVE or not np.isfinite(reference.mean[i])
        else ("alarm" if highest[i] >= threshold(tests, alpha) else "quiet")
        for i in range(path.shape[1])
    ]


def e_bh(e_values: Float64, alpha: float) -> Flags:
    """Choose among many hypotheses so that at most ``alpha`` of the chosen are false, on average
    and whatever their dependence (Wang & Ramdas 2022, "False discovery rate control with
    e-values").
    """
    return e_bh_of_groups(e_values, np.zeros(len(e_values), dtype=np.int64), alpha)


def e_bh_of_groups(e_values: Float64, group: Rows, alpha: float) -> Flags:
    """Choose by :func:`e_bh` in each group by itself.

    Args:
        e_values: ``[n]``.
        group: ``[n]``, the number of each one's group.
        alpha: The share of the chosen that may be false.
    """
    sizes = np.bincount(group)
    order = np.lexsort((-e_values, group))
    of_group = group[order]
    rank = np.arange(1, len(order) + 1) - (np.cumsum(sizes) - sizes)[of_group]
    enough = e_values[order] * rank >= sizes[of_group] / alpha
    last = np.zeros(len(sizes), dtype=np.int64)
    np.maximum.at(last, of_group[enough], rank[enough])
    selection = np.zeros(len(order), dtype=bool)
    selection[order] = rank <= last[of_group]
    return selection


def e_values_of(p_values: Float64) -> Float64:
    """Turn p-values into e-values: the mean of all calibrators ``k * p ** (k - 1)`` (Vovk & Wang
    2021, equation 2).
    """
    p = np.clip(p_values, np.finfo(np.float64).tiny, 1 - 1e-9)
    log = np.log(p)
    return np.asarray((1 - p + p * log) / (p * log**2))


def e_value_of_series(path: Float64) -> Float64:
    """Average the tests' wealths ``[..., tests]`` of each series: an e-value again."""
    return np.asarray(path.mean(-1))


def first_alarm(path: Sequence[float] | Float64, limit: float) -> int | None:
    """Return the first place whose wealth reaches ``limit``, None when there is none."""
    places = np.flatnonzero(np.asarray(path) >= limit)
    return int(places[0]) if len(places) else None
