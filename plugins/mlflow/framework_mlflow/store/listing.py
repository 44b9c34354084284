"""The names of pairs that MLflow has, and its runs that nobody ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from framework.pairs.manifest import HALVES
from framework_mlflow.store.processes import PROCESS, has_ended
from framework_mlflow.store.store import Store, call, half_name


def end_killed_runs(store: Store) -> list[str]:
    """End the runs whose process has ended without doing so. Returns what they were."""
    client = store.client
    identities = [
        e.experiment_id for e in _pages("list the experiments", client.search_experiments)
    ]
    query = f"attributes.status = 'RUNNING' AND tags.`{PROCESS}` LIKE '%'"
    running = list(_pages("list the runs", client.search_runs, identities, query))
    killed = [run for run in running if has_ended(run.data.tags[PROCESS])]
    for run in killed:
        call("end the run", client.set_terminated, run.info.run_id, status="KILLED")
    return [f"{run.info.run_name} ({run.info.run_id})" for run in killed]


def names(store: Store) -> list[str]:
    """List the names of pairs that MLflow has both halves of."""
    models = {
        model.name
        for model in _pages("list the registered models", store.client.search_registered_models)
    }
    first, second = HALVES
    parts = {model.removesuffix(f"_{first}") for model in models if model.endswith(f"_{first}")}
    return sorted(name for name in parts if half_name(name, second) in models)


def _pages(what: str, request: Callable[..., Any], *arguments: Any) -> Iterator[Any]:
    token = None
    while True:
        page = call(what, request, *arguments, page_token=token)
        yield from page
        token = page.token
        if not token:
            return
