"""``model=ensemble``: several models that are fitted, stored and loaded as one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np

from framework.data.arrays import Float64, Rows
from framework.data.frequency import Frequency
from framework.data.schema import Schema
from framework.data.windows import PanelArrays, Windows, WindowSet
from framework.errors import DataError
from framework.interfaces.model import Covariates, FitSize, Model
from framework.options import validate
from framework.pairs.fit import fit_model
from framework.plugins.builtin import EnsembleOptions
from framework.plugins.components import installed
from framework.plugins.member_weights import MemberWeights, learn_weights

_FILE, _MEMBERS, _WEIGHTS = "ensemble.json", "members", "weights.npz"
#: Origins that weights are learned from, a horizon apart; half of the history lies before them.
ORIGINS = 4
#: Windows that are forecast together.
_PIECE = 4_096


class Ensemble(Model):
    """Each member sees the end of the window that it needs; means and quantiles are averaged.

    With ``weights: by_series`` the members are fitted once more before, on what was known up to
    four horizons before the end, and their errors since then are what each series' weights come
    from.

    It has quantiles where every member has them. Members that need a long history make the ensemble
    need it. A member that cannot be fitted leaves, with a note. Saved as ``members/NAME/`` in each
    member's own format, ``ensemble.json`` and ``weights.npz``.
    """

    options: EnsembleOptions
    _weights: MemberWeights | None = None
    _notes: tuple[str, ...] = ()

    @cached_property
    def _members(self) -> dict[str, Model]:
        return self._made()

    def _made(self) -> dict[str, Model]:
        members = {}
        for name, node in self.options.members.items():
            component = installed().find("model", node["name"])
            values = {key: value for key, value in node.items() if key != "name"}
            options = validate(component.options, values, f"model.members.{name}")
            members[name] = installed().make("model", node["name"], options)
        return members

    @property
    def requirements(self) -> tuple[str, ...]:  # type: ignore[override]
        """The requirements of all members, each once."""
        names = [one for member in self._members.values() for one in member.requirements]
        return tuple(dict.fromkeys(names))

    @property
    def parts(self) -> tuple[Model, ...]:
        return tuple(self._members.values())

    @property
    def notes(self) -> tuple[str, ...]:
        return self._notes

    @property
    def by_series(self) -> bool:
        return self.options.weights == "by_series"

    def context_length(self, schema_hint: int) -> int:
        return max(member.context_length(schema_hint) for member in self._members.values())

    def least_context(self, schema_hint: int) -> int:
        """The most that a member needs: each sees the end of the window alone."""
        return max(member.least_context(schema_hint) for member in self._members.values())

    @property
    def supports_quantiles(self) -> bool:
        return all(member.supports_quantiles for member in self._members.values())

    @property
    def covariates(self) -> frozenset[Covariates]:
        return frozenset().union(*(member.covariates for member in self._members.values()))

    def fit(
        self, train: WindowSet, validation: WindowSet | None, schema: Schema, seed: int
    ) -> None:
        self._lengths = {
            name: member.context_length(self.options.season_length)
            for name, member in self._members.items()
        }
        notes: list[str] = []
        for name, member, length in list(self._each()):
            sets = [
                None
                if each is None
                else replace(each, context_length=min(length, each.context_length))
                for each in (train, validation)
            ]
            assert sets[0] is not None
            try:
                member.fit(sets[0], sets[1], self._schema_of(member, length, schema), seed)
            except DataError as error:
                notes.append(self._leave(name, error))
        if self.by_series:
            self._weights = self._learned(train, validation, schema, seed, notes)
        self._notes = tuple(notes)

    def _schema_of(self, member: Model, length: int, schema: Schema) -> Schema:
        """The schema of a member: it needs fewer steps than the ensemble, or as many."""
        least = member.least_context(self.options.season_length)
        own = {"context_length": length, "least_context": least if least < length else None}
        return schema.model_copy(update=own)

    def _leave(self, name: str, error: DataError) -> str:
        """Go on without a member. Raises :class:`DataError` when it was the last."""
        del self._members[name], self._lengths[name]
        if not self._members:
            raise DataError(f"model.members.{name}: {error}") from error
        return f"model.members.{name} leaves the ensemble: {error}"

    def _learned(
        self,
        train: WindowSet,
        validation: WindowSet | None,
        schema: Schema,
        seed: int,
        notes: list[str],
    ) -> MemberWeights:
        """Judge members that know nothing of the last horizons, and weigh them."""
        arrays = train.arrays if validation is None else validation.arrays
        frequency = Frequency.parse(schema.frequency)
        steps = 0
        if validation is not None:
            ends = [np.array([a.times.max()]) for a in (train.arrays, arrays)]
            steps = int(frequency.steps_between(*ends)[0])
        members = {name: m for name, m in self._made().items() if name in self._members}
        count = min(ORIGINS, int(np.median(np.diff(arrays.offsets))) // 2 // schema.horizon)
        back = -schema.horizon * np.arange(count, 0, -1)
        origins = frequency.shift(np.full(max(count, 0), arrays.times.max()), back)
        errors, series = [], []
        if count:
            before = arrays.until(origins[0])
            for name, member in list(members.items()):
                own = self._schema_of(member, self._lengths[name], schema)
                try:
                    fit_model(before, own, member, steps, seed)
                except DataError as error:
                    notes.append(self._leave(name, error))
                    del members[name]
            rows = _rows_at(arrays, origins, schema.context_length)
            windows = WindowSet(arrays, rows, schema.context_length, schema.horizon)
            for part in windows.batches(_PIECE):
                errors.append(_errors(part, [self._own(m, n, part) for n, m in members.items()]))
            series = (np.searchsorted(arrays.offsets, rows, side="right") - 1).tolist()
        if not errors:
            notes.append("model.weights=by_series: the history is too short, weights are equal")
            equal = np.full((len(schema.targets), len(members)), 1 / len(members))
            return MemberWeights(equal, {})
        names = arrays.entities
        panel, own_weights = learn_weights(
            np.concatenate(errors), np.array(series, dtype=np.int64), len(names)
        )
        keys = [tuple(map(str, entity)) for entity in names]
        return MemberWeights(panel, dict(zip(keys, own_weights, strict=True)))

    def _each(self) -> Iterator[tuple[str, Model, int]]:
        for name, member in self._members.items():
            yield name, member, self._lengths[name]

    def _own(self, member: Model, name: str, windows: Windows) -> Float64:
        """Ask a member, with the end of the windows that it needs."""
        length = self._lengths[name]
        own = replace(
            windows,
            target_past=windows.target_past[:, -length:],
            past=windows.past[:, -length:],
            target=None,
        )
        return np.asarray(member.predict(own), dtype=np.float64)

    def predict(self, windows: Windows) -> Float64:
        if self._weights is None:
            values = [self._own(member, name, windows) for name, member, _ in self._each()]
            return np.asarray(sum(values[1:], values[0]) / len(values))
        if windows.entities is None:
            raise DataError("model.weights=by_series: windows without entities have no weights.")
        weights = self._weights.of(windows.entities)  # [n, T, M]
        total: Any = 0.0
        for place, (name, member, _) in enumerate(self._each()):
            total = total + self._own(member, name, windows) * weights[:, None, :, place, None]
        return np.asarray(total)

    def memory(self, size: FitSize, stride: int | None = None) -> int | None:
        """The most that a member takes, for they are fitted one after another, each to its own
        windows.
        """
        return max(
            (needs for m, own in self._sizes(size) if (needs := m.memory(own)) is not None),
            default=None,
        )

    def disk(self, size: FitSize) -> int:
        """The most that a member takes, as of :meth:`memory`."""
        return max(member.disk(own) for member, own in self._sizes(size))

    def _sizes(self, size: FitSize) -> Iterator[tuple[Model, FitSize]]:
        for member in self._members.values():
            length = member.context_length(self.options.season_length)
            yield member, replace(size, context_length=min(length, size.context_length))

    def gpus(self) -> int | None:
        """As many as the members that can use a GPU see; None when none can."""
        counts = (member.gpus() for member in self._members.values())
        return min((count for count in counts if count is not None), default=None)

    def move(self, device: str) -> None:
        for member in self._members.values():
            if member.gpus():
                member.move(device)

    def save(self, directory: Path) -> None:
        body: dict[str, Any] = {
            "options": self.options.model_dump(mode="json"),
            "lengths": self._lengths,
        }
        (directory / _FILE).write_text(json.dumps(body, indent=1))
        if self._weights is not None:
            self._weights.save(directory / _WEIGHTS)
        for name, member in self._members.items():
            folder = directory / _MEMBERS / name
            folder.mkdir(parents=True)
            member.save(folder)

    @classmethod
    def load(cls, directory: Path) -> Self:
        body = json.loads((directory / _FILE).read_text())
        ensemble = cls(EnsembleOptions.model_validate(body["options"]))
        ensemble._lengths = body["lengths"]
        nodes = ensemble.options.members
        ensemble.__dict__["_members"] = {
            name: installed().load("model", nodes[name]["name"]).load(directory / _MEMBERS / name)
            for name in ensemble._lengths
        }
        if (directory / _WEIGHTS).is_file():
            ensemble._weights = MemberWeights.load(directory / _WEIGHTS)
        return ensemble


def _rows_at(arrays: PanelArrays, times: Any, context_length: int) -> Rows:
    """The rows at some times that have a history before them."""
    rows = np.flatnonzero(np.isin(arrays.times, times)).astype(np.int64)
    return rows[rows - arrays.series_starts()[rows] >= context_length - 1]


def _errors(windows: Windows, forecasts: Sequence[Float64]) -> Float64:
    """``[n, T, M]``: the mean absolute error over the steps whose actual is known."""
    assert windows.target is not None
    sizes = np.abs(np.stack([f[..., 0] for f in forecasts], axis=-1) - windows.target[..., None])
    known = np.isfinite(sizes)
    count = known.sum(axis=1)
    total = np.where(known, sizes, 0.0).sum(axis=1)
    means: Float64 = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    return means
