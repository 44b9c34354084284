"""Whatever differs between the ledger, MLflow and the files of a pair is refused by its name,
before anything is opened.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from framework_mlflow.registry.registry import MlflowRegistry
from mlflow_cases import options_in

from framework.errors import RefusedError
from framework.interfaces.registry import PairVersion
from framework.pairs.manifest import HALVES, MANIFEST
from framework.testing.contracts.drafts import make_draft


class Damage:
    """What can happen to one half of a pair; ``other`` is a healthy pair beside it."""

    def __init__(self, registry: MlflowRegistry, pair: PairVersion, other: PairVersion) -> None:
        self._registry, self._pair, self._other = registry, pair, other

    def artifact(self, half: str) -> Path:
        return self._place(self._pair, half)

    def _place(self, pair: PairVersion, half: str) -> Path:
        found = self._registry.ledger.registered(pair.name, pair.version)
        assert found is not None
        return Path(found.sources[half])

    def _tag(self, half: str, key: str, value: str) -> None:
        assert self._registry.store.tag(self._pair.name, half, self._pair.version, key, value)

    def remove_file(self, half: str) -> None:
        (self.artifact(half) / "data" / half / "schema.json").unlink()

    def add_file(self, half: str) -> None:
        (self.artifact(half) / "data" / half / "extra.py").write_text("print('never')")

    def change_file(self, half: str) -> None:
        (self.artifact(half) / "MLmodel").write_text("flavors: {}")

    def swap(self, half: str) -> None:
        shutil.rmtree(self.artifact(half))
        shutil.copytree(self._place(self._other, half), self.artifact(half))

    def swap_both(self, half: str) -> None:
        for each in HALVES:
            self.swap(each)

    def other_manifest(self, half: str) -> None:
        for each in HALVES:
            shutil.copy(self._place(self._other, each) / MANIFEST, self.artifact(each) / MANIFEST)

    def rewrite_manifest(self, half: str) -> None:
        for each in HALVES:
            path = self.artifact(each) / MANIFEST
            path.write_text(path.read_text().replace('"run_id":"r"', '"run_id":"s"'))

    def no_manifest(self, half: str) -> None:
        (self.artifact(half) / MANIFEST).unlink()

    def no_half(self, half: str) -> None:
        shutil.rmtree(self.artifact(half))

    def delete_version(self, half: str) -> None:
        assert self._registry.store.delete_version(self._pair.name, half, self._pair.version)

    def other_pair_id(self, half: str) -> None:
        self._tag(half, "framework.pair_id", "0" * 32)

    def other_digest(self, half: str) -> None:
        self._tag(half, "framework.digest", "0" * 64)

    def void(self, half: str) -> None:
        self._tag(half, "framework.state", "void")


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> MlflowRegistry:
    folder = tmp_path_factory.mktemp("proof")
    shutil.copy(empty_database, folder / "mlflow.db")
    return MlflowRegistry(options_in(folder))


@pytest.fixture(scope="module")
def other(registry: MlflowRegistry, tmp_path_factory: pytest.TempPathFactory) -> PairVersion:
    return registry.register(make_draft(tmp_path_factory.mktemp("other")), "r")


@pytest.mark.parametrize("half", HALVES)
@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (Damage.remove_file, r"{half} half: file data/{half}/schema.json is missing"),
        (Damage.add_file, r"{half} half: file data/{half}/extra.py was added"),
        (Damage.change_file, r"{half} half: file MLmodel was changed"),
        (Damage.swap, r"manifests of .* differ: they are not a pair"),
        (Damage.swap_both, r"a manifest of another pair"),
        (Damage.other_manifest, r"a manifest of another pair"),
        (Damage.rewrite_manifest, r"the manifest of pair .* was changed"),
        (Damage.no_manifest, r"{half} half: .*pair.json is missing"),
        (Damage.no_half, r"{half} half .* is missing"),
        (Damage.delete_version, r"MLflow has no version .* of its {half} half"),
        (Damage.other_pair_id, r"{half} half: MLflow's tag framework.pair_id is 000"),
        (Damage.other_digest, r"{half} half: MLflow's tag framework.digest is 000"),
        (Damage.void, r"{half} half: MLflow's tag framework.state is void"),
    ],
)
def test_a_mismatch_is_refused_by_name(
    registry: MlflowRegistry,
    other: PairVersion,
    tmp_path: Path,
    half: str,
    damage: Callable[[Damage, str], None],
    named: str,
) -> None:
    pair = registry.register(make_draft(tmp_path / "draft"), "r")
    registry.fetch(pair)
    damage(Damage(registry, pair, other), half)
    with pytest.raises(RefusedError, match=named.format(half=half)) as raised:
        registry.fetch(pair)
    assert "\n" not in str(raised.value)
    registry.fetch(other)
