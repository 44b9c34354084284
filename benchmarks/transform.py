"""What one request's preprocessing costs: the native preprocessor, pandas, scikit-learn's
ColumnTransformer.

The same work by each: 20 past columns imputed and scaled, 2 texts encoded, and (native and pandas)
7 future rows x 6 calendar columns. ``cold`` is a request for steps that nobody asked for before.

    python benchmarks/transform.py
"""

from __future__ import annotations

import timeit
from collections.abc import Callable

import numpy as np
import pandas as pd
from framework_preprocessing import NativeOptions
from framework_preprocessing.native import NativePreprocessor
from rich.console import Console
from rich.table import Table
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder, StandardScaler

from framework.data.schema import Schema

COLUMNS = tuple(f"x{i}" for i in range(20))
TEXTS = ("shop", "town")
FIELDS = (
    "day_of_week",
    "day_of_month",
    "month",
    "is_holiday",
    "days_to_holiday",
    "days_since_holiday",
)
HORIZON, ROWS = 7, 5000
SCHEMA = Schema(
    name="benchmark",
    entity_keys=TEXTS[:1],
    frequency="D",
    targets=COLUMNS[:1],
    past=COLUMNS,
    nullable=COLUMNS[1:],
    known=(),
    static=TEXTS,
    horizon=HORIZON,
    context_length=1,
    quantiles=(),
)


def microseconds(call: Callable[[], object], number: int) -> float:
    """The best of five rounds."""
    return min(timeit.repeat(call, number=number, repeat=5)) / number * 1e6


def main() -> None:
    generator = np.random.default_rng(0)
    past = generator.normal(10, 3, (ROWS, len(COLUMNS)))
    past[generator.random(past.shape) < 0.05] = np.nan
    static = np.array([[f"shop-{i % 50}", f"town-{i % 7}"] for i in range(ROWS)], dtype=object)
    times = np.datetime64("2013-01-01", "us") + np.arange(ROWS) % 360 * np.timedelta64(
        86_400_000_000, "us"
    )
    none = np.empty((ROWS, 0))

    steps = [{"step": "impute"}, {"step": "scale"}]
    calendar = [
        {"step": "calendar", "fields": FIELDS, "country": "US", "time_zone": "America/New_York"}
    ]
    native = NativePreprocessor(NativeOptions.model_validate({"past": steps, "future": calendar}))
    native.fit(past, none, static, times, SCHEMA)

    frame = pd.DataFrame(past, columns=list(COLUMNS)).assign(shop=static[:, 0], town=static[:, 1])
    median, mean, spread = (
        getattr(frame[list(COLUMNS)], name)() for name in ("median", "mean", "std")
    )
    codes = {text: {v: i for i, v in enumerate(sorted(frame[text].unique()))} for text in TEXTS}
    transformer = ColumnTransformer(
        [
            (
                "numbers",
                make_pipeline(SimpleImputer(strategy="median"), StandardScaler()),
                list(COLUMNS),
            ),
            (
                "texts",
                OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1),
                list(TEXTS),
            ),
        ]
    ).fit(frame)

    def with_native(n: int, start: int) -> None:
        ahead = (
            times[:n, None]
            + np.arange(start, start + HORIZON) * np.timedelta64(86_400_000_000, "us")
        ).reshape(-1)
        native.past(past[:n], times[:n])
        native.future(np.empty((n * HORIZON, 0)), ahead)
        native.static(static[:n])

    def with_pandas(n: int) -> None:
        rows = pd.DataFrame(past[:n], columns=list(COLUMNS)).assign(
            shop=static[:n, 0], town=static[:n, 1]
        )
        rows[list(COLUMNS)] = (rows[list(COLUMNS)].fillna(median) - mean) / spread
        for text in TEXTS:
            rows[text] = rows[text].map(codes[text]).fillna(-1)
        stamps = (
            pd.DatetimeIndex(np.repeat(times[:n], HORIZON))
            .tz_localize("UTC")
            .tz_convert("America/New_York")
        )
        pd.DataFrame(
            {"day_of_week": stamps.dayofweek, "day_of_month": stamps.day, "month": stamps.month}
        ).to_numpy(np.float32)
        rows.to_numpy(np.float32)

    def with_sklearn(n: int) -> None:
        transformer.transform(
            pd.DataFrame(past[:n], columns=list(COLUMNS)).assign(
                shop=static[:n, 0], town=static[:n, 1]
            )
        )

    table = Table(
        "rows",
        "native",
        "native, cold steps",
        "pandas (no holidays)",
        "ColumnTransformer (no calendar)",
        title="microseconds a row",
    )
    first: list[float] = []
    fresh = iter(range(1000, 10**9, HORIZON))
    for n in (1, 16, 1000, ROWS):
        number = max(1, 200 // n)
        native_cost = microseconds(lambda n=n: with_native(n, 1), number * 5)  # type: ignore[misc]
        cold = microseconds(lambda n=n: with_native(n, next(fresh) % 30000), number)  # type: ignore[misc]
        other = [microseconds(lambda n=n, f=f: f(n), number) for f in (with_pandas, with_sklearn)]  # type: ignore[misc]
        costs = [native_cost, cold, *other]
        first = first or costs
        table.add_row(str(n), *(f"{cost / n:.2f}" for cost in costs))
    Console().print(table)
    print(
        f"one row: native {first[0]:.0f} us (cold steps {first[1]:.0f} us), pandas "
        f"{first[2]:.0f} us ({first[2] / first[0]:.0f} x), "
        f"ColumnTransformer {first[3]:.0f} us ({first[3] / first[0]:.0f} x)"
    )


if __name__ == "__main__":
    main()
