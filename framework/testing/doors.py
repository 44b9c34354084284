"""Every door that a forecast is asked through, in one process, so that a test can ask all of them
one question.

Doors that look a series up (:meth:`Doors.looked_up`) are a fold of a backtest, ``run=predict``,
``POST /predict/feast`` and ``/predict/feast/batch``. Doors that are handed rows
(:meth:`Doors.handed`) are ``predict.rows``, ``POST /predict``, ``/invocations`` and both halves
through ``mlflow.pyfunc.load_model``.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from framework.data.arrays import Float64
from framework.data.vocabulary import OK, TIME
from framework.errors import DataError
from framework.evaluation.backtest import Fitted, forecast_windows
from framework.evaluation.folds import Fold
from framework.interfaces.compute import Compute
from framework.pairs.batch_scoring import WindowSource, score
from framework.pairs.loading import load_pair
from framework.plugins.components import Components, make_setting
from framework.plugins.run import Run
from framework.retrieval.features import Features
from framework.retrieval.rows_file import RowsFile
from framework.retrieval.stored_panel import PanelWindows

#: The outcome of a question that a door does not answer because of what was sent: a 422 or an
#: error, not a status.
REFUSED = "refused"
#: The outcome of a fold for a window without a forecast: a backtest keeps no status.
NONE = "none"


@dataclass(frozen=True)
class Outcome:
    """The status of one window and the bytes of its forecast ``[H, T, 1 + Q]``, empty unless it is
    ``ok``. ``detail`` is not compared.
    """

    status: str
    values: bytes = b""
    detail: str = ""

    def same(self, other: Outcome) -> bool:
        """Say whether both are the same forecast, or none for the same reason."""
        return (self.status, self.values) == (other.status, other.values)


class Client(Protocol):
    """A client that asks over HTTP; ``httpx.Client`` and Starlette's test client are some."""

    def post(self, url: str, *, json: Any) -> Any: ...


@dataclass(frozen=True)
class Rows:
    """One window as a client has it: rows of history, oldest first, and the known columns of the
    steps ahead; with keys and times.
    """

    history: list[dict[str, Any]]
    future: list[dict[str, Any]]


