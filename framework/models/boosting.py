"""Direct multi-step forecasts by gradient boosting: boosters for each target learn all steps, the
step being a feature.

What the libraries share is here; a plugin says how its library holds rows, trains, stores and
answers.
"""

from __future__ import annotations

import json
import logging
import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar

import numpy as np

from framework.data.arrays import Float32, Float64
from framework.data.schema import Schema
from framework.data.windows import Windows, WindowSet
from framework.errors import ConfigError, DataError
from framework.interfaces.model import FitSize, Model
from framework.models.openmp import thread_limit
from framework.models.options import BoostingOptions
from framework.models.progress import begin, own_part
from framework.models.target_transforms import TargetTransform
from framework.models.window_sets import drawn, has_label, lowest_label, pieces_of, strided
from framework.models.window_table import Tabular

log = logging.getLogger(__name__)

Data = TypeVar("Data")
Booster = TypeVar("Booster")

#: Above so many rows a prediction is shared among threads; below, starting them costs more than it
#: saves.
MANY_ROWS = 4096
#: Up to so many cells in the table of a target, threads wait for each other about as long as they
#: work: a booster is trained by one, and targets are trained beside each other.
FEW_CELLS = 4_000_000


@dataclass(frozen=True, slots=True)
class Output:
    """One booster of a target: the stem of its file's name, and the library's parameters of its
    loss.
    """

    name: str
    params: dict[str, Any]


