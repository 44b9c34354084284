"""The offline presets of the project: valid for Feast, and each gives the row store and the Feast
source of its kind.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from feast import BigQuerySource, FileSource, RepoConfig, SnowflakeSource
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import (
    PostgreSQLSource,
)
from framework_feast import FeastOptions
from framework_feast.offline.stores import row_store
from framework_feast.repository.definitions import feast_objects
from omegaconf import OmegaConf

from framework.errors import ConfigError
from framework.features.views import FeatureSet

PRESETS = Path(__file__).parents[3] / "conf" / "feature_store"
FEATURES = FeatureSet.model_validate(
    {
        "primary": "sales",
        "views": {
            "sales": {
                "entity": ["shop"],
                "columns": ["y"],
                "ttl": "1d",
                "table": "raw_sales",
                "created": "seen",
            }
        },
    }
)


def content(preset: str, state: Path) -> dict[str, Any]:
    merged = OmegaConf.create(
        {"paths": {"state": str(state)}, "store": OmegaConf.load(PRESETS / f"{preset}.yaml")}
    )
    found: Any = OmegaConf.to_container(merged, resolve=True)
    return dict(found["store"])


@pytest.mark.parametrize(
    ("preset", "kind", "place"),
    [
        ("local", FileSource, "path"),
        ("offline_postgres", PostgreSQLSource, '"public"."sales_'),
        ("offline_bigquery", BigQuerySource, "my-project.features.raw_sales"),
        ("offline_snowflake", SnowflakeSource, "raw_sales"),
    ],
)
def test_a_preset_is_valid_and_describes_its_tables(
    tmp_path: Path, preset: str, kind: type, place: str
) -> None:
    store = content(preset, tmp_path)
    config = RepoConfig(**store)
    assert config.offline_store.type == store["offline_store"]["type"]
    (view,) = (
        o
        for o in feast_objects(FEATURES, row_store(FeastOptions(store=store, state=tmp_path)))
        if o.name == "sales"
    )
    source = view.batch_source
    assert isinstance(source, kind)
    assert (source.timestamp_field, source.created_timestamp_column) == ("event_timestamp", "seen")
    assert (
        place in (str(tmp_path) if kind is FileSource else source.get_table_query_string())
        or kind is FileSource
    )


@pytest.mark.parametrize("preset", ["offline_bigquery", "offline_snowflake"])
def test_a_warehouse_is_not_ingested_into(tmp_path: Path, preset: str) -> None:
    import pandas as pd

    store = row_store(FeastOptions(store=content(preset, tmp_path), state=tmp_path))
    with pytest.raises(
        ConfigError,
        match=r"made there \(table 'raw_sales', columns \['shop', 'event_timestamp', 'seen', 'y'\]\)",  # noqa: E501
    ):
        store.write("sales", FEATURES.views["sales"], pd.DataFrame())


def test_an_unknown_offline_store_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"'duckdv' is not one of duckdb, postgres, bigquery, snowflake\.offline"
    ):
        row_store(FeastOptions(store={"offline_store": {"type": "duckdv"}}, state=tmp_path))
