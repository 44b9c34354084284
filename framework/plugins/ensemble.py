"""``model=ensemble``: the mean of several models that are fitted, stored and loaded as one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np

from framework.data.arrays import Float64
from framework.data.schema import Schema
from framework.data.windows import Windows, WindowSet
from framework.errors import DataError
from framework.interfaces.model import Covariates, Model
from framework.options import validate
from framework.plugins.builtin import EnsembleOptions
from framework.plugins.components import installed

_FILE, _MEMBERS = "ensemble.json", "members"


class Ensemble(Model):
    """Each member sees the end of the window that it needs; means and quantiles are averaged.

    It has quantiles where every member has them. Members that need a long history make the ensemble
    need it. Saved as ``members/NAME/`` in each member's own format, and ``ensemble.json``.
    """

    options: EnsembleOptions

    @cached_property
    def _members(self) -> dict[str, Model]:
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

    def context_length(self, schema_hint: int) -> int:
        return max(member.context_length(schema_hint) for member in self._members.values())

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
        for name, member, length in self._each():
            sets = [
                None if windows is None else replace(windows, context_length=length)
                for windows in (train, validation)
            ]
            assert sets[0] is not None
            own = schema.model_copy(update={"context_length": length})
            try:
                member.fit(sets[0], sets[1], own, seed)
            except DataError as error:
                raise DataError(f"model.members.{name}: {error}") from error

    def _each(self) -> Iterator[tuple[str, Model, int]]:
        for name, member in self._members.items():
            yield name, member, self._lengths[name]

    def predict(self, windows: Windows) -> Float64:
        total: Float64 | None = None
        for _, member, length in self._each():
            own = Windows(
                windows.target_past[:, -length:],
                windows.past[:, -length:],
                windows.future,
                windows.static,
            )
            values = np.asarray(member.predict(own), dtype=np.float64)
            total = values if total is None else total + values
        assert total is not None
        return total / len(self._lengths)

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
        for name, member in self._members.items():
            folder = directory / _MEMBERS / name
            folder.mkdir(parents=True)
            member.save(folder)

    @classmethod
    def load(cls, directory: Path) -> Self:
        body = json.loads((directory / _FILE).read_text())
        ensemble = cls(EnsembleOptions.model_validate(body["options"]))
        ensemble._lengths = body["lengths"]
        ensemble.__dict__["_members"] = {
            name: installed().load("model", node["name"]).load(directory / _MEMBERS / name)
            for name, node in ensemble.options.members.items()
        }
        return ensemble
