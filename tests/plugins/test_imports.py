"""What the workers of a server import together."""

from __future__ import annotations

from importlib.util import find_spec

from framework.plugins.discovery import load_plugins


def test_what_a_component_names_can_be_imported() -> None:
    """A module that is not there would be left out in silence, and each worker import it alone."""
    named = {module for one in load_plugins().components() for module in one.imports}
    assert "darts.models.forecasting.pl_forecasting_module" in named
    assert [module for module in named if find_spec(module) is None] == []
