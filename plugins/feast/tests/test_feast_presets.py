"""The presets of ``feature_store=…`` are what Feast accepts and open the store they name; none of
them connects.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from framework_feast import FeastOptions
from framework_feast.records.records import open_records
from framework_feast.repository.store import open_store
from framework_feast.retrieval import FeastRetrieval
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from framework.errors import ConfigError

PRESETS = Path(__file__).parents[3] / "conf"


def preset(name: str, tmp_path: Path) -> dict[str, Any]:
    with initialize_config_dir(str(PRESETS), version_base="1.3"):
        group = compose(f"feature_store/{name}").feature_store
    tree = OmegaConf.create({"paths": {"state": str(tmp_path)}, "feature_store": group})
    content: Any = OmegaConf.to_container(tree, resolve=True)
    return dict(content["feature_store"])


@pytest.mark.parametrize(
    ("name", "packed"),
    [
        ("local", True),
        ("redis", True),
        ("postgres", True),
        ("dynamodb", False),
        ("cassandra", False),
    ],
)
def test_a_preset_opens_its_store(name: str, packed: bool, tmp_path: Path) -> None:
    content = preset(name, tmp_path)
    store = open_store(content)
    assert store.config.online_store.type == content["online_store"]["type"]
    assert (open_records(content, 1, 1) is not None) is packed


def test_a_store_of_newest_rows_refuses_windows(tmp_path: Path) -> None:
    strategy = FeastRetrieval(
        FeastOptions(store=preset("cassandra", tmp_path), state=tmp_path, window=24)
    )
    with pytest.raises(ConfigError, match=r"retrieval\.window=24: online_store\.type=cassandra"):
        _ = strategy._online.records
    with pytest.raises(ConfigError, match=r"retrieval\.read=packed: online_store\.type=dynamodb"):
        _ = FeastRetrieval(
            FeastOptions(store=preset("dynamodb", tmp_path), state=tmp_path, read="packed")
        )._online.records


def test_redis_passwords_are_not_told(tmp_path: Path) -> None:
    content = preset("redis", tmp_path) | {
        "online_store": {
            "type": "redis",
            "connection_string": "cache:6380,db=2,password=secret,ssl=true",
        }
    }
    records = open_records(content, 1, 1)
    assert records is not None
    assert records.place == "the online store redis at cache:6380"
