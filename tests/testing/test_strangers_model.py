"""The model of another library in ``examples/third_party_model`` keeps the contract."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from framework.config.catalog import Plugins
from framework.plugins.discovery import load_plugins
from framework.testing.contracts.model import ModelContract

sys.path.insert(0, str(Path(__file__).parents[2] / "examples" / "third_party_model"))
import framework_linear


class TestLinear(ModelContract):
    name = "linear"

    def plugins(self, *extra: Any) -> Plugins:
        return load_plugins(extra=[framework_linear, *extra])

    def test_the_plugin_module_is_light(self) -> None:
        """It is not installed here: a test of wheels runs this check."""
