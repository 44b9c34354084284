"""kill -9 at every step of a registration and of a move; the next operation repairs what was
left.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from framework_mlflow.registry.registry import MlflowRegistry
from mlflow_cases import check_halves, child, move, options_in, outcome, register

from framework.errors import RegistryError
from framework.pairs.manifest import HALVES
from framework.testing.contracts.drafts import make_draft


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> MlflowRegistry:
    """One registry through all crashes: each must leave it usable for the next."""
    folder = tmp_path_factory.mktemp("crash")
    shutil.copy(empty_database, folder / "mlflow.db")
    registry = MlflowRegistry(options_in(folder))
    for i in range(2):
        registry.register(make_draft(folder / str(i)), "r")
    return registry


@pytest.mark.gate_cases(6)
@pytest.mark.parametrize(
    ("step", "committed"),
    [
        ("saved", False),
        ("uploaded", False),
        ("locked", False),
        ("preprocessor created", False),
        ("model created", False),
        ("before commit", False),
        ("committed", True),
        ("preprocessor shown", True),
        ("model shown", True),
    ],
)
def test_a_killed_registration_leaves_a_pair_or_nothing(
    registry: MlflowRegistry, tmp_path: Path, step: str, committed: bool
) -> None:
    before = registry.pairs("fake")
    highest = max(max(registry.store.versions("fake", half)) for half in HALVES)
    assert (
        outcome(child(register, registry.options.model_dump_json(), str(tmp_path), 1, step)) == -9
    )
    after = registry.pairs("fake")
    assert len(after) == len(before) + committed
    for half in HALVES:
        for number in set(registry.store.versions("fake", half)) - {pair.version for pair in after}:
            with pytest.raises(RegistryError, match=f"no complete pair of version {number}"):
                registry.resolve("fake", str(number))
    assert registry.resolve("fake", "latest") == after[0]
    registry.fetch(after[0])

    made = registry.register(make_draft(tmp_path / "next"), "r")
    assert made.version > highest + committed
    check_halves(registry)
    if step == "preprocessor created":
        voided = [entry.reason for entry in registry.history("fake") if entry.action == "void"]
        assert any(str(reason).startswith("preprocessor version") for reason in voided)
        assert any(str(reason).startswith("model version") for reason in voided)


@pytest.mark.parametrize(
    ("step", "committed"),
    [
        ("before commit", False),
        ("committed", True),
        ("preprocessor alias shown", True),
        ("model alias shown", True),
    ],
)
def test_a_killed_move_leaves_the_old_or_the_new_pair(
    registry: MlflowRegistry, tmp_path: Path, step: str, committed: bool
) -> None:
    alias = f"killed-{step.replace(' ', '-')}"
    registry.move("fake", alias, 1, expected=None)
    assert outcome(child(move, registry.options.model_dump_json(), alias, 2, 1, step)) == -9
    now = registry.resolve("fake", alias)
    assert now.version == (2 if committed else 1)
    assert registry.fetch(now).version == now
    assert [entry.after for entry in registry.history("fake", alias)] == (
        [1, 2] if committed else [1]
    )

    registry.move("fake", "other", 1, expected=1 if "other" in _aliases(registry) else None)
    check_halves(registry)


def test_a_registration_repairs_an_interrupted_move(
    registry: MlflowRegistry, tmp_path: Path
) -> None:
    registry.move("fake", "half-moved", 1, expected=None)
    assert (
        outcome(
            child(
                move,
                registry.options.model_dump_json(),
                "half-moved",
                2,
                1,
                "preprocessor alias shown",
            )
        )
        == -9
    )
    assert [registry.store.aliases("fake", half)["half-moved"] for half in HALVES] == [2, 1]
    registry.register(make_draft(tmp_path / "next"), "r")
    check_halves(registry)


def _aliases(registry: MlflowRegistry) -> set[str]:
    return {alias for pair in registry.pairs("fake") for alias in pair.aliases}
