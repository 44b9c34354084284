"""Plugins are found by their entry points; what is wrong with one is said in one line that names
it.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from time import process_time
from types import SimpleNamespace

import pytest

from framework.config.catalog import FIRST_PARTY
from framework.config.groups import GROUPS
from framework.errors import ConfigError, FrameworkError, NotInstalledError, UnavailableError
from framework.interfaces.plugin import Component, hookimpl
from framework.plugins import discovery
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
        == "model=strange of plugin new (stranger-model 1.0) cannot be imported: No module named "
        "'nowhere_to_be_found'; reinstall its distribution."
    )


HOOKED = "from framework.interfaces.plugin import Component, hookimpl\n@hookimpl\n"
MEND = ". It is left out; mend or uninstall it, or block it: plugins.block=[new]."


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import a_library_gone", "ModuleNotFoundError: No module named 'a_library_gone'"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("import sys; sys.exit('no licence')", "SystemExit: no licence"),
        (
            "FRAMEWORK_API = 99",
            "it was written for version 99 of the plugins' interfaces, and this core has version 1",
        ),
        (
            f"{HOOKED}def components():\n    raise KeyError('model')",
            "components(): KeyError: 'model'",
        ),
        (
            f"{HOOKED}def components():\n    [Component('model', 'x', 'a:B')]",
            "components() returns nothing, not a list; end it with 'return [...]'",
        ),
        (
            f"{HOOKED}def components():\n    return ['model']",
            "components() returns 'model', not a Component",
        ),
        (
            f"{HOOKED}def components():\n    return [Component('modle', 'x', 'a:B')]",
            "Component('modle', 'x'): there is no such kind; Did you mean 'model'? Kinds: source, ",
        ),
        (
            f"{HOOKED}def components():\n    return [Component('model', 'x', 'a.B')]",
            "Component('model', 'x'): load='a.B' is not written package.module:Class",
        ),
        (
            f"{HOOKED}def components():\n    return [Component('model', 'x:y', 'a:B')]",
            "Component('model', 'x:y'): a name has letters, digits and _ . - alone",
        ),
        (
            f"{HOOKED}def components():\n    return [Component('model', 'x', 'a:B', dict)]",
            "Component('model', 'x'): options=<class 'dict'> is not a subclass of "
            "framework.options.Options",
        ),
        (
            "from framework.options import Options\nclass O(Options):\n    k: object = object()\n"
            f"{HOOKED}def components():\n    return [Component('model', 'x', 'a:B', O)]",
            "Component('model', 'x'): the defaults of O cannot be written as YAML: ",
        ),
        (
            "from framework.options import Options\nclass O(Options):\n    name: str = 'x'\n"
            f"{HOOKED}def components():\n    return [Component('model', 'x', 'a:B', O)]",
            "Component('model', 'x'): an option of O is called 'name', the key that selects the "
            "component; rename it",
        ),
        (
            f"{HOOKED}def run_finnished(run):\n    pass",
            "there is no hook 'run_finnished'; Did you mean 'run_finished'? Hooks: alias_moved, ",
        ),
        (
            f"{HOOKED}def run_finished(run, verdict):\n    pass",
            "PluginValidationError: Plugin 'new (strange-offer)' for hook 'run_finished' hookimpl ",
        ),
    ],
)
def test_a_plugin_that_is_wrong_is_left_out_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, reason: str
) -> None:
    _distribution(tmp_path, "strange-offer", "strange_offer", code)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "strange_offer", raising=False)
    plugins = load_plugins(extra=[fakes])
    (problem,) = plugins.problems
    assert problem.status == "broken"
    assert str(problem).startswith(f"plugin new (strange-offer 1.0): {reason}")
    assert str(problem).endswith(MEND)
    assert "\n" not in str(problem)
    assert plugins.load("model", "fake") is fakes.FakeModel
    assert ("model", "x") not in {(c.kind, c.name) for c in plugins.components()}
    one_offer = reason.startswith(("Component(", "components() returns 'model'"))
    assert plugins.manager.has_plugin("new (strange-offer)") == one_offer
    with pytest.raises(ConfigError, match=r"new \(strange-offer 1\.0\)"):
        plugins.find("model", "x")


def test_a_slow_plugin_is_used_and_named_with_what_it_imports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "import time, quite_heavy; time.sleep(0.06)\n" + OFFER.format(model="strange")
    _distribution(tmp_path, "slow-model", "slow_model", code)
    (tmp_path / "quite_heavy.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(discovery, "SLOW", 0.05)
    plugins = load_plugins()
    (problem,) = [p for p in plugins.problems if p.origin.plugin == "new"]
    assert str(problem) == (
        f"plugin new (slow-model 1.0): {problem.reason}; plugins.block=[new] starts without it."
    )
    assert re.fullmatch(
        r"its import takes 0\.\d s of every start, with quite_heavy", problem.reason
    )
    assert plugins.find("model", "strange").name == "strange"


def test_a_slow_offer_is_used_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = OFFER.format(model="strange").replace(
        "    return", "    import time; time.sleep(0.06)\n    return"
    )
    _distribution(tmp_path, "slow-offer", "slow_offer", code)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("framework.config.offers.SLOW", 0.05)
    plugins = load_plugins()
    (problem,) = [p for p in plugins.problems if p.origin.plugin == "new"]
    assert re.fullmatch(
        r"plugin new \(slow-offer 1\.0\): its components\(\) takes 0\.\d s of every start; "
        r"plugins\.block=\[new\] starts without it\.",
        str(problem),
    )
    assert plugins.find("model", "strange").name == "strange"


def test_broken_plugins_add_less_than_a_tenth_of_a_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def seconds() -> float:
        spent = []
        for _ in range(3):
            started = process_time()
            load_plugins()
            spent.append(process_time() - started)
        return min(spent)

    before = seconds()
    for number in range(10):
        name = f"broken-{number}"
        _distribution(tmp_path, name, name.replace("-", "_"), "import a_library_gone")
    monkeypatch.syspath_prepend(tmp_path)
    assert seconds() - before < 0.1
    assert len([p for p in load_plugins().problems if p.status == "broken"]) == 10


@pytest.mark.parametrize("name", ["new", "broken-model"])
def test_a_blocked_plugin_is_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    _distribution(tmp_path, "broken-model", "broken_model", "raise SystemError('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    discovery.block([name])
    try:
        (problem,) = load_plugins().problems
    finally:
        discovery.block([])
    assert str(problem) == "plugin new (broken-model 1.0) is blocked by plugins.block."


def test_two_plugins_with_one_name_are_told_apart_by_their_distributions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _distribution(tmp_path, "acme", "other_naive", OFFER.format(model="seasonal_naive"))
    monkeypatch.syspath_prepend(tmp_path)
    plugins = load_plugins(extra=[fakes])
    with pytest.raises(UnavailableError) as caught:
        plugins.find("model", "seasonal_naive")
    assert str(caught.value) == (
        "model=seasonal_naive is offered by 2 distributions; say which: "
        "model=acme:seasonal_naive or model=framework-baselines:seasonal_naive."
    )
    assert plugins.find("model", "acme:seasonal_naive").load == "nowhere_to_be_found:Model"
    assert plugins.load("model", "framework-baselines:seasonal_naive").__name__ == "SeasonalNaive"
    assert plugins.find("model", "framework-xgboost:xgboost").name == "xgboost"
    assert "seasonal_naive" not in plugins.missing("model")
    assert plugins.problems == []


def test_runs_with_one_name_are_left_out_and_the_cores_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = HOOKED + (
        "def components():\n    return [Component('run', 'train', 'a:b'), "
        "Component('run', 'audit', 'a:b')]\n"
    )
    _distribution(tmp_path, "acme", "acme_runs", code)
    monkeypatch.syspath_prepend(tmp_path)
    plugins = load_plugins(extra=[_plugin(Component("run", "audit", "c:d"))])
    assert plugins.find("run", "train").load == "framework.runs.train:train"
    with pytest.raises(UnavailableError, match=r"run=audit: plugin .* both offer run=audit"):
        plugins.find("run", "audit")
    assert [str(p).partition("both offer ")[2].partition(".")[0] for p in plugins.problems] == [
        "run=train",
        "run=audit",
        "run=audit",
    ]


CLASSES = """
from abc import ABC, abstractmethod

