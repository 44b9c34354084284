"""The public surface: every module that a plugin may import, by who needs it.

This is the one list. ``docs/reference/api.md`` is made from it, the table of
``docs/how-to/write-a-plugin.md`` and the contract "What is no plugin's business" of import-linter
must say the same, and a test compares all four. A module that is not here may change without
notice.
"""

from __future__ import annotations

#: Who: the modules. A package stands for all its modules. All of these have a page of reference.
SURFACE: dict[str, tuple[str, ...]] = {
    "the module of the entry point (nothing heavy)": (
        "framework.interfaces.plugin",
        "framework.options",
        "framework.plugins.run",
    ),
    "every component": (
        "framework.interfaces.source",
        "framework.interfaces.retrieval",
        "framework.interfaces.preprocessor",
        "framework.interfaces.model",
        "framework.interfaces.registry",
        "framework.interfaces.tuner",
        "framework.interfaces.compute",
        "framework.interfaces.ledger",
        "framework.interfaces.alert_sink",
        "framework.interfaces.foreign_parts",
        "framework.data.vocabulary",
        "framework.data.arrays",
        "framework.data.schema",
        "framework.data.context",
        "framework.data.forecast",
        "framework.data.windows",
        "framework.data.panel",
        "framework.data.panel_rows",
        "framework.data.frequency",
        "framework.data.time",
        "framework.data.canonical_text",
        "framework.data.grouping",
        "framework.errors",
        "framework.files",
        "framework.secrets",
    ),
    "a source": (
        "framework.features.views",
        "framework.data.source_times",
        "framework.ingestion.streams",
        "framework.ingestion.stream_tables",
        "framework.interfaces.proposal",
    ),
    "a retrieval strategy": (
        "framework.features.views",
        "framework.retrieval.row_store",
        "framework.retrieval.parquet_store",
        "framework.retrieval.stored_panel",
        "framework.retrieval.point_in_time",
        "framework.retrieval.newest_rows",
        "framework.retrieval.freshness",
    ),
    "a preprocessor": (
        "framework.features.calendar",
        "framework.features.calendar_options",
        "framework.features.country_calendars",
    ),
    "a model": ("framework.models",),
    "a registry": (
        "framework.pairs.attestations",
        "framework.pairs.manifest",
        "framework.pairs.artifacts",
        "framework.pairs.loading",
        "framework.pairs.provenance",
    ),
    "a serving backend": (
        "framework.serving.backend",
        "framework.serving.deployment",
        "framework.serving.options",
        "framework.serving.service",
    ),
    "a plugin that follows a server, or adds to it": (
        "framework.interfaces.observer",
        "framework.interfaces.dashboard",
        "framework.interfaces.serving_extension",
        "framework.serving.protocols.dialect",
    ),
    "a ledger": ("framework.monitoring.ledger_buffer", "framework.monitoring.ledger_counts"),
    "a report": ("framework.evaluation.result", "framework.evaluation.coverage"),
    "tests": (
        "framework.testing.contracts",
        "framework.testing.failing",
        "framework.testing.fakes",
        "framework.testing.fixtures",
        "framework.testing.panels",
    ),
}

#: What a plugin that is released together with the core imports besides: the inside of serving and
#: of a pair, for backends that place the stages of a request themselves and for artifacts that
#: answer by themselves. No reference describes these, and they change with the server.
INNER: tuple[str, ...] = (
    "framework.serving.app",
    "framework.serving.arms",
    "framework.serving.http",
    "framework.serving.pipeline",
    "framework.serving.protocols.infer_requests",
    "framework.serving.protocols.tensors",
    "framework.serving.memory",
    "framework.serving.observers",
    "framework.serving.shadow",
    "framework.pairs.golden",
    "framework.pairs.intervals",
    "framework.pairs.pair",
    "framework.data.anchors",
    "framework.data.known_values",
    "framework.plugins.components",
)
