"""A registry that is a folder: pairs of fakes, and a file that says what each alias means."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, replace
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from framework.data.schema import Schema
from framework.data.vocabulary import TIME
from framework.errors import RefusedError, RegistryError
from framework.files import atomic_write
from framework.interfaces.registry import HistoryEntry, PairVersion, ProvenPair
from framework.pairs.artifacts import BACKTEST, write_half
from framework.pairs.intervals import INTERVALS, calibrate
from framework.pairs.manifest import HALVES, hash_files
from framework.testing import fakes

_ALIASES, _DOWN, _FILES, _HISTORY = "aliases.json", "down", "files.json", "history.jsonl"
_LOCKED = "locked"


def make_version(number: int) -> PairVersion:
    return PairVersion(
        "fake", number, f"{number:032x}", f"{number:064x}", f"run-{number}", "2024-03-01T00:00:00Z"
    )


def make_backtest(schema: Schema) -> pd.DataFrame:
    """The table of a backtest: JFK's DL from two origins, always 1 too high, the baseline 2; the
    last actual is unknown.
    """
    rows = []
    for fold, origin in enumerate(pd.DatetimeIndex(["2024-02-20", "2024-02-25"], tz="UTC")):
        for step in range(1, schema.horizon + 1):
            for target in schema.targets:
                known = not (fold == 1 and step == schema.horizon)
                row = {
                    **dict(zip(schema.entity_keys, ("JFK", "DL"), strict=False)),
                    "fold": fold,
                    "origin": origin,
                }
                row |= {
                    TIME: origin + pd.Timedelta(days=step),
                    "step": step,
                    "target": target,
                    "actual": 20.0 if known else np.nan,
                }
                row |= {
                    "baseline": 22.0,
                    "scale": 4.0,
                    "mean": 21.0,
                    **{f"q{q:g}": 20.5 + q for q in schema.quantiles},
                }
                rows.append(row)
    return pd.DataFrame(rows)


def make_errors(schema: Schema) -> pd.DataFrame:
    """Make errors that a pair may be calibrated on: those of 100 windows, -50 to 49 of the series'
    scale, the same at every step.
    """
    forecast = {"airport": "a0", "carrier": "b", "mean": 0.0, "q0.1": -1.0, "q0.9": 1.0}
    origin = pd.Timestamp("2024-03-01", tz="UTC")
    rows = []
    for step, target in product(range(1, schema.horizon + 1), schema.targets):
        times = {"origin": origin, TIME: origin + step * pd.Timedelta(days=1), "step": step}
        rows.append(
            pd.DataFrame({**forecast, **times, "target": target, "actual": np.arange(100.0) - 50})
        )
    return pd.concat(rows)


class FolderRegistry:
    """A registry in a folder, as far as a server asks one. Tests move aliases, spoil pairs and take
    the registry away while it serves.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def add(self, number: int, schema: Schema | None = None) -> None:
        """A pair whose forecasts depend on its number."""
        folder = self.directory / str(number)
        pair, golden = fakes.make_pair(schema, shift=float(number))
        for half in HALVES:
            write_half(folder / half, half, "fake", getattr(pair, half), pair.schema)
        (folder / "model" / "golden.json").write_text(golden.to_json())
        make_backtest(pair.schema).to_parquet(folder / "model" / BACKTEST, index=False)
        self._seal(number)
        self._remember("register", None, None, number)

    def _seal(self, number: int) -> None:
        folder = self.directory / str(number)
        (folder / _FILES).write_text(
            json.dumps({half: hash_files(folder / half) for half in HALVES})
        )

    def calibrate(self, number: int) -> None:
        """Give a pair prediction intervals, those of :func:`make_errors`."""
        model = self.directory / str(number) / "model"
        schema = Schema.model_validate_json((model / "schema.json").read_text())
        calibration = calibrate(make_errors(schema), schema)
        assert calibration is not None
        calibration.save(model / INTERVALS)
        self._seal(number)

    def change_answers(self, number: int) -> None:
        """Spoil a pair: every byte proves, and it does not answer as it was trained."""
        golden = self.directory / str(number) / "model" / "golden.json"
        golden.write_text(golden.read_text().replace('"values": [1', '"values": [2', 1))
        self._seal(number)

    def change_byte(self, number: int) -> None:
        """Spoil a pair: its files are not what was registered."""
        with (self.directory / str(number) / "model" / "golden.json").open("a") as file:
            file.write(" ")

    def point(self, alias: str, number: int) -> None:
        """Move an alias, in one step."""
        self._remember("move", alias, self._aliases().get(alias), number)
        with atomic_write(self.directory / _ALIASES) as stream:
            stream.write(json.dumps({**self._aliases(), alias: number}).encode())

    def has(self, alias: str) -> bool:
        return alias in self._aliases()

    def take_away(self) -> None:
        """Until :meth:`bring_back`, no question is answered."""
        (self.directory / _DOWN).touch()

    def bring_back(self) -> None:
        (self.directory / _DOWN).unlink()

    def lock(self) -> None:
        """Until :meth:`unlock`, every question waits for its answer."""
        (self.directory / _LOCKED).touch()

    def unlock(self) -> None:
        (self.directory / _LOCKED).unlink()

    def _aliases(self) -> dict[str, int]:
        path = self.directory / _ALIASES
        return json.loads(path.read_text()) if path.is_file() else {}

    def refuse(self, alias: str, number: int, reason: str) -> None:
        """Remember that a move was refused by a gate of one check."""
        check = {
            "check": "departures: MAE",
            "passed": False,
            "value": 2.0,
            "limit": 1.0,
            "detail": reason,
        }
        verdict = {
            "passed": False,
            "forced": False,
            "candidate": number,
            "incumbent": None,
            "checks": [check],
        }
        self._remember("refuse", alias, self._aliases().get(alias), number, reason, verdict)

    def _remember(
        self,
        action: str,
        alias: str | None,
        before: int | None,
        after: int,
        reason: str | None = None,
        verdict: dict[str, Any] | None = None,
    ) -> None:
        at, digest = datetime.now(UTC).isoformat(), make_version(after).digest
        entry = HistoryEntry(
            at, "tester", action, "fake", alias, before, after, reason, verdict, digest
        )
        with (self.directory / _HISTORY).open("a") as file:
            file.write(json.dumps(asdict(entry)) + "\n")

    def _check(self) -> None:
        while (self.directory / _LOCKED).exists():
            time.sleep(0.05)
        if (self.directory / _DOWN).exists():
            raise RegistryError("the folder of pairs cannot be reached.")

    def pairs(self, name: str | None = None) -> list[PairVersion]:
        self._check()
        numbers = sorted(
            (int(path.name) for path in self.directory.iterdir() if path.name.isdecimal()),
            reverse=True,
        )
        aliases = self._aliases()
        return [
            replace(make_version(n), aliases=tuple(alias for alias, m in aliases.items() if m == n))
            for n in numbers
        ]

    def history(self, name: str, alias: str | None = None) -> list[HistoryEntry]:
        self._check()
        entries = [
            HistoryEntry(**json.loads(line))
            for line in (self.directory / _HISTORY).read_text().splitlines()
        ]
        return [entry for entry in entries if alias is None or entry.alias == alias]

    def resolve(self, name: str, reference: str) -> PairVersion:
        self._check()
        number = int(reference) if reference.isdecimal() else self._aliases().get(reference)
        if number is None or not (self.directory / str(number)).is_dir():
            raise RegistryError(f"'{name}' has no alias or version '{reference}'.")
        return make_version(number)

    def fetch(self, version: PairVersion) -> ProvenPair:
        folder = self.directory / str(version.version)
        for half, digests in json.loads((folder / _FILES).read_text()).items():
            if hash_files(folder / half) != digests:
                raise RefusedError(
                    f"version {version.version}: {half} half: its files were changed."
                )
        return ProvenPair(version, folder / "preprocessor", folder / "model", "")
