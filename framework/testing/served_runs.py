"""A run over what a server of the fake pair has answered, for tests of monitoring."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pandas as pd

from framework.config.sections import IngestConfig, PanelConfig
from framework.interfaces.ledger import FilesLedgerOptions
from framework.monitoring.ledger_files import FilesLedger
from framework.plugins.discovery import load_plugins
from framework.serving.http.asgi import Call
from framework.serving.options import ServingOptions
from framework.serving.service import Service
from framework.testing.folder_registry import FolderRegistry
from framework.testing.servers.fake_server import make_deployment, make_features, make_row

ENTITIES = [f"A{i}" for i in range(10)]
LEDGER = FilesLedger(FilesLedgerOptions())
TARGETS = ("departures", "delay")


def make_run(tmp_path: Path, options: Any, **ledger: Any) -> Any:
    """Make a run over a ledger in which ten series were asked for twice, the second time with other
    rows; the store is empty.
    """
    deployment = make_deployment(tmp_path, ledger=ledger)
    FolderRegistry(tmp_path).calibrate(3)
    service = Service(deployment, ServingOptions())
    service.start()

    async def ask() -> None:
        for delay in (1.0, 3.5):
            rows = [make_row(airport=name, delay=delay) for name in ENTITIES]
            body = orjson.dumps({"rows": rows})
            await service.answers.payload(body, Call("POST", "/predict", b"", {}, b"id"))
        await service.close()

    asyncio.run(ask())
    plugins = load_plugins()
    retrieval = plugins.load("retrieval", "file")(
        plugins.find("retrieval", "file").options.model_validate({"state": tmp_path / "store"})
    )
    config = SimpleNamespace(
        name="fake",
        seed=7,
        start=None,
        features=make_features(),
        panel=PanelConfig(targets=TARGETS, frequency="D", horizon=3, season_length=7),
        paths=SimpleNamespace(state=tmp_path / "state"),
        ingest=IngestConfig(),
    )
    parts = {
        "retrieval": retrieval,
        "ledger": FilesLedger(FilesLedgerOptions(**ledger)),
        "registry": FolderRegistry(tmp_path),
    }
    lines: list[str] = []
    return SimpleNamespace(
        config=config,
        options=options,
        make=parts.__getitem__,
        plugins=plugins,
        say=lines.append,
        said=lines,
        directory=tmp_path,
        record=SimpleNamespace(artifacts=[], metrics={}),
    )


def ingest(run: Any, rows: pd.DataFrame) -> None:
    """Store actuals of the fake pair's series."""
    full = rows.assign(carrier="DL", season="spring", temp=1.0, **{"wind gust": 1.0})
    run.make("retrieval").ingest(run.config.features, "daily", full)