class Doors:
    """The doors of the pair that ``alias`` means in the project of a composed run.

    Args: run: Where the components and the views are. alias: Which pair. client: Reaches the
        server. functions: Both halves as MLflow loads them, one after the other, on a data frame;
        raises :class:`DataError`. None: that door is not asked.
    """

    def __init__(
        self,
        run: Run,
        alias: str,
        client: Client,
        functions: Callable[[pd.DataFrame], pd.DataFrame] | None,
    ) -> None:
        self.run, self.client, self.functions = run, client, functions
        self.pair = load_pair(run.make("registry"), run.plugins, run.config.name, alias).pair
        self.schema = self.pair.schema
        self.panel = Features(run.config, run.make("retrieval")).panel(horizon=self.schema.horizon)
        self._fold = cache(self._judged)

    # Doors that look the series up.

    def looked_up(self, entity: Mapping[str, str], at: str | None) -> dict[str, Outcome]:
        """The outcome of one series at the origin ``at`` (None: its newest) by the name of each
        door.
        """
        body = {"at": at} if at is not None else {}
        outcomes = {
            "run=predict": self._from_table(self._windows([entity], at)),
            "/predict/feast": self._posted("/predict/feast", {"entity": entity, **body}),
            "/predict/feast/batch": self._posted(
                "/predict/feast/batch", {"entities": [entity], **body}
            ),
        }
        if at is not None:
            outcomes["backtest"] = self._fold(at).get(tuple(entity.values()), Outcome(NONE))
        return outcomes

    def _windows(self, entities: Iterable[Mapping[str, str]], at: str | None) -> PanelWindows:
        keys = [tuple(entity.values()) for entity in entities]
        origin = None if at is None else np.datetime64(at.rstrip("Z"), "us")
        return PanelWindows(self.panel, self.run.config.features, self.schema, keys, origin, None)

    def _judged(self, at: str) -> dict[tuple[str, ...], Outcome]:
        """One fold of a backtest whose fit gave the pair itself."""
        config, origin = self.run.config, np.datetime64(at.rstrip("Z"), "us")
        setting = make_setting(Components(config, self.run.plugins), self.panel, self.schema)
        result = forecast_windows(
            setting,
            Fold(0, self.panel.times.min(), origin, origin),
            Fitted(self.pair, self.pair, {}),
        )
        return {
            tuple(entity): _outcome(values)
            for entity, values in zip(result.entities, result.forecast, strict=True)
        }

    # Doors that are handed rows.

    def handed(self, rows: Rows) -> dict[str, Outcome]:
        """The outcome of one window by the name of each door."""
        future: dict[str, Any] = {"future": rows.future} if self.schema.known else {}
        outcomes = {
            "/predict": self._posted("/predict", {"rows": rows.history, **future}),
            "/invocations": self._posted(
                "/invocations", {"dataframe_records": rows.history, "params": future}
            ),
            "predict.rows": self._from_file(rows),
        }
        return (
            outcomes
            if self.functions is None
            else {**outcomes, "pyfunc": self._from_functions(rows, self.functions)}
        )

    def _from_functions(
        self, rows: Rows, functions: Callable[[pd.DataFrame], pd.DataFrame]
    ) -> Outcome:
        future = rows.future if self.schema.known else []
        ahead = [{**rows.history[-1], **dict.fromkeys(self.schema.past), **row} for row in future]
        records = [{**dict.fromkeys(self.schema.known), **row} for row in rows.history] + ahead
        frame = pd.DataFrame(
            {name: pd.Series([row[name] for row in records], dtype=object) for name in records[0]}
        )
        for column in (*self.schema.past, *self.schema.known):
            frame[column] = frame[column].astype(float)
        try:
            answer = functions(
                frame[[*self.schema.static, TIME, *self.schema.past, *self.schema.known]]
            )
        except DataError as error:
            return Outcome(REFUSED, detail=str(error))
        return _outcome(answer.to_numpy(dtype=np.float64)[-1])

    def _from_file(self, rows: Rows) -> Outcome:
        schema = self.schema
        with tempfile.TemporaryDirectory() as folder:
            history, future = Path(folder) / "rows.parquet", Path(folder) / "future.parquet"
            _write(history, rows.history, schema.static, schema.past)
            if schema.known:
                _write(future, rows.future, schema.entity_keys, schema.known)
            try:
                return self._from_table(RowsFile(history, schema, future if schema.known else None))
            except DataError as error:
                return Outcome(REFUSED, detail=str(error))

    # What they answer.

    def _from_table(self, windows: WindowSource) -> Outcome:
        """The last window of those that are scored to a file, as ``run=predict`` does it."""
        compute: Compute = self.run.make("compute")
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "forecast.parquet"
            score(self.pair, windows, 100, path, {}, compute, lambda _: None)
            table = pd.read_parquet(path)
        kinds = ["mean", *(f"q{q:g}" for q in self.schema.quantiles)]
        last = (
            table[table["origin"].isna()]
            if table["origin"].isna().all()
            else table[table["origin"] == table["origin"].max()]
        )
        if last["status"].iloc[0] != OK:
            return Outcome(last["status"].iloc[0])
        per_target = [
            last[last["target"] == target].sort_values("step")[kinds].to_numpy()
            for target in self.schema.targets
        ]
        return _outcome(np.stack(per_target, axis=1))

    def _posted(self, path: str, body: Any) -> Outcome:
        answer = self.client.post(path, json=body)
        if answer.status_code == 422:
            return Outcome(REFUSED, detail=answer.text)
        if answer.status_code != 200:
            return Outcome(f"HTTP {answer.status_code}", detail=answer.text)
        content = answer.json()
        return (
            self._of_record(content["predictions"][-1])
            if "predictions" in content
            else self._of_entry(content["forecasts"][-1])
        )

    def _of_entry(self, entry: dict[str, Any]) -> Outcome:
        if entry["status"] != OK:
            return Outcome(entry["status"], detail=str(entry.get("detail")))
        lines = [
            [target["mean"], *target["quantiles"].values()] for target in entry["targets"].values()
        ]
        return _outcome(
            np.array(lines, dtype=np.float64).transpose(2, 0, 1), str(entry.get("detail", ""))
        )

    def _of_record(self, record: dict[str, Any]) -> Outcome:
        if record["status"] != OK:
            return Outcome(record["status"], detail=str(record.get("detail")))
        kinds = ["mean", *(f"q{q:g}" for q in self.schema.quantiles)]
        names = [
            f"{t}__{kind}__{h}"
            for h in range(1, self.schema.horizon + 1)
            for t in self.schema.targets
            for kind in kinds
        ]
        return _outcome(np.array([record[name] for name in names], dtype=np.float64))


def _outcome(values: Float64, detail: str = "") -> Outcome:
    """``[H, T, 1 + Q]``, in whatever shape; without a forecast all of it is NaN."""
    return (
        Outcome(NONE)
        if np.isnan(values).all()
        else Outcome(OK, np.ascontiguousarray(values, dtype=np.float64).tobytes(), detail)
    )


def _write(
    path: Path, rows: Sequence[Mapping[str, Any]], texts: Sequence[str], numbers: Sequence[str]
) -> None:
    """A Parquet file of rows as ``predict.rows`` takes them."""
    columns: dict[str, pa.Array] = {
        name: pa.array([row[name] for row in rows], pa.string()) for name in texts
    }
    times = [pd.Timestamp(row[TIME]).to_pydatetime() for row in rows]
    columns[TIME] = pa.array(times, pa.timestamp("us", tz="UTC"))
    pq.write_table(
        pa.table(
            {
                **columns,
                **{name: pa.array([row[name] for row in rows], pa.float64()) for name in numbers},
            }
        ),
        path,
    )
