"""``preprocessor=native``: column steps in numpy. Saved as ``preprocessor.json`` (options, names)
and ``state.npz``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Self

import numpy as np

from framework.data.arrays import Float32, Float64, Objects, Times
from framework.data.frequency import Frequency
from framework.data.schema import Schema
from framework.interfaces.preprocessor import Preprocessor
from framework_preprocessing import NativeOptions
from framework_preprocessing.blocks import NumericBlock, TextBlock
from framework_preprocessing.steps import Arrays, TrainingRows

_BLOCKS = ("past", "future", "static")


class NativePreprocessor(Preprocessor):
    """Columns keep their order; what a step adds comes after them."""

    options: NativeOptions

    def fit(
        self, past: Float64, known: Float64, static: Objects, times: Times, schema: Schema
    ) -> None:
        options = self.options
        rows = TrainingRows(times, static, schema.static, Frequency.parse(schema.frequency))
        self._use(
            NumericBlock.fit(options.past, past, schema.past, "preprocessor.past", rows),
            NumericBlock.fit(options.future, known, schema.known, "preprocessor.future", rows),
            TextBlock.fit(options.static, static, schema.static, "preprocessor.static"),
        )

    def _use(self, past: NumericBlock, future: NumericBlock, static: TextBlock) -> None:
        self._past, self._future, self._static = past, future, static
        self.needs_static = past.needs_static or future.needs_static
        self.past_names, self.future_names, self.static_names = (
            past.names,
            future.names,
            static.names,
        )

    def past(self, values: Float64, times: Times, static: Objects | None = None) -> Float32:
        return self._past(values, times, static)

    def future(self, values: Float64, times: Times, static: Objects | None = None) -> Float32:
        return self._future(values, times, static)

    def static(self, values: Objects) -> Float32:
        return self._static(values)

    def save(self, directory: Path) -> None:
        blocks: dict[str, NumericBlock | TextBlock] = {
            "past": self._past,
            "future": self._future,
            "static": self._static,
        }
        names = {block: {"inputs": b.inputs, "names": b.names} for block, b in blocks.items()}
        (directory / "preprocessor.json").write_text(
            json.dumps(
                {"options": self.options.model_dump(mode="json"), "columns": names}, indent=1
            )
        )
        arrays = {
            f"{block}.{i}.{key}": a
            for block, b in blocks.items()
            for i, state in enumerate(b.states)
            for key, a in state.items()
        }
        np.savez(directory / "state.npz", allow_pickle=False, **arrays)

    @classmethod
    def load(cls, directory: Path) -> Self:
        body = json.loads((directory / "preprocessor.json").read_text())
        preprocessor = cls(NativeOptions.model_validate(body["options"]))
        states: dict[str, list[Arrays]] = {
            block: [{} for _ in getattr(preprocessor.options, block)] for block in _BLOCKS
        }
        with np.load(directory / "state.npz", allow_pickle=False) as arrays:
            for name in arrays.files:
                block, number, key = name.split(".", 2)
                states[block][int(number)][key] = arrays[name]
        past, future, static = (body["columns"][block] for block in _BLOCKS)
        preprocessor._use(
            NumericBlock(preprocessor.options.past, past["inputs"], past["names"], states["past"]),
            NumericBlock(
                preprocessor.options.future, future["inputs"], future["names"], states["future"]
            ),
            TextBlock(preprocessor.options.static, static["inputs"], states["static"]),
        )
        return preprocessor
