"""``source=redis_stream`` keeps the contract of sources, on a real server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pandas as pd
import pytest
import redis
from framework_redis_stream import RedisStreamOptions
from framework_redis_stream.source import RedisStreamSource

from framework.data.vocabulary import TIME
from framework.testing.contracts.source import TABLE, SourceContract
from framework.testing.servers.redis import server


class TestRedisStream(SourceContract):
    url: ClassVar[str]

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _running(cls) -> Iterator[None]:
        with server() as started:
            cls.url = started.url
            yield

    def make(self, tmp_path: Path, rows: pd.DataFrame) -> RedisStreamSource:
        client = redis.Redis.from_url(self.url)
        client.delete(TABLE)
        texts = rows.assign(**{TIME: [time.isoformat() for time in rows[TIME]]})
        for number, row in enumerate(texts.astype(object).to_dict("records"), 1):
            fields = {name: "" if pd.isna(value) else str(value) for name, value in row.items()}
            client.xadd(TABLE, fields, id=f"{number}-0")
        client.close()
        return RedisStreamSource(RedisStreamOptions.model_validate({"url": self.url, "batch": 4}))
