"""The presets of ``feature_store=…`` are what Feast accepts and open the store they name."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import trustme
from framework_feast import FeastOptions
from framework_feast.records.records import open_records
from framework_feast.records.redis import RedisRecords
from framework_feast.repository.store import open_store
from framework_feast.retrieval import FeastRetrieval
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from framework.errors import ConfigError
from framework.testing.servers import redis

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


def test_a_redis_that_speaks_tls_is_read(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    pem = tmp_path / "server.pem"
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(pem)
    options = ["--tls-auth-clients", "no", "--tls-ca-cert-file", str(tmp_path / "authority.pem")]
    options += ["--tls-cert-file", str(pem), "--tls-key-file", str(pem)]
    with redis.server(*options, tls=True) as running:
        place = f"{running.place},ssl=true,ssl_ca_certs={tmp_path / 'authority.pem'}"
        records = RedisRecords("shops", {"connection_string": place}, 5.0, 2)
        records.update([b"sales/a"], lambda rows: [(b"newest", b"window") for _ in rows])
        assert asyncio.run(records.read("newest", [b"sales/a"])) == [b"newest"]


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
