"""The toy's components."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any, Self

import numpy as np

from framework.interfaces.model import Model
from framework.interfaces.registry import PairVersion, Registry


class ToyModel(Model):
    def fit(self, train: Any, validation: Any, schema: Any, seed: int) -> None:
        o = self.options
        self.horizon, self.targets = schema.horizon, len(schema.targets)
        self.level = o.level + (o.bonus if o.kind == "bonus" else 0.0)
        end = time.process_time() + o.seconds
        while time.process_time() < end:
            sum(range(1000))
        if o.fault == "raise":
            raise ValueError("the toy broke")
        if o.fault == "threads":
            raise ValueError(f"{os.environ['OMP_NUM_THREADS']} threads")
        if o.fault == "hang":
            time.sleep(600)
        if o.fault == "die":
            os._exit(9)
        if o.fault == "memory":
            np.ones(2**50)
        if o.fault == "eat":
            eaten = []
            for _ in range(80):
                eaten.append(np.ones(100 * 2**20 // 8))
                time.sleep(0.1)
            time.sleep(60)
        if o.fault == "nan":
            self.level = float("nan")

    def predict(self, windows: Any) -> Any:
        return np.full((len(windows), self.horizon, self.targets, 1), self.level)

    def save(self, directory: Path) -> None:
        (directory / "toy.json").write_text(json.dumps([self.horizon, self.targets, self.level]))

    @classmethod
    def load(cls, directory: Path) -> Self:
        made = cls(None)
        made.horizon, made.targets, made.level = json.loads((directory / "toy.json").read_text())
        return made


class ToyRegistry(Registry):
    """Counts what is registered."""

    def register(self, draft: Any, run_id: str) -> PairVersion:
        assert (draft.model / "state" / "toy.json").is_file()
        return PairVersion(draft.schema.name, 1, "p", "d" * 64, run_id, "2024-01-01T00:00:00Z")

    def resolve(self, name: str, reference: str) -> Any:
        raise NotImplementedError

    fetch = move = refuse = pairs = history = prune = verify = resolve
