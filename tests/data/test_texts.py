"""Texts as numbers read as the array that they were made of."""

from __future__ import annotations

import mmap
import pickle
from pathlib import Path

import numpy as np
import pytest

from framework.data.panel_parts import joined_panel
from framework.data.scratch import IN_MEMORY, Scratch
from framework.data.texts import CodedTexts, TextCoder
from framework.testing.panels import make_panel

TEXTS = np.array(
    [["a", "x"], ["b", None], ["a", "x"], ["ä", "z"], [None, "x"], ["b", "y"]], dtype=object
)


def _coded() -> CodedTexts:
    coder = TextCoder(2)
    return coder.coded(np.concatenate([coder.codes(TEXTS[:2]), coder.codes(TEXTS[2:])]))


@pytest.mark.parametrize(
    "key",
    [
        slice(None),
        slice(1, 4),
        3,
        np.array([4, 0, 0]),
        TEXTS[:, 0] == "a",
        (slice(None), 1),
        (slice(2, 5), 0),
        (1, 1),
        (np.array([5, 1]), 0),
        (slice(None, None, 2), slice(1, 2)),
        np.zeros(0, dtype=np.int64),
    ],
)
def test_a_part_is_that_of_the_array(key: object) -> None:
    part, expected = _coded()[key], TEXTS[key]  # type: ignore[index]
    assert type(part) is type(expected)
    assert np.shape(part) == np.shape(expected)
    assert np.array_equal(part, expected)


def test_the_whole_and_its_copies_are_the_array() -> None:
    coded = _coded()
    assert (len(coded), coded.shape) == (6, (6, 2))
    assert np.array_equal(np.asarray(coded), TEXTS)
    assert np.array_equal(pickle.loads(pickle.dumps(coded))[:], TEXTS)
    assert coded.codes.dtype == np.int32


def test_a_column_of_a_panel_in_files_is_there_once(tmp_path: Path) -> None:
    panel = make_panel(series=9)
    static = np.asarray(panel.static)
    static[::5, 1] = None
    keep = panel.times > panel.times[3]
    in_memory, mapped = (
        joined_panel(panel.pieces(), scratch) for scratch in (IN_MEMORY, Scratch(tmp_path))
    )
    assert in_memory is not None
    assert mapped is not None
    assert isinstance(in_memory.static, np.ndarray)
    for part in (mapped, mapped.select(keep)):
        assert isinstance(part.static, CodedTexts)
        assert isinstance(part.static.codes.base, mmap.mmap)
    assert np.array_equal(mapped.static[:], in_memory.static)
    assert np.array_equal(mapped.select(keep).static[:], in_memory.select(keep).static)
    assert mapped.to_rows().equals(in_memory.to_rows())
