"""``retrieval=feast``: Feast's offline store for training, its online store for serving."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from framework.hookspecs import Component, hookimpl
from framework.interfaces.options import Options


class FeastOptions(Options):
    """``store``: the content of a feature_store.yaml (the ``feature_store`` group). ``state``: the folder of the offline Parquet files.

    ``join``: who joins the rows of training, ``arrays`` (this project's own join) or ``feast`` (``get_historical_features``, slower,
    and for the newest versions only).
    """

    store: dict[str, Any] = "${feature_store}"  # type: ignore[assignment]  # resolved before it is validated
    state: Path = Path("${paths.state}/offline")
    join: Literal["arrays", "feast"] = "arrays"


@hookimpl
def components() -> list[Component]:
    return [Component("retrieval", "feast", "framework_feast.retrieval:FeastRetrieval", FeastOptions, "Feast, newest row online")]
