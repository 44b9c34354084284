"""The contract of a registry: subclass :class:`RegistryContract` in your plugin's tests and give it
the fixture ``registry``.
"""

from __future__ import annotations

import json
import sys
import threading
from importlib import metadata
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from framework.errors import FrameworkError, RefusedError, RegistryError
from framework.interfaces.registry import PairDraft, Registry
from framework.pairs.artifacts import Evidence, write_pair
from framework.pairs.loading import load_pair
from framework.plugins.discovery import load_plugins
from framework.testing import fakes

#: Where a development version of a distribution would be: :func:`install_fakes` makes the fakes a
#: plugin like any other.
_ENTRY_POINTS = "[framework]\nfakes = framework.testing.fakes\n"


def install_fakes(directory: Path) -> str:
    """Write a distribution that offers the fakes, for code that loads plugins by itself, such as
    MLflow's PyFunc loader or a server in another process.

    Args:
        directory: Where it is written.

    Returns:
        The folder for ``sys.path`` or ``PYTHONPATH``.
    """
    place = directory / "framework_fakes-0.dist-info"
    place.mkdir(parents=True, exist_ok=True)
    (place / "METADATA").write_text("Metadata-Version: 2.1\nName: framework-fakes\nVersion: 0\n")
    (place / "entry_points.txt").write_text(_ENTRY_POINTS)
    return str(directory)


def make_draft(
    directory: Path, name: str = "fake", config: str = "run: train\n", shift: float = 0.0
) -> PairDraft:
    """Write a pair of fakes to disk.

    Args:
        directory: The folder, which is made.
        name: The pair's name.
        config: Its composed config.
        shift: What its forecasts are shifted by.

    Returns:
        The pair, not yet registered.
    """
    pair, golden = fakes.make_pair(fakes.make_schema(name=name), shift=shift)
    directory.mkdir(parents=True, exist_ok=True)
    write_pair(
        directory,
        pair,
        {"preprocessor": "fake", "model": "fake"},
        Evidence(golden, pd.DataFrame({"step": [1]}), {}),
    )
    requirements = tuple(
        f"{package}=={metadata.version(package)}" for package in ("framework-core", "numpy")
    )
    return PairDraft(
        directory / "preprocessor", directory / "model", pair.schema, config, requirements
    )


