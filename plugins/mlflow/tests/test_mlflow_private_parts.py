"""The registry works with an MLflow that has none of the private parts that make it quicker."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import pytest
import sqlalchemy as sa
from framework_mlflow import private_parts
from framework_mlflow.options import MlflowOptions
from framework_mlflow.quiet_mlflow import import_mlflow
from framework_mlflow.registry.registry import MlflowRegistry

from framework.interfaces.foreign_parts import find_part
from framework.testing.contracts.drafts import make_draft

CHECK = ("mlflow.utils.environment", "warn_dependency_requirement_mismatches")


@pytest.fixture
def without_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A later MLflow: no part is found, and its tables of versions have other columns."""
    monkeypatch.setattr(private_parts, "find_part", lambda module, name="": None)
    others = sa.table("model_versions", sa.column("name"), sa.column("of_a_later_version"))
    monkeypatch.setattr(private_parts, "_versions", others)
    query = sa.select(others.c.name).where(others.c.of_a_later_version == sa.bindparam("number"))
    monkeypatch.setattr(private_parts, "_STATES", query)


def test_the_installed_mlflow_is_a_tested_one_and_has_the_parts() -> None:
    """After an update of MLflow: try the parts, then widen ``TESTED``."""
    assert metadata.version("mlflow") in private_parts.TESTED
    assert find_part(*CHECK) is not None
    assert private_parts.newest_migration()


def test_a_part_that_is_gone_is_none() -> None:
    assert find_part("mlflow.no_such_module") is None
    assert find_part("mlflow.utils.environment", "no_such_function") is None


def test_the_check_of_requirements_is_as_it_was_afterwards() -> None:
    import_mlflow()
    check = find_part(*CHECK)
    with private_parts.unchecked_requirements():
        assert find_part(*CHECK) is not check
    assert find_part(*CHECK) is check


def test_a_registry_without_the_parts_works_the_same(
    without_parts: None, options: MlflowOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = MlflowRegistry(options)
    for number in range(2):
        registry.register(make_draft(tmp_path / str(number)), "r")
    registry.move("fake", "production", 2, expected=None)
    pair = registry.resolve("fake", "production")
    assert registry.fetch(pair).version == pair
    assert registry.verify() == []
    states = registry.read_states(pair)
    monkeypatch.undo()
    assert MlflowRegistry(options).read_states(pair) == states
