"""A pair that cannot be opened again, or answers otherwise then, is not registered."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from framework.errors import RefusedError
from framework.interfaces.plugin import Component, hookimpl
from framework.pairs.admission import admit
from framework.plugins.discovery import load_plugins
from framework.testing import fakes
from framework.testing.contracts.drafts import make_draft


class BatchDependent(fakes.FakeModel):
    """A model whose answer depends on how many windows it is asked for."""

    def predict(self, windows):
        return super().predict(windows) + (1.0 if len(windows) == 2 else 0.0)


class Truncated(fakes.FakeModel):
    """A model that forgets a step when it is opened."""

    def predict(self, windows):
        return super().predict(windows)[:, :-1]


class Offers:
    @hookimpl
    def components(self) -> list[Component]:
        return [
            Component("model", kind.__name__.lower(), f"{__name__}:{kind.__name__}")
            for kind in (BatchDependent, Truncated)
        ]


PLUGINS = load_plugins(extra=[fakes, Offers()])


def test_what_was_written_as_it_was_fitted_passes(tmp_path: Path) -> None:
    admit(make_draft(tmp_path), PLUGINS)


@pytest.mark.parametrize("half", ["preprocessor", "model"])
def test_a_pickle_is_refused_by_its_name(tmp_path: Path, half: str) -> None:
    draft = make_draft(tmp_path)
    (getattr(draft, half) / "state" / "notes.bin").write_bytes(pickle.dumps([1]))
    with pytest.raises(RefusedError, match=f"{half} half: state/notes.bin is a pickle"):
        admit(draft, PLUGINS)


def test_a_pickle_of_the_oldest_protocol_is_known_by_its_name(tmp_path: Path) -> None:
    draft = make_draft(tmp_path)
    (draft.model / "state" / "NOTES.PKL").write_bytes(pickle.dumps([1], protocol=0))
    with pytest.raises(RefusedError, match=r"model half: state/NOTES.PKL is a pickle"):
        admit(draft, PLUGINS)


def test_an_array_of_objects_in_an_archive_is_a_pickle(tmp_path: Path) -> None:
    draft = make_draft(tmp_path)
    np.savez(draft.model / "state" / "more.npz", allow_pickle=True, a=np.array([{}], dtype=object))
    with pytest.raises(RefusedError, match=r"model half: state/more.npz/a.npy is a pickle"):
        admit(draft, PLUGINS)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("batchdependent", "in batches of 2: .* the golden batch differs by"),
        ("truncated", "not registered"),
        ("absent", "not registered"),
    ],
)
def test_a_model_that_answers_otherwise_when_opened_is_refused(
    tmp_path: Path, model: str, said: str
) -> None:
    draft = make_draft(tmp_path)
    component = draft.model / "component.json"
    component.write_text(json.dumps({"kind": "model", "name": model}))
    with pytest.raises(RefusedError, match=said):
        admit(draft, PLUGINS)


def test_a_load_that_fails_is_refused(tmp_path: Path) -> None:
    draft = make_draft(tmp_path)
    (draft.model / "state" / "model.json").unlink()
    with pytest.raises(RefusedError, match="not registered"):
        admit(draft, PLUGINS)