class RegistryContract:
    """The promises of every registry. ``registry`` is a new, empty one for each test."""

    @pytest.fixture
    def registry(self, tmp_path: Path) -> Registry:
        """Give a new, empty registry: the subclass overrides this fixture.

        Args:
            tmp_path: A folder of the test's own.

        Returns:
            The registry.

        Raises:
            NotImplementedError: The subclass does not.
        """
        raise NotImplementedError("give the fixture 'registry': a new, empty registry")

    @pytest.fixture(autouse=True)
    def _fakes_are_installed(
        self, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(
            sys, "path", [install_fakes(tmp_path_factory.mktemp("site")), *sys.path]
        )

    def test_an_empty_registry_says_that_it_is_empty(self, registry: Registry) -> None:
        assert registry.pairs() == []
        assert registry.history("fake") == []
        with pytest.raises(RegistryError, match=r"'fake'.*empty"):
            registry.resolve("fake", "latest")

    def test_numbers_rise_and_latest_is_the_newest(
        self, registry: Registry, tmp_path: Path
    ) -> None:
        versions = [registry.register(make_draft(tmp_path / str(i)), f"run{i}") for i in range(3)]
        assert [p.version for p in versions] == [1, 2, 3]
        assert [p.run_id for p in versions] == ["run0", "run1", "run2"]
        assert len({p.pair_id for p in versions}) == len({p.digest for p in versions}) == 3
        assert registry.pairs("fake") == versions[::-1]
        assert registry.resolve("fake", "latest") == versions[2]
        assert registry.resolve("fake", "2") == registry.resolve("fake", "v2") == versions[1]

    def test_names_are_independent(self, registry: Registry, tmp_path: Path) -> None:
        one, other = (
            registry.register(make_draft(tmp_path / "a", "one"), "r"),
            registry.register(make_draft(tmp_path / "b", "other"), "r"),
        )
        assert (one.version, other.version) == (1, 1)
        assert registry.pairs("one") == [one]
        assert {p.name for p in registry.pairs()} == {"one", "other"}
        with pytest.raises(RegistryError, match="Did you mean 'other'"):
            registry.resolve("othre", "latest")

    def test_a_fetched_pair_answers_as_it_was_written(
        self, registry: Registry, tmp_path: Path
    ) -> None:
        draft = make_draft(tmp_path / "draft", config="seed: 7\n")
        registry.register(draft, "r")
        loaded_pair = load_pair(registry, load_plugins(), "fake", "latest")
        pair, golden = fakes.make_pair()
        assert loaded_pair.pair.schema == pair.schema
        np.testing.assert_array_equal(
            loaded_pair.pair.forecast(golden.context).values, golden.values
        )
        assert registry.fetch(loaded_pair.version).config == "seed: 7\n"

    def test_an_alias_moves_and_is_remembered(self, registry: Registry, tmp_path: Path) -> None:
        for i in range(2):
            registry.register(make_draft(tmp_path / str(i)), "r")
        registry.move("fake", "production", 1, expected=None)
        assert registry.resolve("fake", "production").version == 1
        entry = registry.move(
            "fake",
            "production",
            2,
            expected=1,
            reason="better",
            verdict={"passed": True, "MAE": 1.5},
        )
        assert (entry.action, entry.alias, entry.before, entry.after, entry.reason) == (
            "move",
            "production",
            1,
            2,
            "better",
        )
        assert entry.verdict == {"passed": True, "MAE": 1.5}
        assert entry.digest == registry.resolve("fake", "2").digest
        assert [p.aliases for p in registry.pairs("fake")] == [("production",), ()]
        moves = registry.history("fake", "production")
        assert [(e.before, e.after) for e in moves] == [(None, 1), (1, 2)]
        assert moves[-1] == entry
        assert [e.action for e in registry.history("fake")] == [
            "register",
            "register",
            "move",
            "move",
        ]
        assert entry.who
        assert entry.at > moves[0].at

    def test_a_mover_who_expected_otherwise_is_told(
        self, registry: Registry, tmp_path: Path
    ) -> None:
        for i in range(3):
            registry.register(make_draft(tmp_path / str(i)), "r")
        registry.move("fake", "production", 1, expected=None)
        registry.move("fake", "production", 2, expected=1)
        with pytest.raises(RefusedError, match=r"version 2.*not at version 1.*moved it first"):
            registry.move("fake", "production", 3, expected=1)
        with pytest.raises(RefusedError, match="not at nothing"):
            registry.move("fake", "production", 3, expected=None)
        assert registry.resolve("fake", "production").version == 2
        assert len(registry.history("fake", "production")) == 2

    @pytest.mark.parametrize("alias", ["latest", "v1", "V12", "7", "", "a b", "LATEST", "x" * 300])
    def test_a_name_that_means_a_version_is_no_alias(
        self, registry: Registry, tmp_path: Path, alias: str
    ) -> None:
        registry.register(make_draft(tmp_path / "draft"), "r")
        with pytest.raises(FrameworkError, match="alias") as raised:
            registry.move("fake", alias, 1, expected=None)
        assert "\n" not in str(raised.value)

    def test_only_a_complete_pair_gets_an_alias(self, registry: Registry, tmp_path: Path) -> None:
        registry.register(make_draft(tmp_path / "draft"), "r")
        with pytest.raises(RegistryError, match="no complete pair of version 2"):
            registry.move("fake", "production", 2, expected=None)
        with pytest.raises(RegistryError, match="no alias 'production'"):
            registry.resolve("fake", "production")
        with pytest.raises(RegistryError, match="no complete pair of version 9"):
            registry.resolve("fake", "9")

    def test_a_refusal_is_remembered_and_moves_nothing(
        self, registry: Registry, tmp_path: Path
    ) -> None:
        for i in range(2):
            registry.register(make_draft(tmp_path / str(i)), "r")
        registry.move("fake", "production", 1, expected=None)
        entry = registry.refuse("fake", "production", 2, "worse", {"passed": False})
        assert (entry.action, entry.before, entry.after, entry.reason, entry.verdict) == (
            "refuse",
            1,
            2,
            "worse",
            {"passed": False},
        )
        assert registry.resolve("fake", "production").version == 1
        assert registry.history("fake", "production")[-1] == entry

    @pytest.mark.parametrize("half", ["preprocessor", "model"])
    def test_a_changed_byte_is_refused_and_named(
        self, registry: Registry, tmp_path: Path, half: str
    ) -> None:
        version = registry.register(make_draft(tmp_path / "draft"), "r")
        file = next(
            p
            for p in sorted(getattr(registry.fetch(version), half).rglob("*.json"))
            if p.parent.name == "state"
        )
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
        with pytest.raises(RefusedError, match=rf"{half} half: file .*{file.name} was changed"):
            registry.fetch(version)

    def test_a_half_of_another_pair_is_refused(self, registry: Registry, tmp_path: Path) -> None:
        versions = [registry.register(make_draft(tmp_path / str(i)), "r") for i in range(2)]
        one, two = (registry.fetch(version) for version in versions)
        (one.model / "component.json").write_text(json.dumps({"kind": "model", "name": "other"}))
        with pytest.raises(RefusedError):
            registry.fetch(versions[0])
        assert registry.fetch(versions[1]).model == two.model

    def test_parallel_registrations_get_numbers_of_their_own(
        self, registry: Registry, tmp_path: Path
    ) -> None:
        drafts = [make_draft(tmp_path / str(i)) for i in range(4)]
        registry.register(drafts[0], "r")
        numbers: list[int] = []
        threads = [
            threading.Thread(target=lambda d=d: numbers.append(registry.register(d, "r").version))
            for d in drafts[1:]
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(numbers) == [2, 3, 4]
        for version in registry.pairs("fake"):
            registry.fetch(version)
