"""Every run that makes or changes something as an MLflow run: its config, what it read, its
figures, its files, and how it ended.
"""

from __future__ import annotations

import json
import posixpath
import re
import shlex
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from mlflow.entities import Dataset, DatasetInput, InputTag
from omegaconf import OmegaConf

from framework.errors import ConfigError, RefusedError
from framework.pairs.provenance import git_state, versions
from framework.secrets import masked
from framework_mlflow.store.processes import PROCESS, this_process

if TYPE_CHECKING:
    from framework.plugins.run import Run
    from framework_mlflow.store.store import Store

#: What MLflow does not take in a name, and how much of a value is worth a column.
_NOT_IN_A_NAME = re.compile(r"[^\w\-. :/]")
_LONGEST = 500
#: Folders of the config that a table of runs is compared by; the whole of it is kept as
#: config.yaml.
_PARAMETERS = (
    "name",
    "seed",
    "quantiles",
    "panel",
    "backtest",
    "validation",
    "source",
    "retrieval",
    "preprocessor",
    "model",
    "baseline",
)


#: Runs whose name in a list says the model, and the facts that describe their rows.
_LEARNING = ("train", "backtest", "tune")
_PROFILE = ("rows", "series", "first_step", "last_step")


def start(run: Run) -> str:
    """Open a run in the experiment and keep the composed config at once: a killed run can be
    repeated too. Returns MLflow's id.
    """
    store = store_of(run)
    tags = {
        "mlflow.runName": " ".join([run.config.run, run.config.name, *_model(run)]),
        "mlflow.source.name": "framework",
        "framework.run": run.config.run,
        "framework.directory": str(run.directory),
        PROCESS: this_process(),
    }
    commit = git_state()
    if commit:
        tags |= {
            "mlflow.source.git.commit": commit["commit"],
            "framework.git.dirty": str(commit["dirty"]).lower(),
        }
    identity = store.start_run(tags)
    store.client.log_text(identity, run.config.text, "config.yaml")
    run.record.facts["tracking"] = f"mlflow ui --backend-store-uri {shlex.quote(masked(store.uri))}"
    return identity


def finish(run: Run, result: Mapping[str, Any]) -> None:
    """Log what the run recorded and how it ended."""
    store = store_of(run)
    if store.has_run(run.id):
        _log(store, run)
        store.client.log_dict(run.id, json.loads(json.dumps(result, default=str)), "result.json")
        tags = {"framework.status": str(result.get("status", "done"))}
        if isinstance(pair := result.get("pair"), Mapping):
            tags |= {
                "framework.pair": f"{pair.get('name')} {pair.get('version')}",
                "framework.digest": str(pair.get("digest")),
            }
        if table := _figures(result):
            tags["mlflow.note.content"] = table
        store.log_batch(run.id, tags=tags)
        _log_data(store, run)
        store.client.set_terminated(run.id, "FINISHED")


def fail(run: Run, error: BaseException) -> None:
    """Log what the run had recorded until then, and the error in one line.

    A mistake in the configuration that ends a run before it has measured anything leaves no run
    behind.
    """
    store = store_of(run)
    if store.has_run(run.id):
        if isinstance(error, ConfigError) and not run.record.metrics:
            store.client.set_terminated(run.id, "FAILED")
            store.client.delete_run(run.id)
            return
        text = masked(" ".join(str(error).split())) or type(error).__name__
        status = "refused" if isinstance(error, RefusedError) else "failed"
        store.log_batch(run.id, tags={"framework.status": status, "framework.error": text[:5000]})
        try:
            _log(store, run)
        finally:
            store.client.set_terminated(
                run.id, "KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED"
            )


def store_of(run: Run) -> Store:
    """MLflow, as the registry of the run reaches it."""
    store: Store = run.make("registry").store
    return store


def _log(store: Store, run: Run) -> None:
    record, now = run.record, int(time.time() * 1000)
    figures = [(_name(key), value, now, 0) for key, value in record.metrics.items()]
    for fold, values in enumerate(record.fold_metrics):
        figures += [(_name(f"fold.{key}"), value, now, fold) for key, value in values.items()]
    store.log_batch(run.id, metrics=figures, params=dict(_parameters(run)))
    facts = {"versions": versions(), "git": git_state(), **record.facts}
    store.client.log_dict(run.id, json.loads(json.dumps(facts, default=str)), "facts.json")
    for path in record.artifacts:
        if path.is_dir():
            store.client.log_artifacts(run.id, str(path), path.name)
        elif path.is_file():
            store.client.log_artifact(run.id, str(path))


def _model(run: Run) -> list[str]:
    """The model by which runs that learn are told apart in a list."""
    selected = run.config.components.get("model")
    return [selected.name] if selected and run.config.run in _LEARNING else []


def _log_data(store: Store, run: Run) -> None:
    """Log the rows that the run learned from as an input, where it learned."""
    facts = run.record.facts
    if "panel_digest" not in facts:
        return
    profile = {key: facts[key] for key in _PROFILE if key in facts}
    source = {"source": run.config.component("source").name, "views": [*run.config.features.views]}
    dataset = Dataset(
        name=run.config.name,
        digest=facts["panel_digest"],
        source_type="framework",
        source=json.dumps(source),
        profile=json.dumps(profile),
    )
    context = InputTag("mlflow.data.context", "training")
    store.client.log_inputs(run.id, datasets=[DatasetInput(dataset, [context])])


def _figures(result: Mapping[str, Any]) -> str | None:
    """The figures of each target as a table in Markdown, None for a run without any."""
    metrics = result.get("metrics")
    targets = metrics.get("targets") if isinstance(metrics, Mapping) else None
    if not targets:
        return None
    names = [
        *dict.fromkeys(n for sides in targets.values() for side in sides.values() for n in side)
    ]
    lines = [["target", "of", *names], ["---", "---", *["---:"] * len(names)]]
    for target, sides in targets.items():
        for side, figures in sides.items():
            values = [figures.get(name) for name in names]
            cells = ["–" if value is None else f"{value:.4g}" for value in values]
            lines.append([target.replace("|", "\\|"), side, *cells])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _parameters(run: Run) -> Iterator[tuple[str, str]]:
    """As config.yaml has them: what comes from the environment is named, not copied."""
    tree: Any = OmegaConf.to_container(OmegaConf.create(run.config.text))
    return _flat("", {group: tree[group] for group in _PARAMETERS if group in tree})


def _flat(path: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(f"{path}.{key}" if path else str(key), inner)
    elif isinstance(value, str | int | float | bool):
        yield _name(path), str(value)[:_LONGEST]
    elif value is not None:
        yield _name(path), json.dumps(value)[:_LONGEST]


def _name(text: str) -> str:
    """``text`` as MLflow takes it: no name that leads elsewhere as a path.

    Other characters become their code points, so that two names stay two.
    """
    name = _NOT_IN_A_NAME.sub(_code, text)
    if posixpath.normpath(name) != name or name.startswith(("/", "..")):
        name = re.sub(r"^\.+|/", lambda match: "".join(f"_{ord(c):x}_" for c in match[0]), name)
    return name[:250]


def _code(character: re.Match[str]) -> str:
    return f"_{ord(character[0]):x}_"
