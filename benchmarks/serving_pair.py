"""The pair that the benchmarks of serving share, and framework's server of it:

    python benchmarks/serving_pair.py FOLDER PORT [OPTIONS]

OPTIONS of ``serving=fastapi`` as JSON. The shape of xgb_daily: 25 past columns, 2 targets, 7 steps,
2 quantiles, a calendar with holidays, 100 rounds, one thread.
"""

from __future__ import annotations

import json
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from bare import PAST, STATIC, STEPS, TARGETS, VERSION

from framework.data.frequency import Frequency
from framework.data.panel import Panel
from framework.data.panel_rows import panel_from_rows
from framework.data.schema import Schema
from framework.data.vocabulary import TIME
from framework.features.views import FeatureSet, View
from framework.interfaces.ledger import FilesLedgerOptions
from framework.interfaces.registry import PairVersion, ProvenPair
from framework.monitoring.ledger_files import FilesLedger
from framework.pairs.artifacts import Evidence, write_pair
from framework.pairs.fit import fit_pair
from framework.pairs.golden import Golden
from framework.pairs.pair import Pair
from framework.plugins.discovery import load_plugins
from framework.serving.app.examples import example_payload
from framework.serving.deployment import Deployment

CALENDAR = (
    "day_of_week",
    "day_of_month",
    "month",
    "is_holiday",
    "days_to_holiday",
    "days_since_holiday",
)
FEATURES = FeatureSet(
    primary="daily", views={"daily": View(entity=STATIC, columns=PAST, ttl=timedelta(days=1))}
)


def make_panel(days: int = 120, series: int = 20) -> Panel:
    rng = np.random.default_rng(7)
    rows = pd.DataFrame(rng.normal(20, 5, (days * series, len(PAST))), columns=list(PAST))
    rows.insert(
        0, TIME, np.tile(pd.date_range("2013-01-01", periods=days, freq="D", tz="UTC"), series)
    )
    rows.insert(0, "carrier", np.repeat([f"C{i % 10}" for i in range(series)], days))
    rows.insert(0, "airport", np.repeat([f"A{i // 10}" for i in range(series)], days))
    return panel_from_rows(
        rows,
        entity_keys=STATIC,
        past=PAST,
        known=(),
        categories=(),
        frequency=Frequency.parse("D"),
        gaps="refuse",
    )


def train(
    directory: Path,
    model: str = "xgboost",
    options: dict[str, Any] | None = None,
    context_length: int = 1,
) -> tuple[Pair, Golden]:
    """Fit and write the pair."""
    options = {"n_estimators": 100, "n_jobs": 1} if options is None else options
    plugins, panel = load_plugins(), make_panel()
    schema = Schema(
        name="benchmark",
        entity_keys=STATIC,
        frequency="D",
        targets=TARGETS,
        past=PAST,
        nullable=(),
        known=(),
        static=STATIC,
        horizon=STEPS,
        context_length=context_length,
        quantiles=(0.1, 0.9),
    )

    def make(kind: Any, name: str, options: dict[str, Any]) -> Any:
        return plugins.load(kind, name)(plugins.find(kind, name).options.model_validate(options))

    preprocessor = make(
        "preprocessor",
        "native",
        {"future": [{"step": "calendar", "fields": CALENDAR, "country": "US"}]},
    )
    pair = fit_pair(
        panel,
        schema,
        preprocessor,
        make("model", model, options),
        0,
        STEPS,
    )
    context = panel.context(schema, panel.entities[:4], None)
    golden = Golden(context, pair.forecast(context).values, 1e-5)
    write_pair(
        directory,
        pair,
        {"preprocessor": "native", "model": model},
        Evidence(golden, pd.DataFrame({"none": [0]}), {}),
    )
    return pair, golden


def payload(pair: Pair, golden: Golden, rows: int) -> bytes:
    """A body of ``POST /predict``: rows of different entities and numbers."""
    rng, example = np.random.default_rng(11), example_payload(pair.schema, golden)["rows"][0]
    made = []
    for i in range(rows):
        numbers = {
            name: float(value)
            for name, value in zip(PAST, rng.normal(20, 5, len(PAST)), strict=True)
        }
        made.append({**example, **numbers, "airport": f"A{i // 10 % 2}", "carrier": f"C{i % 10}"})
    return json.dumps({"rows": made}).encode()


def columns(body: bytes) -> bytes:
    """The same request over the Open Inference Protocol: one tensor a column, as JSON."""
    rows = json.loads(body)["rows"]
    inputs = [
        {
            "name": column,
            "datatype": "FP64" if column in PAST else "BYTES",
            "shape": [len(rows), 1],
            "data": [row[column] for row in rows],
        }
        for column in (*STATIC, TIME, *PAST)
    ]
    return json.dumps({"inputs": inputs}).encode()


def no_ledger() -> FilesLedger:
    """A ledger that keeps no forecast: what it costs is measured by ledger.py."""
    return FilesLedger(FilesLedgerOptions(share=0))


class OnePair:
    """The parts of a deployment: the pair in the folder, no feature store."""

    max_context_length = 0

    def __init__(self, directory: Path) -> None:
        self.directory, self.plugins = directory, load_plugins()
        self.proven = ProvenPair(VERSION, directory / "preprocessor", directory / "model", "")

    def __reduce__(self) -> tuple[Any, ...]:
        return OnePair, (self.directory,)

    def make(self, group: str) -> Any:
        return no_ledger() if group == "ledger" else self

    def resolve(self, name: str, reference: str) -> PairVersion:
        return self.proven.version

    def fetch(self, version: PairVersion) -> ProvenPair:
        return self.proven


def serve_ours(directory: Path, port: int, options: dict[str, Any]) -> None:
    parts = OnePair(directory)
    made = parts.plugins.find("serving", "fastapi").options.model_validate(
        {"port": port, **options}
    )
    deployment = Deployment(
        parts, "benchmark", "production", FEATURES, "payload", directory / "state"
    )
    parts.plugins.load("serving", "fastapi")(made).serve(deployment, lambda *_: None)


if __name__ == "__main__":
    serve_ours(
        Path(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3]) if len(sys.argv) > 3 else {}
    )