class Base(ABC):
    @abstractmethod
    def fit(self): ...
    @abstractmethod
    def predict(self): ...

class Half(Base):
    def fit(self): ...

class Failing:
    def __init__(self, options):
        raise KeyError("weights")

function = len
"""


@pytest.mark.parametrize(
    ("attribute", "error"),
    [
        ("Gone", "cannot be imported: module acme_classes has no 'Gone'; mend its plugin."),
        (
            "Half",
            "class acme_classes:Half lacks what its interface asks for: predict; mend its plugin.",
        ),
        ("Failing", "Failing(options): KeyError: 'weights'; mend its plugin."),
        (
            "function",
            "acme_classes:function is <built-in function len>, not a class; mend its plugin.",
        ),
    ],
)
def test_a_component_that_cannot_be_made_is_named_with_its_plugin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, attribute: str, error: str
) -> None:
    code = HOOKED + (
        f"def components():\n    return [Component('model', 'acme', 'acme_classes:{attribute}')]\n"
    )
    _distribution(tmp_path, "acme-dist", "acme_offer", code)
    (tmp_path / "acme_classes.py").write_text(CLASSES)
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("acme_offer", "acme_classes"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    with pytest.raises(FrameworkError) as caught:
        load_plugins().make("model", "acme", None)
    label = "model=acme of plugin new (acme-dist 1.0)"
    assert str(caught.value) == f"{label}{' ' if attribute == 'Gone' else ': '}{error}"


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


ONE_FILE = """
from framework.interfaces.model import Model
from framework.interfaces.plugin import Component, hookimpl
from framework.options import Options


