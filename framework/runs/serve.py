"""``run=serve``: serve the pair that an alias means, until told to stop."""

from __future__ import annotations

from typing import Any

from framework.interfaces.registry import PairVersion, Registry
from framework.plugins.components import Components
from framework.plugins.run import Run
from framework.runs.steps.answered import check_answered
from framework.runs.steps.references import pair_reference
from framework.serving.backend import ServingBackend
from framework.serving.deployment import Deployment, alias_of


def serve(run: Run) -> dict[str, Any]:
    """The pair is ``alias``, by default ``production``, or ``version=N``.

    Nothing listens before it is proven and has replayed its golden batch.
    """
    config = run.config
    backend: ServingBackend = run.make("serving")
    reference = pair_reference(config, "production")
    check_answered(run, lambda: _recorded(run, reference))
    retrieval = config.component("retrieval").name
    deployment = Deployment(
        Components(config, run.plugins),
        config.name,
        reference,
        config.features,
        retrieval,
        config.paths.state,
    )
    result: dict[str, Any] = {}

    def announce(url: str, version: PairVersion) -> None:
        run.say(
            f"serve: {version.name} version {version.version} ({reference}): every byte "
            "proven, golden batch replayed"
        )
        result.update(pair=version.stamp(alias_of(reference)), url=url)
        run.emit({"run": "serve", "status": "ready", **result})

    more = backend.serve(deployment, announce)
    if result:
        run.say("serve: drained")
    return {**result, **(more or {})}


def _recorded(run: Run, reference: str) -> str:
    """Read the configuration that the pair which is about to be served recorded."""
    registry: Registry = run.make("registry")
    return registry.fetch(registry.resolve(run.config.name, reference)).config
