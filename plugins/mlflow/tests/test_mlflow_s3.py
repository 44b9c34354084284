"""Artifacts on an S3 store: moto's server, reached by configuration alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from framework_mlflow.options import MlflowOptions, Retention
from framework_mlflow.registry.registry import MlflowRegistry

from framework.errors import RefusedError, RegistryError
from framework.pairs.loading import load_pair
from framework.plugins.discovery import load_plugins
from framework.testing.contracts.drafts import make_draft

BUCKET = "pairs"


@pytest.fixture
def bucket(s3: Any) -> Iterator[str]:
    s3.create_bucket(Bucket=BUCKET)
    yield f"s3://{BUCKET}/forecasts"
    for key in _keys():  # the buckets outlive their server in this process
        s3.delete_object(Bucket=BUCKET, Key=key)


@pytest.fixture
def remote(options: MlflowOptions, bucket: str) -> MlflowRegistry:
    changed = {"artifact_location": bucket, "retention": Retention(last=1, days=0)}
    return MlflowRegistry(options.model_copy(update=changed))


def _keys() -> list[str]:
    return [
        item["Key"]
        for item in boto3.client("s3").list_objects_v2(Bucket=BUCKET).get("Contents", [])
    ]


def _stop_at_uploaded(step: str) -> None:
    if step == "uploaded":
        raise KeyboardInterrupt


@pytest.mark.usefixtures("site")
def test_a_pair_lives_on_s3(remote: MlflowRegistry, tmp_path: Path) -> None:
    for i in range(2):
        remote.register(make_draft(tmp_path / str(i)), "r")
    assert all(key.startswith("forecasts/") for key in _keys())
    loaded = load_pair(remote, load_plugins(), "fake", "1")
    cache = Path(remote.options.cache)
    assert remote.fetch(loaded.version).model.is_relative_to(cache)
    assert not list(cache.rglob(".*"))

    assert [pair.version for pair in remote.prune("fake")] == [1]
    kept = remote.resolve("fake", "2")
    assert _keys()
    assert all(kept.pair_id in key for key in _keys())
    assert remote.verify() == []


@pytest.mark.stress
def test_the_objects_of_a_killed_registration_are_removed(
    remote: MlflowRegistry, tmp_path: Path
) -> None:
    kept = remote.register(make_draft(tmp_path / "kept"), "r")
    remote.step = _stop_at_uploaded
    with pytest.raises(KeyboardInterrupt):
        remote.register(make_draft(tmp_path / "killed"), "r")
    assert len({key.split("/pairs/")[1].split("/")[0] for key in _keys()}) == 2
    assert remote.verify() == []
    late = MlflowRegistry(
        remote.options.model_copy(update={"retention": Retention(upload_hours=0)})
    )
    assert [finding.repaired for finding in late.verify()] == [True]
    assert _keys()
    assert all(kept.pair_id in key for key in _keys())
    assert remote.verify() == []


def test_a_changed_object_is_refused(remote: MlflowRegistry, tmp_path: Path) -> None:
    version = remote.register(make_draft(tmp_path / "draft"), "r")
    key = next(key for key in _keys() if key.endswith("model/state/model.json"))
    boto3.client("s3").put_object(Bucket=BUCKET, Key=key, Body=b"{}")
    with pytest.raises(
        RefusedError, match=r"model half: file data/model/state/model.json was changed"
    ):
        remote.fetch(version)


def test_a_changed_copy_is_refused_and_fetched_again(
    remote: MlflowRegistry, tmp_path: Path
) -> None:
    version = remote.register(make_draft(tmp_path / "draft"), "r")
    (remote.fetch(version).model / "golden.json").write_text("{}")
    with pytest.raises(RefusedError, match=r"golden.json was changed"):
        remote.fetch(version)
    remote.fetch(version)


def test_objects_that_are_gone_are_named(remote: MlflowRegistry, tmp_path: Path) -> None:
    version = remote.register(make_draft(tmp_path / "draft"), "r")
    for key in _keys():
        boto3.client("s3").delete_object(Bucket=BUCKET, Key=key)
    with pytest.raises((RefusedError, RegistryError), match=r"half") as raised:
        remote.fetch(version)
    assert "\n" not in str(raised.value)
