"""The part of the contract of registries that is about changed pairs.

:class:`framework.testing.contracts.registry.RegistryContract` holds it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from framework.errors import RefusedError
from framework.interfaces.registry import PairVersion, Registry
from framework.testing.contracts.drafts import install_fakes, make_draft
from framework.testing.contracts.findings import refusal


class TamperingContract:
    """A changed pair is refused and found; a whole one is no finding."""

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

    def registered(self, registry: Registry, folder: Path, count: int) -> list[PairVersion]:
        """Register pairs of the name ``fake``.

        Args:
            registry: Where.
            folder: Where their drafts are written.
            count: How many.

        Returns:
            The pairs, oldest first.
        """
        return [registry.register(make_draft(folder / f"d{i}"), f"run{i}") for i in range(count)]

    @pytest.mark.parametrize("half", ["preprocessor", "model"])
    def test_a_changed_byte_is_refused_and_named(
        self, registry: Registry, tmp_path: Path, half: str
    ) -> None:
        version = registry.register(make_draft(tmp_path / "draft"), "r")
        file = self.spoil(registry, version, half)
        refusal(
            lambda: registry.fetch(version),
            RefusedError,
            f"a pair with one byte of its {half} changed",
            half,
            file.name,
        )

    def spoil(self, registry: Registry, version: PairVersion, half: str) -> Path:
        """Change a byte of a registered pair where the registry keeps it.

        Args:
            registry: The registry.
            version: The pair.
            half: ``preprocessor`` or ``model``.

        Returns:
            The file.
        """
        file: Path = next(
            p
            for p in sorted(getattr(registry.fetch(version), half).rglob("*.json"))
            if p.parent.name == "state"
        )
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
        return file

    def test_a_half_of_another_pair_is_refused(self, registry: Registry, tmp_path: Path) -> None:
        versions = self.registered(registry, tmp_path, 2)
        one, two = (registry.fetch(version) for version in versions)
        (one.model / "component.json").write_text(json.dumps({"kind": "model", "name": "other"}))
        refusal(
            lambda: registry.fetch(versions[0]),
            RefusedError,
            "a pair whose model says that it is another component",
            "model",
        )
        place = registry.fetch(versions[1]).model
        assert place == two.model, "fetching a pair again gives another folder."

    def test_an_untouched_registry_verifies(self, registry: Registry, tmp_path: Path) -> None:
        self.registered(registry, tmp_path, 2)
        registry.move("fake", "production", 2, expected=None)
        before = registry.history("fake")
        for name in (None, "fake"):
            texts = [finding.text for finding in registry.verify(name)]
            assert texts == [], (
                f"verify({name!r}) of a registry that nobody touched finds {texts}; an operator "
                "who is told of nothing every night stops reading."
            )
        assert registry.history("fake") == before, "verify of what is whole changes the history."

    def test_what_was_changed_is_found_and_not_repaired(
        self, registry: Registry, tmp_path: Path
    ) -> None:
        versions = self.registered(registry, tmp_path, 2)
        registry.register(make_draft(tmp_path / "other", "other"), "r")
        self.spoil(registry, versions[0], "model")
        for _ in range(2):
            findings = registry.verify("fake")
            assert findings, (
                "verify finds nothing though a byte of a registered pair was changed; it proves "
                "every pair, as fetch does."
            )
            for finding in findings:
                assert finding.name == "fake", f"verify('fake') finds {finding} of another name."
                assert "\n" not in finding.text, f"a finding is one line, not {finding.text!r}."
                assert not finding.repaired, (
                    f"verify says that it repaired a changed byte ({finding.text}); nobody has the "
                    "byte that was there, so the pair stays refused."
                )
        refusal(
            lambda: registry.fetch(versions[0]),
            RefusedError,
            "a changed pair after verify",
            "model",
        )
        assert registry.verify("other") == [], "verify('other') finds what belongs to 'fake'."
