"""``preprocessor=sklearn``: one scikit-learn transformer a block, kept in skops' format, which
holds no code.
"""

from __future__ import annotations

import importlib
import io
import json
import re
import zipfile
from pathlib import Path
from typing import Any, Self

import numpy as np
import skops.io

from framework.data.arrays import Float32, Float64, Objects, Times
from framework.data.schema import Schema
from framework.errors import ConfigError, DataError, RefusedError, suggest
from framework.interfaces.preprocessor import Preprocessor
from framework_preprocessing import Encode, SklearnOptions, Transformer
from framework_preprocessing.blocks import NumericBlock, TextBlock, to_float32
from framework_preprocessing.stored_types import TRUSTED, unlisted_types

#: An object's address: its own, or the name of its file.
_ADDRESS = re.compile(rb'("__id__": |"file": ")(\d+)(\b)')
_CODES = (Encode(step="encode"),)
#: Rows on which ``fit`` checks that a transformer treats each row alone.
_PROBE = 64


class _Block:
    """A fitted transformer with its bytes on disk and the names of its outputs."""

    def __init__(self, data: bytes, names: tuple[str, ...]) -> None:
        self.data, self.names = data, names
        self._transformer = skops.io.loads(data, trusted=TRUSTED)

    @classmethod
    def load(cls, file: Path, names: tuple[str, ...]) -> _Block:
        """Open a stored transformer.

        Args:
            file: The archive of skops.
            names: The names of its outputs.

        Returns:
            The block.

        Raises:
            RefusedError: It holds more than values of listed types; nothing was constructed.
        """
        data = file.read_bytes()
        if unlisted := unlisted_types(data):
            raise RefusedError(
                f"{file}: holds {', '.join(unlisted)}; only listed types of scikit-learn and numpy "
                "are opened, functions never; train again with another class."
            )
        return cls(data, names)

    @classmethod
    def fit(cls, choice: Transformer, values: Any, columns: tuple[str, ...], path: str) -> _Block:
        transformer = _make(choice, path)
        try:
            transformer.fit(values)
            names = tuple(
                str(n) for n in transformer.get_feature_names_out(np.array(columns, dtype=object))
            )
        except (ValueError, TypeError, AttributeError) as error:
            raise DataError(
                f"{path}: {choice.class_} cannot be fitted on columns {list(columns)}: "
                f"{' '.join(str(error).split())}"
            ) from error
        data = _stable(_dump(transformer, choice, path))
        if unlisted := unlisted_types(data):
            raise ConfigError(
                f"{path}.class: {choice.class_} holds {', '.join(unlisted)}; only listed types of "
                "scikit-learn and numpy are stored, functions never; choose another class."
            )
        block = cls(data, names)
        probe = values[:_PROBE]
        whole, singles = block(probe), [block(probe[i : i + 1]) for i in range(len(probe))]
        if whole.tobytes() != np.concatenate(singles).tobytes():
            raise ConfigError(
                f"{path}: {choice.class_} gives a row other bits alone than among others; "
                "choose another class."
            )
        return block

    def __call__(self, values: Any) -> Float32:
        try:
            out = self._transformer.transform(values)
        except ValueError as error:
            raise DataError(
                f"{type(self._transformer).__name__}: {' '.join(str(error).split())}"
            ) from error
        dense = out.toarray() if hasattr(out, "toarray") else np.asarray(out)
        return to_float32(np.asarray(dense, dtype=np.float64), self.names)


def _dump(transformer: Any, choice: Transformer, path: str) -> bytes:
    try:
        data: bytes = skops.io.dumps(transformer)
    except TypeError as error:
        raise ConfigError(
            f"{path}.class: {choice.class_} cannot be stored ({error}); choose another class."
        ) from error
    return data


