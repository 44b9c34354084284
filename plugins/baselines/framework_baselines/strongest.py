"""The strongest naive forecast: what a model must beat, as the training rows say."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Self

import numpy as np

from framework.data.arrays import Float64
from framework.data.schema import Schema
from framework.data.windows import Windows, WindowSet
from framework.errors import DataError
from framework.interfaces.model import Covariates, Model
from framework_baselines import LevelOptions, SeasonalNaiveOptions, StrongestNaiveOptions
from framework_baselines.levels import Drift, Mean
from framework_baselines.naive import NaiveModel, targets_alone
from framework_baselines.seasonal_naive import SeasonalNaive

#: How much better than the seasonal naive forecast of the first season another one must be.
_CLEARLY = 0.98


class StrongestNaive(Model):
    """For each target the naive forecast with the smallest mean absolute error over windows of the
    training rows: the last value, a season, the drift or the mean. The first season stays unless
    another one is clearly better.
    """

    options: StrongestNaiveOptions

    def context_length(self, schema_hint: int) -> int:
        return max(m.context_length(schema_hint) for m in self._members().values())

    def least_context(self, schema_hint: int) -> int:
        return 1

    @property
    def supports_quantiles(self) -> bool:
        return True

    @property
    def covariates(self) -> frozenset[Covariates]:
        return frozenset()

    @property
    def choices(self) -> tuple[str, ...]:
        return self._choices

    def _members(self) -> dict[str, NaiveModel]:
        seasons = self.options.seasons or (self.options.season_length,)
        level = LevelOptions(season_length=max(seasons))
        return {
            **{
                f"seasonal_naive_{n}" if n > 1 else "last_value": SeasonalNaive(
                    SeasonalNaiveOptions(season_length=n)
                )
                for n in dict.fromkeys((*seasons, 1))
            },
            "drift": Drift(level),
            "mean": Mean(level),
        }

    def fit(
        self, train: WindowSet, validation: WindowSet | None, schema: Schema, seed: int
    ) -> None:
        members = self._members()
        errors = self._compare(members, train if validation is None else validation)
        first = next(iter(members))
        names = list(members)
        best = [names[i] for i in np.nan_to_num(errors, nan=np.inf).argmin(axis=0)]
        self._choices = tuple(
            name if errors[names.index(name), t] < _CLEARLY * errors[0, t] else first
            for t, name in enumerate(best)
        )
        self._fitted = {name: members[name] for name in dict.fromkeys(self._choices)}
        for member in self._fitted.values():
            member.fit(train, validation, schema, seed)

    def _compare(self, members: dict[str, NaiveModel], windows: WindowSet) -> Float64:
        """``[M, T]``: the mean absolute error of each member, NaN where nothing is known."""
        count = min(self.options.windows, len(windows))
        places = np.unique(np.linspace(0, len(windows) - 1, count).astype(np.int64))
        sample = targets_alone(replace(windows, origins=windows.origins[places])).gather()
        if sample.target is None:  # windows of a set have their targets
            raise DataError("strongest_naive: windows without targets cannot be compared.")
        errors = []
        for member in members.values():
            error = np.abs(sample.target - member.mean(sample.target_past, windows.horizon))
            known = np.isfinite(error)
            total = np.where(known, error, 0.0).sum(axis=(0, 1))
            errors.append(total / np.where(known.any(axis=(0, 1)), known.sum(axis=(0, 1)), np.nan))
        return np.array(errors)

    def predict(self, windows: Windows) -> Float64:
        answers = {name: member.predict(windows) for name, member in self._fitted.items()}
        parts = [answers[name][:, :, t] for t, name in enumerate(self._choices)]
        return np.stack(parts, axis=2)

    def save(self, directory: Path) -> None:
        body = {"options": self.options.model_dump(mode="json"), "choices": self._choices}
        (directory / "strongest.json").write_text(json.dumps(body))
        for name, member in self._fitted.items():
            (directory / name).mkdir()
            member.save(directory / name)

    @classmethod
    def load(cls, directory: Path) -> Self:
        body = json.loads((directory / "strongest.json").read_text())
        model = cls(StrongestNaiveOptions.model_validate(body["options"]))
        model._choices = tuple(body["choices"])
        members = model._members()
        model._fitted = {
            name: type(members[name]).load(directory / name)
            for name in dict.fromkeys(model._choices)
        }
        return model
