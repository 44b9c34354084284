"""How often the drift tests alarm where nothing changed, how soon where something did, and what
other detectors do on the same data.

    python benchmarks/drift.py
    python benchmarks/drift.py --seeds 20

A panel of daily series has a weekly and a yearly season, a spread that is larger at week-ends, and
errors with common shocks that follow an AR(1) of 0 and of 0.4. A regression on two years forecasts
the next day; 180 days after them are its backtest and one more year is served.

- ``alarms``: stationary years, of ``--seeds``, with any false alarm at alpha 0.05: the worse of the
  two AR coefficients.
- ``delay_level``, ``delay_scale``: median days from a shift of one sigma, or a spread of 1.7 times,
  in all series to the alarm; the worse AR coefficient. A year without an alarm counts as 999.
- ``delay_dead``: of one series of 100 that repeats its last value, by e-BH.
- ``fdr``, ``power``: of 1,000 series 50 shift by 1.5 sigma; the mean share of false ones among
  those that e-BH names at 0.1 after 60 days, the worse AR; and the share of the 50 that are named,
  the worse AR. ``power_by_shift`` has the same for 1 and 1.5 sigma by AR.
- ``controls``: PSI above 0.2 and the Kolmogorov-Smirnov test at 0.05, of each month's actuals
  against the backtest's; ADWIN on the daily mean absolute error (river, when it is installed);
  and a detector that always fires.

The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

import numpy as np

from framework.data.arrays import Float64, Rows
from framework.monitoring import drift, observations

FIT, BACKTEST, LIVE, CHANGE = 730, 180, 365, 60
ALPHA, FALSE_SHARE, NEVER = 0.05, 0.1, 999
#: Bins of the population stability index, and the share that an empty one counts as.
BINS, LEAST_SHARE = 10, 1e-4


@dataclass(frozen=True)
class Panel:
    """``[days, series]`` of backtest and live days together; ``day`` counts from the first."""

    day: Rows
    actual: Float64
    median: Float64
    lower: Float64
    upper: Float64


@dataclass(frozen=True)
class Change:
    """What happens on live day :data:`CHANGE` to the first ``series`` series (None: to all)."""

    level: float = 0.0
    scale: float = 1.0
    series: int | None = None
    dead: bool = False


def simulate(
    seed: int, series: int, ar: float, shock: float, change: Change, live: int = LIVE
) -> Panel:
    """Draw a panel and forecast it. ``shock``: the share of the errors' variance that all series
    have in common.
    """
    rng = np.random.default_rng(seed)
    days = FIT + BACKTEST + live
    common, own = (_autoregressive(rng.standard_normal((days, n)), ar) for n in (1, series))
    errors = np.sqrt(shock) * common + np.sqrt(1 - shock) * own
    start, some = FIT + BACKTEST + CHANGE, slice(change.series)
    errors[start:, some] = change.scale * errors[start:, some] + change.level
    day = np.arange(days)
    weekend = np.isin(day % 7, (5, 6))[:, None]
    spread = np.exp(rng.normal(0, 0.5, series)) * (1 + 0.5 * weekend)
    yearly = 10 * np.sin(2 * np.pi * day / 365.25)[:, None] * rng.uniform(0.5, 1.5, series)
    actual = yearly + rng.normal(0, 3, (7, series))[day % 7] + spread * errors
    if change.dead:
        actual[start:, some] = actual[start - 1, some]
    median, deviation = _regression(day, actual)
    half = 1.2816 * deviation
    return Panel(day[FIT:], *(x[FIT:] for x in (actual, median, median - half, median + half)))


def _autoregressive(noise: Float64, ar: float) -> Float64:
    for t in range(1, len(noise)):
        noise[t] = ar * noise[t - 1] + np.sqrt(1 - ar * ar) * noise[t]
    return noise


def _regression(day: Rows, actual: Float64) -> tuple[Float64, Float64]:
    """The model: weekdays and two harmonics of the year, and a spread for each weekday."""
    angles = [2 * np.pi * k * day / 365.25 for k in (1, 2)]
    waves = [f(angle)[:, None] for angle in angles for f in (np.sin, np.cos)]
    columns = np.concatenate([np.eye(7)[day % 7], *waves], axis=1)
    weights = np.linalg.lstsq(columns[:FIT], actual[:FIT], rcond=None)[0]
    median = columns @ weights
    residual, weekday = (actual - median)[:FIT], day[:FIT] % 7
    deviation = np.stack([residual[weekday == d].std(axis=0) for d in range(7)])
    return median, deviation[day % 7]


def tested(panel: Panel) -> Float64:
    """``[days, series, tests]``, as ``run=monitor`` makes them."""
    position, error = panel.day % 7, np.abs(panel.actual - panel.median)
    series = np.broadcast_to(np.arange(error.shape[1]), error.shape)
    place, shape = np.broadcast_to(position[:, None], error.shape), (error.shape[1], 7)
    past = [array[:BACKTEST].ravel() for array in (error, series, place)]
    own = observations.reference_spread_without_own(*past, shape).reshape(BACKTEST, -1)
    later = observations.reference_spread(*past, shape)[series[BACKTEST:], place[BACKTEST:]]
    spread = np.concatenate([own, later])
    before = np.full_like(panel.actual, np.nan)
    before[1:] = panel.actual[:-1]
    return observations.one_sided(
        observations.figures(panel.actual, before, panel.median, panel.lower, panel.upper, spread)
    )


def of_all_series(panel: Panel) -> int | None:
    """The live day of the first alarm."""
    days = observations.mean_over_series(tested(panel))
    reference = drift.make_reference(days[:BACKTEST])
    path = drift.wealth(days[BACKTEST:], reference, LIVE)
    return drift.first_alarm(path.max(axis=1), drift.threshold(path.shape[1], ALPHA))


def of_each_series(panel: Panel) -> Float64:
    """``[live days, series]``: e-values."""
    days = tested(panel)
    reference = drift.make_reference_of_series(days[:BACKTEST])
    return drift.e_value_of_series(drift.wealth(days[BACKTEST:], reference, LIVE))


def by_month(panel: Panel, fires: Callable[[Float64, Float64], bool]) -> int | None:
    """The first live day at whose end a month's actuals differ from the backtest's."""
    before = np.sort(panel.actual[:BACKTEST].ravel())
    live = panel.actual[BACKTEST:]
    ends = range(30, len(live) + 1, 30)
    return next((e - 1 for e in ends if fires(before, np.sort(live[e - 30 : e].ravel()))), None)


def psi_fires(before: Float64, after: Float64) -> bool:
    """The population stability index, over bins that hold equal shares of ``before``."""
    edges = np.unique(np.quantile(before, np.arange(1, BINS) / BINS))
    past, live = (
        np.maximum(
            np.bincount(np.searchsorted(edges, side, "right"), minlength=len(edges) + 1)
            / len(side),
            LEAST_SHARE,
        )
        for side in (before, after)
    )
    return float(((live - past) * np.log(live / past)).sum()) > 0.2


def ks_fires(before: Float64, after: Float64) -> bool:
    """The Kolmogorov-Smirnov test of two sorted samples."""
    points, n, m = np.concatenate([before, after]), len(before), len(after)
    below, above = (np.searchsorted(side, points, "right") / len(side) for side in (before, after))
    return float(np.abs(below - above).max()) > 1.358 * np.sqrt((n + m) / (n * m))


def adwin(panel: Panel) -> int | None:
    from river.drift import ADWIN

    detector = ADWIN()
    for t, error in enumerate(np.abs(panel.actual - panel.median).mean(axis=1)):
        detector.update(error)
        if detector.drift_detected and t >= BACKTEST:
            return t - BACKTEST
    return None


def always(panel: Panel) -> int | None:
    return 0


def detectors() -> dict[str, Callable[[Panel], int | None]]:
    found = {
        "ours": of_all_series,
        "psi": lambda panel: by_month(panel, psi_fires),
        "ks": lambda panel: by_month(panel, ks_fires),
        "always": always,
    }
    try:
        import river.drift  # noqa: F401
    except ImportError:
        print("river is not installed: ADWIN is left out")
        return found
    return {**found, "adwin": adwin}


def false_alarms(seeds: int, ar: float) -> dict[str, int]:
    """Of ``seeds`` stationary years, those with an alarm."""
    counts = dict.fromkeys(detectors(), 0)
    for seed in range(seeds):
        panel = simulate(seed, 20, ar, 0.3, Change())
        for name, detect in detectors().items():
            counts[name] += detect(panel) is not None
    return counts


def delays(seeds: int, ar: float, change: Change) -> dict[str, float]:
    """Median days from the change to the first alarm after it; an alarm before it is none."""
    days: dict[str, list[int]] = {name: [] for name in detectors()}
    for seed in range(seeds):
        panel = simulate(10_000 + seed, 20, ar, 0.3, change)
        for name, detect in detectors().items():
            day = detect(panel)
            days[name].append(day - CHANGE + 1 if day is not None and day >= CHANGE else NEVER)
    return {name: float(np.median(of_one)) for name, of_one in days.items()}


def dead_sensor(seeds: int, ar: float) -> float:
    """Median days until e-BH names the one series of 100 that repeats its value."""
    days = []
    for seed in range(seeds):
        panel = simulate(20_000 + seed, 100, ar, 0.3, Change(series=1, dead=True), CHANGE + 60)
        values = of_each_series(panel)[CHANGE:]
        named = [t for t, of_day in enumerate(values) if drift.e_bh(of_day, FALSE_SHARE)[0]]
        days.append(named[0] + 1 if named else NEVER)
    return float(np.median(days))


def among_many(seeds: int, ar: float, level: float) -> tuple[float, float]:
    """FDR and power after 60 days among 1,000 series of which 50 shift."""
    false, right = [], []
    for seed in range(seeds):
        panel = simulate(30_000 + seed, 1000, ar, 0.1, Change(level=level, series=50), CHANGE + 60)
        named = drift.e_bh(of_each_series(panel)[-1], FALSE_SHARE)
        false.append(named[50:].sum() / max(named.sum(), 1))
        right.append(named[:50].mean())
    return float(np.mean(false)), float(np.mean(right))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=200)
    options = parser.parse_args()
    began, few = perf_counter(), max(options.seeds // 5, 1)
    alarms = {ar: false_alarms(options.seeds, ar) for ar in (0.0, 0.4)}
    level = {ar: delays(few, ar, Change(level=1.0)) for ar in alarms}
    scale = {ar: delays(few, ar, Change(scale=1.7)) for ar in alarms}
    print(f"{'detector':<10}{'AR':>5}{'alarms':>8}{'+1 sigma':>10}{'x 1.7':>8}   ({NEVER}: never)")
    for ar, counts in alarms.items():
        for name in counts:
            row = f"{counts[name]:>8}{level[ar][name]:>10g}{scale[ar][name]:>8g}"
            print(f"{name:<10}{ar:>5g}{row}")
    dead = max(dead_sensor(few // 2 + 1, ar) for ar in alarms)
    many = {(size, ar): among_many(few // 8 + 1, ar, size) for size in (1.0, 1.5) for ar in alarms}
    for (size, ar), (fdr, power) in many.items():
        print(f"50 of 1,000 by {size:g} sigma, AR {ar:g}: FDR {fdr:.3f}, power {power:.2f}")
    result = {
        "benchmark": "drift",
        "seeds": options.seeds,
        "alarms": max(counts["ours"] for counts in alarms.values()),
        "delay_level": max(by_name["ours"] for by_name in level.values()),
        "delay_scale": max(by_name["ours"] for by_name in scale.values()),
        "delay_dead": dead,
        "fdr": round(max(fdr for fdr, _ in many.values()), 4),
        "power": round(min(power for (size, _), (_, power) in many.items() if size == 1.5), 3),
        "power_by_shift": {
            f"{s:g} sigma, AR {ar:g}": round(p, 3) for (s, ar), (_, p) in many.items()
        },
        "controls": {
            name: {
                "alarms": max(counts[name] for counts in alarms.values()),
                "delay_level": max(by_name[name] for by_name in level.values()),
                "delay_scale": max(by_name[name] for by_name in scale.values()),
            }
            for name in alarms[0.0]
            if name != "ours"
        },
        "seconds": round(perf_counter() - began, 1),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
