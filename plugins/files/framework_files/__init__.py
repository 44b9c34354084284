"""``source=files``, ``retrieval=file`` and ``retrieval=payload``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from framework.interfaces.plugin import Component, hookimpl
from framework_files.options import FileOptions, FilesOptions

if TYPE_CHECKING:
    from framework.interfaces.proposal import Proposal


@hookimpl
def components() -> list[Component]:
    return [
        Component(
            "source",
            "files",
            "framework_files.source:FilesSource",
            FilesOptions,
            "CSV and Parquet files, shaped by SQL",
        ),
        Component(
            "retrieval",
            "file",
            "framework_files.file:FileRetrieval",
            FileOptions,
            "Parquet files, no feature store",
        ),
        Component(
            "retrieval",
            "payload",
            "framework_files.payload:PayloadRetrieval",
            summary="features come with the request",
        ),
    ]


@hookimpl
def propose_source(place: str, table: str | None, reading: Mapping[str, Any]) -> Proposal | None:
    from framework_files.proposal import propose

    return propose(place, table, reading)
