"""Contract suite of preprocessors. Subclass it in a plugin's tests::

class TestMine(PreprocessorContract):
    name = "mine"
    options = {"past": [{"step": "scale"}]}
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest

from framework.data.panel import Panel
from framework.data.schema import Schema
from framework.errors import RefusedError
from framework.interfaces.plugin import Kind
from framework.interfaces.preprocessor import Preprocessor
from framework.interfaces.registry import PairDraft
from framework.pairs.admission import admit
from framework.pairs.artifacts import Evidence, open_half, write_pair
from framework.pairs.fit import fit_pair, fit_preprocessor
from framework.pairs.golden import Golden
from framework.plugins.discovery import load_plugins
from framework.testing import fakes
from framework.testing.contracts.component import ComponentContract, assert_no_pickle, saved
from framework.testing.contracts.planted import planted_files
from framework.testing.fakes import FakeModel
from framework.testing.panels import make_panel, panel_schema


def _blocks(preprocessor: Preprocessor, panel: Panel, rows: Any) -> dict[str, np.ndarray]:
    times = panel.times[rows]
    whose = {"static": panel.static[rows]} if preprocessor.needs_static else {}
    return {
        "past": preprocessor.past(panel.past[rows], times, **whose),
        "future": preprocessor.future(panel.known[rows], times, **whose),
        "static": preprocessor.static(panel.static[rows]),
    }


class PreprocessorContract(ComponentContract):
    """``stable_files``: equal fits are saved as equal bytes; False only where a library's format
    holds memory addresses.
    """

    kind: ClassVar[Kind] = "preprocessor"
    stable_files: ClassVar[bool] = True

    def fitted(self, panel: Panel | None = None) -> tuple[Preprocessor, Panel, Schema]:
        """Fit a preprocessor.

        Args:
            panel: What it learns from; None: the suite's.

        Returns:
            The preprocessor, the panel, the schema.
        """
        panel = panel if panel is not None else make_panel()
        preprocessor: Preprocessor = self.make()
        schema = panel_schema(panel)
        preprocessor.fit(panel.past, panel.known, panel.static, panel.times, schema)
        return preprocessor, panel, schema

    def test_shapes_names_and_dtypes(self) -> None:
        preprocessor, panel, _ = self.fitted()
        for block, values in _blocks(preprocessor, panel, slice(None)).items():
            names = getattr(preprocessor, f"{block}_names")
            assert values.dtype == np.float32
            assert values.shape == (len(panel), len(names)), block
            assert len(set(names)) == len(names)
            assert not np.isinf(values).any()

    def test_a_row_has_the_same_bits_alone_and_among_others(self) -> None:
        preprocessor, panel, _ = self.fitted()
        whole = _blocks(preprocessor, panel, slice(None))
        order = np.random.default_rng(0).permutation(len(panel))
        permuted = _blocks(preprocessor, panel, order)
        for block, values in whole.items():
            assert permuted[block].tobytes() == values[order].tobytes(), block
        for row in [*range(0, len(panel), 37), len(panel) - 1]:
            single = _blocks(preprocessor, panel, slice(row, row + 1))
            few = _blocks(preprocessor, panel, slice(max(row - 6, 0), row + 1))
            for block, values in whole.items():
                assert single[block][0].tobytes() == values[row].tobytes(), (block, row)
                assert few[block][-1].tobytes() == values[row].tobytes(), (block, row)

    def test_inputs_stay_as_they_were(self) -> None:
        preprocessor, panel, _ = self.fitted()
        before = [a.copy() for a in (panel.past, panel.known, panel.static)]
        first = _blocks(preprocessor, panel, slice(None))
        for values in first.values():
            values[:] = -1
        for was, now in zip(before, (panel.past, panel.known, panel.static), strict=True):
            assert np.array_equal(was, now, equal_nan=was.dtype != object)

    def test_saved_and_loaded_gives_the_same_bits_without_pickle(self, tmp_path: Path) -> None:
        preprocessor, panel, _ = self.fitted()
        assert_no_pickle(saved(preprocessor, tmp_path / "state"))
        copy = type(preprocessor).load(tmp_path / "state")
        expected = _blocks(preprocessor, panel, slice(None))
        for block, values in _blocks(copy, panel, slice(None)).items():
            assert values.tobytes() == expected[block].tobytes(), block
            assert tuple(getattr(copy, f"{block}_names")) == tuple(
                getattr(preprocessor, f"{block}_names")
            )

    def test_a_planted_file_is_refused_at_load_and_at_registration(self, tmp_path: Path) -> None:
        panel = make_panel()
        schema = panel_schema(panel)
        pair = fit_pair(panel, schema, self.make(), FakeModel(None), 0, 7)
        context = panel.context(schema, panel.entities, panel.times.max())
        golden = Golden(context, pair.forecast(context).values, 1e-5)
        names, plugins = {"preprocessor": self.name, "model": "fake"}, load_plugins(extra=[fakes])
        evidence = Evidence(golden, pd.DataFrame({"step": [1]}), {})
        write_pair(tmp_path, pair, names, evidence)
        draft = PairDraft(tmp_path / "preprocessor", tmp_path / "model", schema, "", ())
        admit(draft, plugins)
        for path in sorted(p for p in (draft.preprocessor / "state").iterdir() if p.is_file()):
            original = path.read_bytes()
            for content in planted_files().values():
                path.write_bytes(content)
                with pytest.raises(RefusedError):
                    open_half(draft.preprocessor, "preprocessor", plugins)
                with pytest.raises(RefusedError, match="not registered"):
                    admit(draft, plugins)
            path.write_bytes(original)
        admit(draft, plugins)

    def test_the_same_rows_give_the_same_state(self, tmp_path: Path) -> None:
        one, panel, _ = self.fitted()
        two, _, _ = self.fitted()
        assert {k: v.tobytes() for k, v in _blocks(one, panel, slice(None)).items()} == {
            k: v.tobytes() for k, v in _blocks(two, panel, slice(None)).items()
        }
        if self.stable_files:
            assert saved(one, tmp_path / "one") == saved(two, tmp_path / "two")

    def test_an_unseen_text_is_not_taken_for_a_known_one(self) -> None:
        preprocessor, panel, _ = self.fitted()
        known = preprocessor.static(panel.static)
        if not known.shape[1]:
            return
        unseen = np.full((1, panel.static.shape[1]), "never seen", dtype=object)
        assert not (known == preprocessor.static(unseen)).all(axis=1).any()

    def test_a_null_category_is_a_value_of_its_own(self, tmp_path: Path) -> None:
        panel = make_panel()
        category = len(panel.entity_keys)
        panel.static[::5, category] = None
        preprocessor = self.make()
        fit_preprocessor(panel, panel_schema(panel), preprocessor)
        if not preprocessor.static_names:
            return
        texts = np.repeat(panel.static[1:2], 2 + len(set(panel.static[:, category])), axis=0)
        texts[:, category] = [
            None,
            "never seen",
            *sorted(set(panel.static[:, category]) - {None}),
            "None",
        ]
        codes = preprocessor.static(texts)
        nulls = (codes == codes[0]).all(axis=1)
        assert nulls.tolist() == [True, *[False] * (len(texts) - 1)]
        preprocessor.save(tmp_path)
        assert type(preprocessor).load(tmp_path).static(texts).tobytes() == codes.tobytes()

    def test_values_after_the_cutoff_change_nothing(self, tmp_path: Path) -> None:
        clean = make_panel()
        cutoff = clean.times.max() - np.timedelta64(20, "D")
        absurd = make_panel()
        absurd.past[absurd.times > cutoff] = -1e9
        forecasts, states = [], []
        for number, panel in enumerate((clean, absurd)):
            schema = panel_schema(panel)
            pair = fit_pair(panel.until(cutoff), schema, self.make(), FakeModel(None), 0, 7)
            forecasts.append(
                pair.forecast(panel.context(schema, panel.entities, cutoff)).values.tobytes()
            )
            states.append(saved(pair.preprocessor, tmp_path / str(number)))
        assert forecasts[0] == forecasts[1]
        if self.stable_files:
            assert states[0] == states[1]
