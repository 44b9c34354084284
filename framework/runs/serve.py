"""``run=serve``: serve the pair that an alias means, until told to stop."""

from __future__ import annotations

from typing import Any

from framework.errors import ConfigError
from framework.interfaces.registry import Registry
from framework.interfaces.retrieval import RetrievalStrategy
from framework.interfaces.serving import ServingBackend
from framework.interfaces.values import Schema
from framework.interfaces.views import FeatureSet
from framework.loading import open_proven
from framework.run import Run
from framework.serving.deployment import Deployment


def serve(run: Run) -> dict[str, Any]:
    """The pair is ``alias``, by default ``production``, or ``version=N``.

    Nothing listens before it is proven and has replayed its golden batch.
    """
    config = run.config
    backend: ServingBackend = run.make("serving")
    alias, reference = _reference(config.alias, config.version)
    registry: Registry = run.make("registry")
    version = registry.resolve(config.name, reference)
    run.say(f"serve: {version.name} version {version.version} ({reference}), digest {version.digest[:12]}")
    proven = registry.fetch(version)
    loaded = open_proven(proven, run.plugins)
    run.say("serve: every byte proven, golden batch replayed")
    strategy = choose_strategy(run.make("retrieval"), config.component("retrieval").name, loaded.pair.schema, config.features)
    result: dict[str, Any] = {"pair": version.stamp(alias), "url": None}

    def announce(url: str) -> None:
        result["url"] = url
        run.emit({"run": "serve", "status": "ready", **result})

    backend.serve(Deployment(loaded.pair, loaded.golden, proven, alias, config.features, strategy, announce))
    run.say("serve: drained")
    return result


def _reference(alias: str | None, version: int | None) -> tuple[str | None, str]:
    if alias is not None and version is not None:
        raise ConfigError(f"alias={alias} and version={version}: both say which pair is served; give one.")
    if version is not None:
        return None, str(version)
    return alias or "production", alias or "production"


def choose_strategy(strategy: RetrievalStrategy, name: str, schema: Schema, features: FeatureSet) -> RetrievalStrategy | None:
    """The strategy that looks entities up, None when it gives no history at all. It must give what the pair was trained on."""
    limit = strategy.max_context_length
    if limit == 0:
        return None
    if limit is not None and limit < schema.context_length:
        raise ConfigError(
            f"retrieval={name} gives {limit} steps of history, the pair '{schema.name}' needs {schema.context_length}; "
            "choose another retrieval, such as retrieval=payload."
        )
    lacking = sorted({*schema.past, *schema.known, *schema.static} - {*features.feature_names(), *features.entity_keys})
    if lacking or schema.entity_keys != features.entity_keys:
        raise ConfigError(
            f"features: the pair '{schema.name}' was trained on {lacking or list(schema.entity_keys)}, which the views lack; "
            "serve it with the experiment that trained it."
        )
    return strategy
