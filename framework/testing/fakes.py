"""Deterministic components that need nothing but numpy: a preprocessor, a model, a retrieval
strategy, and pairs made of them.

Offered like any plugin's: ``load_plugins(extra=[fakes])``, then ``preprocessor=fake``,
``model=fake``, ``retrieval=fake``.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
import zlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
import pyarrow as pa

from framework.data.arrays import Float32, Float64, Objects, Times
from framework.data.context import Context
from framework.data.schema import Schema
from framework.data.vocabulary import (
    MISSING_FEATURE,
    OK,
    SHORT_HISTORY,
    STALE,
    TIME,
    UNKNOWN_ENTITY,
)
from framework.data.windows import Windows, WindowSet
from framework.errors import DataError
from framework.features.views import FeatureSet
from framework.interfaces.model import Model
from framework.interfaces.plugin import Component, hookimpl
from framework.interfaces.preprocessor import Preprocessor
from framework.interfaces.retrieval import Needs, Progress, RetrievalStrategy
from framework.options import Options
from framework.pairs.golden import Golden
from framework.pairs.pair import Pair

#: A static value that makes :class:`FakeModel` take half a second, one that
#: :class:`FakePreprocessor` cannot transform, and one that ends the process of :class:`FakeModel`,
#: or of :class:`FakeRetrieval` where it is the first key.
SLOW, BROKEN, DEADLY = "SLOW", "BROKEN", "DEADLY"
#: What begins so and goes on with a path keeps :class:`FakePreprocessor` and
#: :class:`FakeRetrieval` until there is a file.
WAIT = "WAIT "
_CODES = {SLOW: -1.0, DEADLY: -2.0}


def _awaited(texts: Sequence[str]) -> list[Path]:
    return [
        Path(text.removeprefix(WAIT))
        for text in texts
        if text is not None and text.startswith(WAIT)
    ]


class FakePreprocessor(Preprocessor):
    """Centres past and known columns on their training means; texts become a number in [0, 1) made
    of their bytes.
    """

    def fit(
        self, past: Float64, known: Float64, static: Objects, times: Times, schema: Schema
    ) -> None:
        self.centre(
            np.nanmean(past, axis=0),
            known.mean(axis=0) if len(schema.known) else np.zeros(0),
            schema,
        )

    def centre(self, past: Float64, known: Float64, schema: Schema) -> None:
        """Remember what rows are centred by.

        Args:
            past: ``[r, P]``.
            known: ``[r, K]``.
            schema: Names the columns.
        """
        self.past_mean, self.known_mean = past, known
        self.past_names, self.future_names, self.static_names = (
            schema.past,
            (*schema.known, "hour"),
            schema.static,
        )

    def past(self, values: Float64, times: Times, static: Objects | None = None) -> Float32:
        return (values - self.past_mean).astype(np.float32)

    def future(self, values: Float64, times: Times, static: Objects | None = None) -> Float32:
        hour = times.astype("M8[h]").astype(np.int64) % 24
        return np.concatenate([values - self.known_mean, hour[:, None]], axis=1).astype(np.float32)

    def static(self, values: Objects) -> Float32:
        if (values == BROKEN).any():
            raise DataError(f"static value '{BROKEN}' cannot be transformed.")
        for path in _awaited(values.ravel().tolist()):
            while not path.exists():
                time.sleep(0.01)
        codes = [
            [_CODES[v] if v in _CODES else zlib.crc32(str(v).encode()) % 1009 / 1009 for v in row]
            for row in values
        ]
        return np.array(codes, dtype=np.float32).reshape(values.shape)

    def save(self, directory: Path) -> None:
        np.savez(directory / "means.npz", past=self.past_mean, known=self.known_mean)
        names = {"past": self.past_names, "future": self.future_names, "static": self.static_names}
        (directory / "names.json").write_text(json.dumps(names))

    @classmethod
    def load(cls, directory: Path) -> Self:
        preprocessor = cls(Options())
        with np.load(directory / "means.npz", allow_pickle=False) as means:
            preprocessor.past_mean, preprocessor.known_mean = means["past"], means["known"]
        names = json.loads((directory / "names.json").read_text())
        preprocessor.past_names, preprocessor.future_names, preprocessor.static_names = (
            tuple(names[k]) for k in ("past", "future", "static")
        )
        return preprocessor


class FakeModel(Model):
    """The newest target, moved by a sum over the features that grows with the step; a null feature
    counts as 1/3.
    """

    def context_length(self, schema_hint: int) -> int:
        return 1

    def fit(
        self, train: WindowSet, validation: WindowSet | None, schema: Schema, seed: int
    ) -> None:
        self.shape(schema)

    def shape(self, schema: Schema) -> None:
        """Remember what a forecast looks like.

        Args:
            schema: Says how many steps and quantiles.
        """
        self.horizon, self.quantiles = schema.horizon, schema.quantiles

    @property
    def supports_quantiles(self) -> bool:
        return True

    def predict(self, windows: Windows) -> Float64:
        if (windows.static == _CODES[DEADLY]).any():
            os.kill(os.getpid(), signal.SIGKILL)
        if (windows.static == _CODES[SLOW]).any():
            time.sleep(0.5)
        n = len(windows)
        pull = np.zeros(n)
        for block in (windows.past.reshape(n, -1), windows.future.reshape(n, -1), windows.static):
            for column in range(block.shape[1]):
                pull = pull + np.nan_to_num(block[:, column].astype(np.float64), nan=1 / 3) / (
                    7 + column
                )
        last = np.nan_to_num(windows.target_past[:, -1, :], nan=1 / 3)
        steps = np.arange(1, self.horizon + 1) / self.horizon
        mean = last[:, None, :] + steps[None, :, None] * pull[:, None, None]
        spread = np.array([0.0, *(q - 0.5 for q in self.quantiles)])
        return np.asarray(mean[..., None] + spread)

    def save(self, directory: Path) -> None:
        (directory / "model.json").write_text(
            json.dumps({"horizon": self.horizon, "quantiles": self.quantiles})
        )

    @classmethod
    def load(cls, directory: Path) -> Self:
        model, state = cls(Options()), json.loads((directory / "model.json").read_text())
        model.horizon, model.quantiles = state["horizon"], tuple(state["quantiles"])
        return model


class FakeRetrieval(RetrievalStrategy):
    """A store in which an entity's first key decides: ``nowhere`` is unknown, ``old``, ``holed``
    and ``young`` have the other statuses.

    The entity ``down`` makes the whole store unreachable; every other one has the window that its
    text gives. Stored rows: those of :func:`make_history`.
    """

    _STATUS = {  # noqa: RUF012
        "nowhere": UNKNOWN_ENTITY,
        "old": STALE,
        "holed": MISSING_FEATURE,
        "young": SHORT_HISTORY,
    }

    def ingest(self, features: FeatureSet, view: str, rows: pd.DataFrame) -> int:
        return len(rows)

    def stored_rows(
        self, features: FeatureSet, view: str, series: pd.DataFrame | None = None
    ) -> pd.DataFrame:
        keys, rows = list(features.views[view].entity), make_history()
        rows = rows[[*features.views[view].identity(), *features.views[view].feature_names()]]
        return rows if series is None else rows.merge(series[keys].drop_duplicates(), on=keys)

    def has_rows(self, features: FeatureSet) -> bool:
        return True

    def training_rows(
        self, features: FeatureSet, columns: Sequence[str], known_at: datetime | None = None
    ) -> pd.DataFrame:
        return pd.DataFrame(columns=list(columns))

    def view_rows(
        self,
        features: FeatureSet,
        view: str,
        columns: Sequence[str],
        known_at: datetime | None = None,
    ) -> pa.Table:
        rows = make_history()[[*features.views[view].entity, TIME, *columns]]
        return pa.Table.from_pandas(rows, preserve_index=False)

    def materialize(
        self,
        features: FeatureSet,
        start: datetime | None,
        end: datetime | None,
        progress: Progress,
        *,
        views: Sequence[str] | None = None,
        overlap: timedelta | None = None,
        needs: Needs | None = None,
    ) -> dict[str, int]:
        return {}

    async def context(
        self,
        features: FeatureSet,
        schema: Schema,
        entities: Sequence[dict[str, str]],
        at: datetime | None,
    ) -> Context:
        first = [entity[schema.entity_keys[0]] for entity in entities]
        if "down" in first:
            raise DataError("the fake store cannot be reached.")
        if DEADLY in first:
            os.kill(os.getpid(), signal.SIGKILL)
        for path in _awaited(first):
            while not path.exists():
                await asyncio.sleep(0.01)
        origin = np.datetime64(at.replace(tzinfo=None) if at else "2024-03-01T00:00:00", "us")
        status = [self._STATUS.get(name, OK) for name in first]
        detail = [None if s == OK else f"{s} in the fake store" for s in status]
        windows = [self._window(schema, entity, origin) for entity in entities]
        past, known = (
            np.concatenate([getattr(w, part) for w in windows]) for part in ("past", "known")
        )
        return Context(
            np.full(len(windows), origin),
            past,
            known,
            np.concatenate([w.static for w in windows]),
            status,
            detail,
        )

    def _window(self, schema: Schema, entity: dict[str, str], origin: np.datetime64) -> Context:
        static = np.array([[entity.get(name, name) for name in schema.static]], dtype=object)
        return make_context(schema, static, origin, zlib.crc32("".join(static[0]).encode()))


@hookimpl
def components() -> list[Component]:
    """Offer the fakes.

    Returns:
        A preprocessor, a model and a retrieval strategy, each named ``fake``.
    """
    return [
        Component("preprocessor", "fake", "framework.testing.fakes:FakePreprocessor"),
        Component("model", "fake", "framework.testing.fakes:FakeModel"),
        Component("retrieval", "fake", "framework.testing.fakes:FakeRetrieval"),
    ]


def make_schema(**changed: Any) -> Schema:
    """Make the schema of the fakes.

    Args:
        changed: Fields that differ.

    Returns:
        The schema.
    """
    fields: dict[str, Any] = {
        "name": "fake",
        "entity_keys": ("airport", "carrier"),
        "frequency": "D",
        "targets": ("departures", "delay"),
        "past": ("departures", "delay", "temp", "wind gust"),
        "nullable": ("wind gust",),
        "known": (),
        "static": ("airport", "carrier", "season"),
        "horizon": 3,
        "context_length": 1,
        "quantiles": (0.1, 0.9),
    }
    return Schema(**{**fields, **changed})


#: Entities that the fake store has rows of.
STORED = (("EWR", "UA"), ("JFK", "AA"), ("JFK", "DL"))


def make_history() -> pd.DataFrame:
    """Make rows of :data:`STORED`, daily from 2024-01-01 to 2024-03-03, two days after the origin;
    the row of 2024-02-10 is missing.

    Returns:
        A long table.
    """
    days = pd.date_range("2024-01-01", "2024-03-03", freq="D", tz="UTC")
    frames = []
    for i, (airport, carrier) in enumerate(STORED):
        wave = np.sin(np.arange(len(days)) * 2 * np.pi / 7)
        columns = {
            "departures": 20 + 5 * i + 3 * wave,
            "delay": 4 - wave,
            "temp": 8 + wave,
            "wind gust": 1.5,
            "season": "winter",
        }
        frames.append(
            pd.DataFrame(
                {"airport": airport, "carrier": carrier, "event_timestamp": days, **columns}
            )
        )
    rows = pd.concat(frames, ignore_index=True)
    return rows[rows["event_timestamp"] != pd.Timestamp("2024-02-10", tz="UTC")].reset_index(
        drop=True
    )


def make_context(schema: Schema, static: Objects, origin: np.datetime64, seed: int) -> Context:
    """Make windows of random numbers; nullable columns are null in some rows.

    Args:
        schema: The columns and lengths of a window.
        static: ``[n, S]``, the static columns.
        origin: The origin of all windows (UTC).
        seed: The seed of the numbers.

    Returns:
        ``n`` windows.
    """
    generator, n = np.random.default_rng(seed), len(static)
    past = generator.normal(10, 3, (n, schema.context_length, len(schema.past)))
    for column in schema.nullable:
        past[generator.random((n, schema.context_length)) < 0.3, schema.past.index(column)] = np.nan
    known = generator.normal(0, 1, (n, schema.horizon, len(schema.known)))
    return Context(np.full(n, origin, "M8[us]"), past, known, static, [OK] * n, [None] * n)


def make_pair(
    schema: Schema | None = None, windows: int = 4, shift: float = 0.0
) -> tuple[Pair, Golden]:
    """Make a pair of fakes.

    Args:
        schema: Its schema; None: that of :func:`make_schema`.
        windows: How many windows its golden batch has.
        shift: Pairs of another shift give other forecasts.

    Returns:
        The pair and its golden batch.
    """
    schema = schema or make_schema()
    static = np.array(
        [[f"{name}-{i}" for name in schema.static] for i in range(windows)], dtype=object
    )
    context = make_context(schema, static, np.datetime64("2024-03-01", "us"), seed=7)
    preprocessor, model = FakePreprocessor(Options()), FakeModel(Options())
    preprocessor.centre(
        np.linspace(1, 2, len(schema.past)) + shift, np.linspace(0, 1, len(schema.known)), schema
    )
    model.shape(schema)
    pair = Pair(schema, preprocessor, model)
    return pair, Golden(context, pair.forecast(context).values, 1e-6)