def _stable(data: bytes) -> bytes:
    """The archive with its objects numbered in their order, where skops writes their addresses:
    equal transformers are equal bytes.
    """
    numbers: dict[bytes, bytes] = {}
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as archive, zipfile.ZipFile(out, "w") as target:
        schema = _ADDRESS.sub(
            lambda match: match[1] + numbers.setdefault(match[2], b"%d" % len(numbers)) + match[3],
            archive.read("schema.json"),
        )
        members = {"schema.json": schema}
        for name in archive.namelist():
            stem, _, kind = name.partition(".")
            if name not in members:
                members[f"{numbers.get(stem.encode(), stem.encode()).decode()}.{kind}"] = (
                    archive.read(name)
                )
        for name in sorted(members):
            target.writestr(zipfile.ZipInfo(name), members[name])
    return out.getvalue()


def _make(choice: Transformer, path: str) -> Any:
    module, _, name = choice.class_.rpartition(".")
    try:
        imported = importlib.import_module(module)
    except ImportError as error:
        raise ConfigError(f"{path}.class: {module} cannot be imported ({error}).") from error
    kind = getattr(imported, name, None)
    if kind is None or not hasattr(kind, "transform"):
        raise ConfigError(
            f"{path}.class: {choice.class_} is not a transformer;{suggest(name, dir(imported))}"
        )
    try:
        return kind(**choice.options)
    except TypeError as error:
        raise ConfigError(f"{path}.options: {error}") from error


class SklearnPreprocessor(Preprocessor):
    """Blocks without a transformer are those of ``preprocessor=native`` by default."""

    requirements = ("scikit-learn", "skops")
    options: SklearnOptions

    def fit(
        self, past: Float64, known: Float64, static: Objects, times: Times, schema: Schema
    ) -> None:
        codes = TextBlock.fit(_CODES, static, schema.static, "preprocessor.static")
        self._plain(schema.past, schema.known, codes)
        for block, values, columns in (
            ("past", past, schema.past),
            ("future", known, schema.known),
            ("static", static, schema.static),
        ):
            choice = getattr(self.options, block)
            if choice is not None:
                self._use(block, _Block.fit(choice, values, columns, f"preprocessor.{block}"))

    def _plain(self, past: tuple[str, ...], known: tuple[str, ...], codes: TextBlock) -> None:
        self._blocks: dict[str, _Block] = {}
        self._past, self._future, self._static = (
            NumericBlock((), past, past, ()),
            NumericBlock((), known, known, ()),
            codes,
        )
        self.past_names, self.future_names, self.static_names = past, known, codes.names

    def _use(self, block: str, fitted: _Block) -> None:
        self._blocks[block] = fitted
        setattr(self, f"{block}_names", fitted.names)

    def past(self, values: Float64, times: Times, static: Objects | None = None) -> Float32:
        return self._blocks["past"](values) if "past" in self._blocks else self._past(values, times)

    def future(self, values: Float64, times: Times, static: Objects | None = None) -> Float32:
        return (
            self._blocks["future"](values)
            if "future" in self._blocks
            else self._future(values, times)
        )

    def static(self, values: Objects) -> Float32:
        return self._blocks["static"](values) if "static" in self._blocks else self._static(values)

    def save(self, directory: Path) -> None:
        body = {
            "options": self.options.model_dump(mode="json", by_alias=True),
            "past": self._past.inputs,
            "future": self._future.inputs,
            "static": self._static.inputs,
            "names": {block: fitted.names for block, fitted in self._blocks.items()},
        }
        (directory / "preprocessor.json").write_text(json.dumps(body, indent=1))
        np.savez(directory / "codes.npz", allow_pickle=False, **self._static.states[0])
        for block, fitted in self._blocks.items():
            (directory / f"{block}.skops").write_bytes(fitted.data)

    @classmethod
    def load(cls, directory: Path) -> Self:
        body = json.loads((directory / "preprocessor.json").read_text())
        preprocessor = cls(SklearnOptions.model_validate(body["options"]))
        with np.load(directory / "codes.npz", allow_pickle=False) as arrays:
            codes = TextBlock(_CODES, body["static"], [{key: arrays[key] for key in arrays.files}])
        preprocessor._plain(tuple(body["past"]), tuple(body["future"]), codes)
        for block, names in body["names"].items():
            preprocessor._use(block, _Block.load(directory / f"{block}.skops", tuple(names)))
        return preprocessor