class BoostedModel(Model, Generic[Data, Booster]):
    """The mean by an objective, quantiles by the pinball loss; quantiles are sorted, so they never
    cross.

    Saved as ``{output}_{t}.{suffix}`` for each target ``t``, and ``model.json``. One process with
    one number of threads gives the same boosters for the same seed.
    """

    options_type: ClassVar[type[BoostingOptions]]
    suffix: ClassVar[str]
    #: Objectives with labels from 0 on; the bool says whether 0 itself is allowed.
    bounded: ClassVar[Mapping[str, bool]]
    #: The most bytes that a table takes while the library reads it, beside its bins.
    most_read: ClassVar[float] = math.inf
    options: BoostingOptions
    _notes: tuple[str, ...] = ()
    _beside = 1

    @abstractmethod
    def objective(self, target: str) -> str:
        """Name the objective of a target's mean.

        Args:
            target: The target.

        Returns:
            The objective, as the library calls it.
        """

    @abstractmethod
    def outputs(self, target: str, quantiles: tuple[float, ...]) -> list[Output]:
        """List the boosters of a target.

        Args:
            target: The target.
            quantiles: The quantiles of the schema.

        Returns:
            The mean's booster, then those of the quantiles.
        """

    @abstractmethod
    def rows(
        self, table: Tabular, windows: WindowSet, target: int, seed: int, reference: Data | None
    ) -> Data:
        """Make the library's data of one target.

        Args:
            table: How windows become rows.
            windows: The windows.
            target: The number of the target.
            seed: The seed of everything random.
            reference: The training data, when these rows validate.

        Returns:
            The rows and labels, in the library's own form.
        """

    @abstractmethod
    def boost(
        self, params: dict[str, Any], rows: Data, rounds: int, validation: Data | None, seed: int
    ) -> tuple[bytes, int]:
        """Train one booster.

        Args:
            params: The library's parameters.
            rows: The training data.
            rounds: How many rounds, at most.
            validation: The data that early stopping looks at; None: every round is kept.
            seed: The seed of everything random.

        Returns:
            The booster's bytes and its rounds; with ``validation`` those of the best round.
        """

    @abstractmethod
    def read(self, raw: bytes) -> Booster:
        """Read a booster, ready to answer.

        Args:
            raw: The bytes of :meth:`boost`.

        Returns:
            The booster.
        """

    @abstractmethod
    def answer(self, booster: Booster, rows: Float32) -> Float64:
        """Ask a booster, by one thread up to :data:`MANY_ROWS` rows.

        Args:
            booster: The booster.
            rows: ``[rows, columns]`` of :meth:`Tabular.features`.

        Returns:
            ``[rows]`` or ``[rows, outputs]``.
        """

    def answers(self, boosters: Sequence[Booster], rows: Float32) -> list[Float64]:
        """Ask several boosters about the same rows.

        Args:
            boosters: The boosters.
            rows: As those of :meth:`answer`.

        Returns:
            What :meth:`answer` gives, for each of them.
        """
        return [self.answer(booster, rows) for booster in boosters]

    @property
    def supports_quantiles(self) -> bool:
        return True

    @property
    def forecasts_cold(self) -> bool:
        return True

    @property
    @abstractmethod
    def table_bytes(self) -> tuple[int, float, float]:
        """Bytes that a table takes, as measured: whatever its size, of each cell while the library
        reads it, and of each cell for as long as it keeps it.
        """

    @property
    def file_bytes(self) -> tuple[float, float]:
        """Bytes that a table takes in files, as measured: of each cell, and of each row."""
        return 0.0, 0.0

    @property
    def origin_stride(self) -> int | None:
        return self.options.origin_stride

    @property
    def most_windows(self) -> int | None:
        return self.options.most_windows

    @property
    def notes(self) -> tuple[str, ...]:
        return self._notes

    def memory(self, size: FitSize, stride: int | None = None) -> int | None:
        """Count the cells of the tables that exist at the same time: while one is made, and as they
        are kept for training. Targets follow each other.
        """
        rows, columns = self._tables(size, stride)
        cells = [count * columns for count in rows]
        outputs = max(1, size.quantiles)
        fixed, reading, keeping = self.table_bytes
        cell_bytes = min(reading * max(cells), self.most_read) + keeping * sum(cells)
        beside = self._targets_beside(max(cells), size.targets)
        return int(beside * (fixed + cell_bytes + sum(rows) * (16 + 12 * outputs)))

    def disk(self, size: FitSize) -> int:
        cell, row = self.file_bytes
        rows, columns = self._tables(size, None)
        beside = self._targets_beside(max(rows) * columns, size.targets)
        return int(beside * sum(rows) * (columns * cell + row))

    def _tables(self, size: FitSize, stride: int | None) -> tuple[list[int], int]:
        """Count the rows of each table of a target that exists at one time, and their columns."""
        options = self.options
        columns = (
            size.context_length * size.past
            + size.static
            + size.future
            + len(options.seasonal_lags) * size.targets
            + (size.horizon > 1)
        )
        stride = stride or options.origin_stride
        most = options.most_windows or size.windows + size.validation
        training = min(most, -(-size.windows // stride))
        stops = bool(size.validation) and options.early_stopping_rounds is not None
        tables = [training, *[size.validation] * stops]
        if size.validation and options.refit:
            all_windows = min(most, training + -(-size.validation // stride))
            tables = [*tables, all_windows] if stops else [all_windows]
        return [size.horizon * windows for windows in tables], columns

    def fit(
        self, train: WindowSet, validation: WindowSet | None, schema: Schema, seed: int
    ) -> None:
        self._horizon, self._quantiles, self._targets = (
            schema.horizon,
            schema.quantiles,
            schema.targets,
        )
        self._table, self._notes = Tabular.plan(train.arrays, schema, self.options), ()
        targets = range(len(schema.targets))
        for t in targets:
            self._check_labels(train, t)
        self._beside = self._targets_beside(self._cells(train, seed), len(targets))
        if self._beside == 1:
            fits = [self._fit_target(train, validation, t, seed) for t in targets]
        else:
            with ThreadPoolExecutor(self._beside, thread_name_prefix="target") as threads:
                futures = [
                    threads.submit(copy_context().run, self._fit_beside, train, validation, t, seed)
                    for t in targets
                ]
                fits = [future.result() for future in futures]
        for t, (_, transform) in enumerate(fits):
            self._table = self._table.with_transform(t, transform)
        self._open([raw for raw, _ in fits])

    @property
    def trains_in_threads(self) -> bool:
        """Say whether boosters of unlike data may be trained in several threads of a process."""
        return False

    @property
    def training_threads(self) -> int | None:
        """The threads by which one booster is trained; None: all."""
        return 1 if self._beside > 1 else self.options.n_jobs

    def _targets_beside(self, cells: int, targets: int) -> int:
        """Count the targets that are trained at the same time, for a table of so many cells."""
        if not self.trains_in_threads or cells > FEW_CELLS:
            return 1
        return min(self.options.n_jobs or thread_limit(), targets)

    def _cells(self, train: WindowSet, seed: int) -> int:
        windows = self._learned(train, seed)
        columns = self._table.features(windows.gather(0, 1)).shape[1] if len(windows) else 0
        return len(windows) * self._horizon * columns

    def _fit_beside(
        self, train: WindowSet, validation: WindowSet | None, target: int, seed: int
    ) -> tuple[list[bytes], TargetTransform]:
        own_part()
        return self._fit_target(train, validation, target, seed)

    def check(self, schema: Schema, past_names: tuple[str, ...]) -> None:
        """Raise :class:`ConfigError` for an option that names a target or a feature which is not
        there.
        """
        Tabular.check(past_names, schema, self.options)

    def _check_labels(self, train: WindowSet, target: int) -> None:
        name, who = self._targets[target], type(self).__name__.lower()
        objective, lowest = self.objective(name), lowest_label(train, target, who, name)
        if objective not in self.bounded:
            return
        if name in self.options.difference:
            raise ConfigError(
                f"model.difference: '{name}' has differences below 0, objective {objective} "
                "cannot learn them; choose another."
            )
        if lowest < 0 or (lowest == 0 and not self.bounded[objective]):
            bound = "0 or more" if self.bounded[objective] else "more than 0"
            raise DataError(
                f"{who}: objective {objective} needs labels of {bound}, target '{name}' "
                f"goes down to {lowest:g}; choose another objective."
            )

    def _fit_target(
        self, train: WindowSet, validation: WindowSet | None, target: int, seed: int
    ) -> tuple[list[bytes], TargetTransform]:
        """Train the boosters of one target. Rows are made once and shared by the mean and the
        quantiles.

        Returns:
            The boosters, and the transform of their forecasts.
        """
        options, table = self.options, self._table
        training = self._learned(train, seed)
        later = validation if validation is not None and has_label(validation, target) else None
        stopped, all_rows = (
            later is not None and options.early_stopping_rounds is not None,
            later is not None and options.refit,
        )
        if later is not None and all_rows and not stopped and not table.targets[target].log:
            training, all_rows = (
                self._learned(train.joined(later), seed),
                False,
            )  # nothing is to be found out before the refit
        rows = self.rows(table, training, target, seed, None)
        validation_data = (
            self.rows(table, later, target, seed, rows) if later is not None and stopped else None
        )
        everything = None
        if later is not None and all_rows:
            everything = self.rows(
                table, self._learned(train.joined(later), seed), target, seed, None
            )
        boosters: list[bytes] = []
        transform = table.targets[target]
        for output in self.outputs(self._targets[target], self._quantiles):
            begin(f"target {self._targets[target]}, {output.name}")
            raw, rounds = self.boost(
                output.params, rows, options.n_estimators, validation_data, seed
            )
            if not boosters and transform.log:
                measured = training if later is None else later
                transform = transform.with_errors(self._errors(raw, measured, target))
            if validation_data is not None:
                log.info(
                    "target %s, %s: %d of %d rounds",
                    self._targets[target],
                    output.name,
                    rounds,
                    options.n_estimators,
                )
            if everything is not None:
                begin(f"target {self._targets[target]}, {output.name}, on all rows")
                raw, _ = self.boost(output.params, everything, rounds, None, seed)
            boosters.append(raw)
        return boosters, transform

    def _learned(self, windows: WindowSet, seed: int) -> WindowSet:
        """The windows that the options leave to learn from."""
        thinned = strided(windows, self.options.origin_stride)
        learned_windows = drawn(thinned, self.options.most_windows, seed)
        if len(learned_windows) < len(thinned):
            self._notes = (
                f"model.most_windows: each fit learns from {len(learned_windows):,} windows, drawn "
                f"at random with seed {seed}",
            )
        return learned_windows

    def _errors(self, raw: bytes, windows: WindowSet, target: int) -> Float64:
        """Actual less forecast as learned, of one target's mean. Validation windows give those of
        unseen labels.
        """
        booster, parts = self.read(raw), []
        for piece in windows.batches(pieces_of(windows)):
            rows, labels = self._table.known_rows(piece, target)
            parts.append(labels - self.answer(booster, rows).reshape(len(rows)))
        return np.concatenate(parts)

    def _open(self, raw: list[list[bytes]]) -> None:
        """Boosters from the bytes that are saved, so that saving changes no forecast."""
        self._raw = raw
        self._boosters = [[self.read(one) for one in row] for row in raw]

    def predict(self, windows: Windows) -> Float64:
        rows, n = self._table.features(windows), len(windows)
        out = np.empty((n, self._horizon, len(self._boosters), 1 + len(self._quantiles)))
        answers = iter(self.answers([b for boosters in self._boosters for b in boosters], rows))
        for t, (boosters, transform) in enumerate(
            zip(self._boosters, self._table.targets, strict=True)
        ):
            parts = [np.asarray(next(answers)).reshape(n, self._horizon, -1) for _ in boosters]
            values = np.concatenate(parts, axis=2, dtype=np.float64)
            values[..., 1:].sort(axis=-1)
            out[:, :, t] = transform.back(values, windows)
        return out

    def save(self, directory: Path) -> None:
        body = {
            "options": self.options.model_dump(mode="json"),
            "horizon": self._horizon,
            "quantiles": self._quantiles,
            "targets": self._targets,
            "table": self._table.to_json(),
        }
        (directory / "model.json").write_text(json.dumps(body, indent=1))
        for t, (name, raws) in enumerate(zip(self._targets, self._raw, strict=True)):
            for path, raw in zip(self._files(directory, t, name), raws, strict=True):
                path.write_bytes(raw)

    def _files(self, directory: Path, target: int, name: str) -> Sequence[Path]:
        return [
            directory / f"{output.name}_{target}.{self.suffix}"
            for output in self.outputs(name, self._quantiles)
        ]

    @classmethod
    def load(cls, directory: Path) -> Self:
        body = json.loads((directory / "model.json").read_text())
        model = cls(cls.options_type.model_validate(body["options"]))
        model._horizon, model._quantiles, model._targets = (
            body["horizon"],
            tuple(body["quantiles"]),
            tuple(body["targets"]),
        )
        model._table = Tabular.from_json(body["table"])
        model._open(
            [
                [path.read_bytes() for path in model._files(directory, t, name)]
                for t, name in enumerate(model._targets)
            ]
        )
        return model
