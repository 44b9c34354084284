"""Plugins are found by their entry points; what is wrong with one is said in one line that names
it.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from framework.config.catalog import FIRST_PARTY
from framework.config.groups import GROUPS
from framework.errors import ConfigError, FrameworkError, NotInstalledError
from framework.interfaces.plugin import Component, hookimpl
from framework.plugins.discovery import load_plugins
from framework.testing import fakes


def _plugin(*offers: Component) -> object:
    @hookimpl
    def components() -> list[Component]:
        return list(offers)

    return SimpleNamespace(components=components, __name__="stranger")


def _distribution(folder: Path, name: str, module: str, code: str) -> None:
    """What an installed distribution with one entry point is on disk."""
    (folder / f"{module}.py").write_text(code)
    info = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[framework]\nnew = {module}\n")


OFFER = """
from framework.interfaces.plugin import Component, hookimpl

@hookimpl
def components():
    return [Component("model", "{model}", "nowhere_to_be_found:Model", summary="from outside")]
"""


def test_an_installed_entry_point_is_offered_and_not_imported_further(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _distribution(tmp_path, "stranger-model", "stranger_model", OFFER.format(model="strange"))
    monkeypatch.syspath_prepend(tmp_path)
    plugins = load_plugins()
    assert plugins.find("model", "strange").summary == "from outside"
    assert "nowhere_to_be_found" not in sys.modules
    with pytest.raises(FrameworkError) as caught:
        plugins.load("model", "strange")
    assert (
        str(caught.value)
        == "model=strange cannot be imported: No module named 'nowhere_to_be_found'; reinstall "
        "its distribution."
    )


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (
            "import a_library_that_is_gone",
            "ModuleNotFoundError: No module named 'a_library_that_is_gone'",
        ),
        ("1 / 0", "ZeroDivisionError: division by zero"),
    ],
)
def test_a_plugin_that_cannot_be_imported_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, reason: str
) -> None:
    _distribution(tmp_path, "broken-model", "broken_model", code)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "broken_model", raising=False)
    with pytest.raises(FrameworkError) as caught:
        load_plugins()
    assert str(caught.value) == f"plugin new (broken-model): {reason}; reinstall or uninstall it."
    assert caught.value.exit_code == 1


def test_a_plugin_whose_offer_fails_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = (
        "from framework.interfaces.plugin import hookimpl\n\n@hookimpl\ndef components():\n    "
        "raise KeyError('model')\n"
    )
    _distribution(tmp_path, "failing-model", "failing_model", code)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(
        FrameworkError,
        match=r"^plugin new \(failing-model\): components\(\): KeyError: 'model'; reinstall or uninstall it\.$",  # noqa: E501
    ):
        load_plugins()


def test_two_plugins_that_offer_the_same_are_both_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _distribution(tmp_path, "other-fake", "other_fake", OFFER.format(model="fake"))
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError) as caught:
        load_plugins(extra=[fakes])
    text = str(caught.value)
    assert text.startswith("plugins ")
    assert "new (other-fake)" in text
    assert "framework.testing.fakes" in text
    assert text.endswith(" both offer model=fake; uninstall one.")


def test_one_name_in_two_kinds_is_no_clash() -> None:
    plugins = load_plugins(
        extra=[_plugin(Component("model", "same", "a:B"), Component("source", "same", "c:D"))]
    )
    assert plugins.find("model", "same").load == "a:B"
    assert plugins.find("source", "same").load == "c:D"


def test_an_unknown_name_is_answered_with_the_closest_and_all() -> None:
    plugins = load_plugins(extra=[_plugin(Component("source", "warehouse", "a:B"))])
    with pytest.raises(ConfigError) as caught:
        plugins.find("source", "warehuose")
    assert str(caught.value).startswith(
        "source=warehuose is not known; Did you mean 'warehouse'? Installed: "
    )


def test_a_first_party_component_that_is_not_installed_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(FIRST_PARTY, ("model", "prophecy"), "framework-prophecy")
    plugins = load_plugins()
    with pytest.raises(NotInstalledError) as caught:
        plugins.find("model", "prophecy")
    assert str(caught.value) == "model=prophecy is not installed: pip install framework-prophecy"
    assert caught.value.exit_code == 2
    assert "prophecy" in plugins.missing("model")


def test_components_load_to_what_their_kind_says() -> None:
    plugins = load_plugins(extra=[fakes])
    assert plugins.load("model", "fake") is fakes.FakeModel
    assert callable(plugins.load("run", "train"))
    assert plugins.names("preprocessor").count("fake") == 1


def test_every_component_of_every_group_has_a_summary_for_help() -> None:
    plugins = load_plugins()
    bare = [f"{c.kind}={c.name}" for c in plugins.components() if not c.summary]
    assert bare == []
    assert {c.kind for c in plugins.components()} <= {*GROUPS.values(), "alert_sink", "run"}
