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
from framework.testing import fakes
from framework.testing.contracts.component import ComponentContract, assert_no_pickle, saved, sent
from framework.testing.contracts.findings import refusal, same_bits, same_files
from framework.testing.contracts.planted import planted_files
from framework.testing.contracts.threads import THREADS, ask_in_threads
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
        preprocessor.fit(panel.past, panel.known, np.asarray(panel.static), panel.times, schema)
        return preprocessor, panel, schema

    def test_shapes_names_and_dtypes(self) -> None:
        preprocessor, panel, _ = self.fitted()
        for block, values in _blocks(preprocessor, panel, slice(None)).items():
            names = getattr(preprocessor, f"{block}_names")
            assert values.dtype == np.float32, (
                f"{block} of {len(panel)} rows gives {values.dtype}, not float32, in which a "
                "model has learned; end with .astype(np.float32)."
            )
            assert values.shape == (len(panel), len(names)), (
                f"{block} of {len(panel)} rows gives the shape {values.shape}, and "
                f"{block}_names has {len(names)} names: a model would learn columns under other "
                "names."
            )
            twice = sorted({name for name in names if list(names).count(name) > 1})
            assert not twice, f"{block}_names has {twice} more than once; a name is one column."
            assert not np.isinf(values).any(), (
                f"{block} gives infinite values, as a division by the spread of a constant column "
                "does, or a number too large for float32; keep them finite."
            )

    def test_a_row_has_the_same_bits_alone_and_among_others(self) -> None:
        preprocessor, panel, _ = self.fitted()
        whole = _blocks(preprocessor, panel, slice(None))
        cause = (
            "what is computed over the rows of a call, such as their mean or the row before, is "
            "another thing in a server, which asks of one row; learn it in fit"
        )
        order = np.random.default_rng(0).permutation(len(panel))
        permuted = _blocks(preprocessor, panel, order)
        for block, values in whole.items():
            same_bits(permuted[block], values[order], f"{block} of rows in another order", cause)
        for row in [*range(0, len(panel), 37), len(panel) - 1]:
            single = _blocks(preprocessor, panel, slice(row, row + 1))
            few = _blocks(preprocessor, panel, slice(max(row - 6, 0), row + 1))
            for block, values in whole.items():
                same_bits(single[block][0], values[row], f"{block} of row {row} alone", cause)
                same_bits(few[block][-1], values[row], f"{block} of seven rows", cause)

    def test_several_threads_get_each_their_own_rows(self) -> None:
        """A server transforms in several threads of one process."""
        preprocessor, panel, _ = self.fitted()
        parts = [slice(i, None, THREADS) for i in range(THREADS)]
        expected = [_blocks(preprocessor, panel, part) for part in parts]
        replies = ask_in_threads(lambda number: _blocks(preprocessor, panel, parts[number]))
        cause = "a transform keeps what it works on in the preprocessor, where others change it"
        for blocks, answers in zip(expected, replies, strict=True):
            for answer in answers:
                doing = f"transforms in {THREADS} threads at once"
                assert not isinstance(answer, Exception), f"{doing} raise {answer!r}; {cause}."
                for block, values in blocks.items():
                    same_bits(answer[block], values, f"{block} in {THREADS} threads at once", cause)

    def test_inputs_stay_as_they_were(self) -> None:
        preprocessor, panel, _ = self.fitted()
        names = ("past", "known", "static")
        before = [getattr(panel, name).copy() for name in names]
        first = _blocks(preprocessor, panel, slice(None))
        for values in first.values():
            values[:] = -1
        for name, was in zip(names, before, strict=True):
            now = getattr(panel, name)
            assert np.array_equal(was, now, equal_nan=was.dtype != object), (
                f"the rows of '{name}' that were transformed are changed afterwards: a transform "
                "writes into its input, or gives a view of it; work on a copy."
            )

    def test_saved_and_loaded_gives_the_same_bits_without_pickle(self, tmp_path: Path) -> None:
        preprocessor, panel, _ = self.fitted()
        assert_no_pickle(saved(preprocessor, tmp_path / "state"))
        copy = type(preprocessor).load(tmp_path / "state")
        expected = _blocks(preprocessor, panel, slice(None))
        cause = (
            "something that a transform uses is not saved, such as an option, or is saved with "
            "fewer digits"
        )
        for block, values in _blocks(copy, panel, slice(None)).items():
            same_bits(
                values, expected[block], f"{block} of the preprocessor that was loaded", cause
            )
            names, others = (tuple(getattr(p, f"{block}_names")) for p in (copy, preprocessor))
            assert names == others, (
                f"the preprocessor that was loaded has {block}_names {names}, the one that was "
                f"saved {others}; load sets them as fit does."
            )

    def test_a_worker_that_has_not_the_folder_gives_the_same_bits(self, tmp_path: Path) -> None:
        preprocessor, panel, _ = self.fitted()
        expected = _blocks(preprocessor, panel, slice(None))
        cause = "something that a transform uses is lost on the way to another process"
        copy = sent(preprocessor, tmp_path / "state")
        for block, values in _blocks(copy, panel, slice(None)).items():
            same_bits(values, expected[block], f"{block} in a worker", cause)

    def test_a_planted_file_is_refused_at_load_and_at_registration(self, tmp_path: Path) -> None:
        panel = make_panel()
        schema = panel_schema(panel)
        pair = fit_pair(panel, schema, self.make(), FakeModel(None), 0, 7)
        context = panel.context(schema, panel.entities, panel.times.max())
        golden = Golden(context, pair.forecast(context).values, 1e-5)
        names, plugins = {"preprocessor": self.name, "model": "fake"}, self.plugins(fakes)
        evidence = Evidence(golden, pd.DataFrame({"step": [1]}), {})
        write_pair(tmp_path, pair, names, evidence)
        draft = PairDraft(tmp_path / "preprocessor", tmp_path / "model", schema, "", ())
        admit(draft, plugins)
        for path in sorted(p for p in (draft.preprocessor / "state").iterdir() if p.is_file()):
            original = path.read_bytes()
            for what, content in planted_files().items():
                path.write_bytes(content)
                refusal(
                    lambda: open_half(draft.preprocessor, "preprocessor", plugins),
                    RefusedError,
                    f"load of a state whose file {path.name} is a planted {what}",
                )
                refusal(
                    lambda: admit(draft, plugins),
                    RefusedError,
                    f"the registration of a state whose file {path.name} is a planted {what}",
                )
            path.write_bytes(original)
        admit(draft, plugins)

    def test_the_same_rows_give_the_same_state(self, tmp_path: Path) -> None:
        one, panel, _ = self.fitted()
        two, _, _ = self.fitted()
        first, second = (_blocks(p, panel, slice(None)) for p in (one, two))
        for block, values in first.items():
            same_bits(
                second[block],
                values,
                f"{block} after a second fit on the same rows",
                "something random in fit has no fixed seed",
            )
        if self.stable_files:
            files = saved(one, tmp_path / "one")
            same_files(saved(two, tmp_path / "two"), files, "a second fit on the same rows")

    def test_an_unseen_text_is_not_taken_for_a_known_one(self) -> None:
        preprocessor, panel, _ = self.fitted()
        known = preprocessor.static(np.asarray(panel.static))
        if not known.shape[1]:
            return
        unseen = np.full((1, panel.static.shape[1]), "never seen", dtype=object)
        same = (known == preprocessor.static(unseen)).all(axis=1)
        assert not same.any(), (
            f"a text that fit never saw is encoded as {panel.static[int(same.argmax())].tolist()} "
            "is, so a new shop would get the forecast of an old one; keep a code for the unknown."
        )

    def test_a_null_category_is_a_value_of_its_own(self, tmp_path: Path) -> None:
        panel = make_panel()
        category = len(panel.entity_keys)
        np.asarray(panel.static)[::5, category] = None
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
        same = [
            str(text) for text, null in zip(texts[1:, category], nulls[1:], strict=True) if null
        ]
        assert not same, (
            f"a null category has the code of {same}: it became the text 'None', or the unknown; "
            "null is a value that fit has seen."
        )
        preprocessor.save(tmp_path)
        same_bits(
            type(preprocessor).load(tmp_path).static(texts),
            codes,
            "static of the preprocessor that was loaded, with a null category",
            "null is lost in the file",
        )

    def test_values_after_the_cutoff_change_nothing(self, tmp_path: Path) -> None:
        clean = make_panel()
        cutoff = clean.times.max() - np.timedelta64(20, "D")
        absurd = make_panel()
        absurd.past[absurd.times > cutoff] = -1e9
        forecasts, states = [], []
        for number, panel in enumerate((clean, absurd)):
            schema = panel_schema(panel)
            pair = fit_pair(panel.until(cutoff), schema, self.make(), FakeModel(None), 0, 7)
            forecasts.append(pair.forecast(panel.context(schema, panel.entities, cutoff)).values)
            states.append(saved(pair.preprocessor, tmp_path / str(number)))
        doing = "a pair whose rows after the cutoff are absurd"
        cause = "the preprocessor keeps rows from elsewhere than fit's arguments"
        same_bits(forecasts[1], forecasts[0], f"the forecast of {doing}", cause)
        if self.stable_files:
            same_files(states[1], states[0], doing, cause)
