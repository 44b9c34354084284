"""The garbage collector rests while something large is imported, and no longer."""

from __future__ import annotations

import gc
import sys
from pathlib import Path

import pytest
from framework_ray.imports import import_all

SAYS = "import gc\nresting = not gc.isenabled()\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_the_collector_rests_meanwhile(folder: Path) -> None:
    (folder / "imported_at_rest.py").write_text(SAYS)
    import_all(("imported_at_rest",))
    assert sys.modules["imported_at_rest"].resting
    assert gc.isenabled()


def test_it_collects_again_after_an_import_that_fails(folder: Path) -> None:
    (folder / "imported_and_failed.py").write_text("raise ImportError('no such library')\n")
    with pytest.raises(ImportError, match="no such library"):
        import_all(("imported_and_failed",))
    assert gc.isenabled()


def test_who_has_switched_it_off_finds_it_off(folder: Path) -> None:
    (folder / "imported_without.py").write_text(SAYS)
    gc.disable()
    try:
        import_all(("imported_without",))
        assert not gc.isenabled()
    finally:
        gc.enable()
