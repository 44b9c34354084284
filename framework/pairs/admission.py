"""Before a pair is registered: it is opened from what was written and forecasts its golden batch.

What cannot be opened again, holds a pickle, or answers a window otherwise in another batch is
refused here, where the training can still be repeated, and not by the server that loads it.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from framework.config.catalog import Plugins
from framework.errors import FrameworkError, RefusedError, one_line
from framework.interfaces.registry import PairDraft
from framework.pairs.artifacts import open_pair
from framework.pairs.golden import Golden, golden_of, replay
from framework.pairs.manifest import HALVES
from framework.pairs.pair import Pair

#: Sizes of the batches that the golden windows are forecast in, beside all of them together.
_BATCHES = (1, 2, 3)
_PICKLE = re.compile(rb"\x80[\x02-\x05]")
_PICKLE_NAMES = (".pkl", ".pickle", ".joblib", ".dill")
#: An array's header is shorter.
_HEADER = 4096


def admit(draft: PairDraft, plugins: Plugins) -> None:
    """Open a draft from its files and let it answer its golden batch, alone and in batches.

    Args:
        draft: The pair on local disk.
        plugins: Where components are found.

    Raises:
        RefusedError: A file is a pickle, a half cannot be opened, or an answer differs; the
            message names which.
    """
    for half in HALVES:
        for file in _pickles(getattr(draft, half)):
            raise RefusedError(
                f"{half} half: {file} is a pickle, which runs code when it is loaded; the pair is "
                "not registered: let the component save JSON, npz or its library's own format."
            )
    try:
        pair, golden = open_pair(draft.preprocessor, draft.model, plugins), golden_of(draft.model)
        for size in (len(golden.context), *_BATCHES):
            _replay_in_batches(pair, golden, size)
    except Exception as error:  # a component raises what its library raises
        reason = str(error) if isinstance(error, FrameworkError) else one_line(error, 300)
        raise RefusedError(
            f"the pair is not registered, what was written does not answer as what was fitted: "
            f"{reason}"
        ) from error


def _replay_in_batches(pair: Pair, golden: Golden, size: int) -> None:
    for start in range(0, len(golden.context), size):
        rows = np.arange(start, min(start + size, len(golden.context)))
        part = Golden(golden.context.take(rows), golden.values[rows], golden.tolerance)
        try:
            replay(pair, part)
        except RefusedError as error:
            raise RefusedError(f"in batches of {size}: {error}") from error


def _pickles(directory: Path) -> Iterator[str]:
    """The files, and the members of archives, that are pickles or arrays of objects."""
    for path in sorted(p for p in directory.rglob("*") if p.is_file()):
        name = path.relative_to(directory).as_posix()
        with path.open("rb") as stream:
            head = stream.read(_HEADER)
        if _is_pickle(name, head):
            yield name
        elif head.startswith(b"PK") and zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                for member in archive.namelist():
                    with archive.open(member) as file:
                        if _is_pickle(member, file.read(_HEADER)):
                            yield f"{name}/{member}"


def _is_pickle(name: str, head: bytes) -> bool:
    return (
        name.lower().endswith(_PICKLE_NAMES)
        or _PICKLE.match(head) is not None
        or (head.startswith(b"\x93NUMPY") and _holds_objects(head))
    )


def _holds_objects(head: bytes) -> bool:
    """Say whether an array is one of objects, which numpy stores as a pickle."""
    stream = io.BytesIO(head)
    version = np.lib.format.read_magic(stream)
    read = (
        np.lib.format.read_array_header_1_0
        if version == (1, 0)
        else np.lib.format.read_array_header_2_0
    )
    try:
        return bool(read(stream)[2].hasobject)
    except ValueError:
        return False  # no array: the component's own reader says so
