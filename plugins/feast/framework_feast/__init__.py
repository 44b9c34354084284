"""``retrieval=feast``: Feast's offline store for training, its online store for serving."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt

from framework.interfaces.plugin import Component, Section, hookimpl
from framework.options import FreeForm, FreeOptions, Options


class FeastOptions(Options):
    """``store``: the content of a feature_store.yaml (the ``feature_store`` group). ``state``: the
    folder of the offline Parquet files.

    ``join``: who joins the rows of training, ``arrays`` (this project's own join) or ``feast``
    (``get_historical_features``, slower, and for the newest versions only). ``window``: how many
    rows of each entity are kept online at least, ``windows``: of single views; where the selected
    model needs more, so many. ``ahead``: how many rows of steps to come, at most. ``read``:
    ``packed`` records, written beside what Feast keeps and read without importing Feast (sqlite,
    redis, postgres); ``sdk``; ``auto`` is packed where there are any. ``timeout``: seconds until a
    store that does not answer is given up. ``connections`` at most to the online store.
    """

    store: FreeForm = "${feature_store}"  # type: ignore[assignment]  # resolved before it is validated
    state: Path = Path("${paths.state}/offline")
    join: Literal["arrays", "feast"] = "arrays"
    window: PositiveInt = 1
    windows: dict[str, PositiveInt] = Field(default_factory=dict)
    ahead: PositiveInt = 1000
    read: Literal["auto", "packed", "sdk"] = "auto"
    timeout: PositiveFloat = 2.0
    connections: PositiveInt = 8

    def window_of(self, view: str) -> int:
        """Return how many rows of a view are kept online."""
        return self.windows.get(view, self.window)

    def longest_window(self) -> int:
        return max(self.window, *self.windows.values(), 1)


class FeatureStore(FreeOptions):
    """The content of a feature_store.yaml: Feast's own keys, which Feast checks."""


@hookimpl
def sections() -> list[Section]:
    return [Section("feature_store", FeatureStore, group=True, decisive=True)]


@hookimpl
def components() -> list[Component]:
    return [
        Component(
            "retrieval",
            "feast",
            "framework_feast.retrieval:FeastRetrieval",
            FeastOptions,
            "Feast, newest rows online",
        )
    ]