class LastOptions(Options):
    factor: float = 1.0


class Last(Model):
    def fit(self, train, validation, schema, seed): ...
    def predict(self, windows): ...
    def save(self, directory): ...
    @classmethod
    def load(cls, directory): ...


@hookimpl
def components():
    return [Component("model", "last", f"{__name__}:Last", LastOptions, "the last value")]
"""


def test_a_file_of_the_projects_folder_is_a_plugin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for project, factor in (("one", "1.0"), ("two", "2.0")):
        folder = tmp_path / project / "plugins"
        folder.mkdir(parents=True)
        (folder / "last.py").write_text(ONE_FILE.replace("1.0", factor))
        (folder / "__init__.py").write_text("1 / 0")
        monkeypatch.chdir(folder.parent)
        assert "last" not in load_plugins().names("model"), "it is no project yet"
        (folder.parent / "conf").mkdir()
    (tmp_path / "two" / "plugins" / "broken.py").write_text("import nowhere_to_be_found\n")
    monkeypatch.delitem(sys.modules, "plugins.last", raising=False)
    for project, factor in (("one", 1.0), ("two", 2.0)):
        monkeypatch.chdir(tmp_path / project)
        plugins = load_plugins()
        options = plugins.find("model", "last").options()
        assert options.factor == factor  # type: ignore[attr-defined]
        assert plugins.make("model", "last", options).options == options
        assert plugins.origin(plugins.find("model", "last")).distribution == "plugins/last.py"
    (problem,) = plugins.problems
    assert str(problem).startswith("plugin broken (plugins/broken.py): ModuleNotFoundError: ")
    monkeypatch.delitem(sys.modules, "plugins.last")
