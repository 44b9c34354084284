"""The project's Feast repository: the same stores and views as the configuration's, applied by Feast's own command."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from feast import FeatureStore
from framework_feast.definitions import feast_objects
from omegaconf import OmegaConf

from framework.interfaces.views import FeatureSet
from framework.offline import OfflineStore

PROJECT = Path(__file__).parents[3]


def test_the_repository_and_the_preset_have_the_same_stores() -> None:
    preset = OmegaConf.merge({"paths": {"state": "../state"}}, {"store": OmegaConf.load(PROJECT / "conf" / "feature_store" / "local.yaml")})
    text = OmegaConf.to_yaml(preset).replace("${paths.state}", "../state")
    assert OmegaConf.to_container(OmegaConf.create(text))["store"] == OmegaConf.to_container(
        OmegaConf.load(PROJECT / "feature_repo" / "feature_store.yaml")
    )


def test_feast_apply_registers_the_declared_views(tmp_path: Path) -> None:
    for folder in ("feature_repo", "conf"):
        shutil.copytree(PROJECT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    repository = tmp_path / "feature_repo"
    feast = Path(sys.executable).with_name("feast")
    done = subprocess.run([feast, "apply"], cwd=repository, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    store = FeatureStore(repo_path=str(repository))
    found = {view.name: view for view in store.list_feature_views()}
    declared = [
        FeatureSet.model_validate(OmegaConf.to_container(OmegaConf.load(file)))
        for file in sorted((PROJECT / "conf" / "features").glob("*.yaml"))
    ]
    assert set(found) == {name for features in declared for name in features.views}
    for features in declared:
        for name, view in features.views.items():
            assert found[name].ttl == view.ttl
            assert [f.name for f in found[name].features] == list(view.feature_names())
            assert found[name].join_keys == list(view.entity)
            assert found[name].batch_source.path == str(OfflineStore(tmp_path / "state" / "offline").path(name, view))
        for made in feast_objects(features, OfflineStore(tmp_path / "state" / "offline")):
            if made.name in found:
                assert found[made.name] == made
