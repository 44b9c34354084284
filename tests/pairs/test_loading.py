"""A pair whose plugin is not installed here says which distribution it was made with."""

from __future__ import annotations

from pathlib import Path

import pytest

from framework.errors import ConfigError, NotInstalledError
from framework.interfaces.registry import PairVersion, ProvenPair
from framework.pairs.loading import open_proven
from framework.plugins.discovery import load_plugins
from framework.testing import fakes
from framework.testing.contracts.drafts import make_draft

VERSION = PairVersion("fake", 3, "id", "d" * 64, "run", "2024-05-01")


def test_a_plugin_that_was_uninstalled_is_named_with_its_version(tmp_path: Path) -> None:
    draft = make_draft(tmp_path)
    environment = {"python": "3.11.7", "numpy": "2.0", "framework-gone": "1.2"}
    files = ProvenPair(VERSION, draft.preprocessor, draft.model, "", environment)
    with pytest.raises(NotInstalledError) as caught:
        open_proven(files, load_plugins())
    assert str(caught.value).startswith(
        "'fake' version 3 was made with what is not installed here: pip install "
        "framework-gone==1.2 (preprocessor=fake is not known;"
    )
    assert open_proven(files, load_plugins(extra=[fakes])).version == VERSION
    with pytest.raises(ConfigError, match=r"^preprocessor=fake is not known"):
        open_proven(ProvenPair(VERSION, draft.preprocessor, draft.model, ""), load_plugins())
