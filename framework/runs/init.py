"""``run=init``: a project made from data that a person names, or a new plugin."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import yaml

from framework.config.names import is_reserved
from framework.config.origins import CORE
from framework.data.vocabulary import TIME
from framework.errors import ConfigError, DataError
from framework.features.views import View
from framework.interfaces.plugin import API_VERSION
from framework.interfaces.proposal import Guess, Proposal
from framework.interfaces.source import Roles
from framework.options import validate
from framework.plugins.run import Run
from framework.projects.columns import (
    Columns,
    guess_entity,
    guess_features,
    guess_targets,
    guess_time,
)
from framework.projects.models import guess_model, learning_sections, past_features, search_space
from framework.projects.plugin_files import plugin_files
from framework.projects.steps import guess_frequency, guess_season, guess_time_zone
from framework.projects.stray_texts import refuse_stray_texts
from framework.projects.writing import experiment_text, model_text, project_files, write_project

if TYPE_CHECKING:
    from framework.runs.options import InitOptions

#: Which section of an experiment each guess stands in.
_SECTIONS = {
    "source": ("time", "time_zone"),
    "features": ("entity", "columns", "categories"),
    "panel": ("targets", "known", "frequency", "horizon", "season_length", "gaps", "short"),
}
_DECIDABLE = (*(name for names in _SECTIONS.values() for name in names), "model", "folds")


def init(run: Run) -> dict[str, Any]:
    if run.options.kind == "plugin":
        return _plugin(run)
    return _project(run)


def _plugin(run: Run) -> dict[str, Any]:
    """Write a new plugin, a model that works, into the working folder."""
    options: InitOptions = run.options
    if options.name is None:
        raise ConfigError("init.name: missing; say how the plugin is called, init.name=acme-trend.")
    folder = Path.cwd()
    if (folder / "pyproject.toml").exists() and not options.overwrite:
        raise ConfigError(
            f"{folder} has a pyproject.toml already; run it in an empty folder, or "
            "init.overwrite=true adds the files that are not there."
        )
    files = plugin_files(options.name, metadata.version(CORE), API_VERSION)
    _refuse_a_module(folder, options.name, files)
    kept_files = write_project(folder, files, ())
    run.say(f"init: wrote {', '.join(files)}")
    run.say("init: next: pip install -e '.[test]' && python -m pytest")
    warnings = [f"{place} was there and is kept as it is" for place in kept_files]
    return {
        "project": str(folder),
        "experiment": None,
        "files": [*files],
        "guesses": {},
        "warnings": warnings,
    }


def _refuse_a_module(folder: Path, name: str, files: Mapping[str, str]) -> None:
    """Raise ConfigError for a package that would hide one that is installed."""
    (package,) = {path.partition("/")[0] for path in files if path.endswith("/__init__.py")}
    spec = find_spec(package)
    if spec is None or (spec.origin and Path(spec.origin).is_relative_to(folder)):
        return
    raise ConfigError(
        f"init.name: a module '{package}' is installed already, and the plugin's would hide it; "
        f"choose another name, such as init.name=my-{name}."
    )


def _project(run: Run) -> dict[str, Any]:
    options: InitOptions = run.options
    if options.data is None:
        raise ConfigError(
            "init.data: missing; name a CSV or Parquet file, a folder, a glob or the URL of a "
            "database, such as init.data=sales.csv."
        )
    folder = Path.cwd()
    if not options.overwrite:
        _refuse_a_project(folder)
    proposal = _proposal(run, options)
    columns = Columns(proposal.rows(), _decided(options))
    if columns.rows.empty:
        raise DataError(f"init.data: {options.data} has no rows; a forecast needs a history.")
    source, rename = _guess(run, proposal, columns)
    guesses = {**proposal.guesses, **columns.guesses}
    name = options.name or proposal.table
    sections = _experiment(run, proposal.table, source, columns, rename)
    model, options_of_model = columns.value("model"), sections.pop("model", None)
    # Beside the experiment: model=OTHER on the command line then replaces them all.
    choice = f"{model}_{name}" if options_of_model else model
    selected = {"source": proposal.source, "retrieval": "file", "model": choice}
    place_written = _as_written(run)
    sections["source"] = {
        key: place_written if value == options.data else value
        for key, value in sections["source"].items()
    }
    text = experiment_text(name, selected, sections, _reasons(proposal, columns))
    place = f"conf/experiment/{name}.yaml"
    files = project_files(name, text, proposal.table, sections["panel"], place_written)
    if options_of_model:
        files[f"conf/model/{choice}.yaml"] = model_text(model, options_of_model)
    kept_files = write_project(folder, files, {place, f"conf/model/{choice}.yaml"})
    for key, guess in guesses.items():
        mark = "  <- look at this" if guess.doubtful else ""
        run.say(f"init: {key} = {_text(guess.value)}: {guess.why}{mark}")
    run.say(f"init: wrote {place}; next: python -m framework +experiment={name}")
    return {
        "project": str(folder),
        "experiment": name,
        "files": [*files],
        "guesses": {key: {"value": g.value, "why": g.why} for key, g in guesses.items()},
        "warnings": _warnings(guesses, kept_files),
    }


def _as_written(run: Run) -> str:
    """Give ``init.data`` as it was written: a secret stays ``${oc.env:NAME}``."""
    text: str = yaml.safe_load(run.config.text)["init"]["data"]
    return text


def _decided(options: InitOptions) -> dict[str, Any]:
    """Give what a person has decided, as it is guessed: pandas takes a tuple of names for one."""
    values = {name: getattr(options, name) for name in _DECIDABLE}
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in values.items()
        if value is not None
    }


def _guess(run: Run, proposal: Proposal, columns: Columns) -> tuple[dict[str, Any], dict[str, str]]:
    """Guess what is not decided; return the options of the source and the new names of columns."""
    guess_time(columns)
    guess_entity(columns)
    guess_time_zone(columns)
    refuse_stray_texts(columns)
    guess_targets(columns)
    guess_features(columns)
    rename = _renamed(columns)
    source = proposal.options(rename, columns.value("time_zone"))
    rows = _read(run, proposal, source, columns, rename)
    guess_frequency(columns, rows)
    guess_season(columns, rows)
    guess_model(columns, rows, *_default_models(run))
    return source, rename


def _default_models(run: Run) -> tuple[str, str]:
    """Give the names of the model that the configuration selects by itself, and of the naive
    forecast that asks for the shortest history; the baseline where none is installed.
    """
    tree = yaml.safe_load(run.config.text)
    naive = [
        component.name
        for component in run.plugins.components()
        if component.automatic is not None and component.automatic.family == "naive"
    ]
    return tree["model"]["name"], next(iter(naive), tree["baseline"]["name"])


def _refuse_a_project(folder: Path) -> None:
    files = sorted((folder / "conf").rglob("*.yaml"))
    if files:
        raise ConfigError(
            f"{folder} has a project already ({files[0].relative_to(folder)}); run it in an empty "
            "folder, or init.overwrite=true adds the experiment, and replaces it where it is there."
        )


def _proposal(run: Run, options: InitOptions) -> Proposal:
    proposal: Proposal | None = run.plugins.hook.propose_source(
        place=options.data, table=options.table, reading=options.reading
    )
    if proposal is None:
        raise ConfigError(
            f"init.data: no installed source reads {options.data}; name a CSV or Parquet file, a "
            "folder, a glob or the URL of a database."
        )
    return proposal


def _renamed(columns: Columns) -> dict[str, str]:
    """Say how columns are called that may not keep their names."""
    time = columns.value("time")
    keys = {key: f"{key}_key" for key in columns.value("entity") if is_reserved(key)}
    return ({} if time == TIME else {time: TIME}) | keys


def _read(
    run: Run, proposal: Proposal, source: dict[str, Any], columns: Columns, rename: dict[str, str]
) -> pd.DataFrame:
    """Read the rows as ingestion will, with the options that are about to be written."""
    component = run.plugins.find("source", proposal.source)
    reader = run.plugins.load("source", proposal.source)(
        validate(component.options, source, "source")
    )
    entity = tuple(rename.get(key, key) for key in columns.value("entity"))
    names = columns.value("columns")
    categories = tuple(c for c in columns.value("categories") if c in names)
    view = View(entity=entity, columns=tuple(names), categories=categories, ttl=timedelta(days=1))
    try:
        rows: pd.DataFrame = reader.read_as(proposal.table, Roles.of_view(view))
    finally:
        reader.close()
    back = {new: old for old, new in rename.items() if new != TIME}
    return rows.rename(columns=back)


def _experiment(
    run: Run,
    table: str,
    source: dict[str, Any],
    columns: Columns,
    rename: dict[str, str],
) -> dict[str, Any]:
    """Give the sections of the experiment."""
    view: dict[str, Any] = {
        "entity": [rename.get(key, key) for key in columns.value("entity")],
        "columns": columns.value("columns"),
    }
    if columns.value("categories"):
        view["categories"] = columns.value("categories")
    sections: dict[str, Any] = {
        "source": source,
        "features": {"primary": table, "views": {table: view}},
        "panel": {name: columns.value(name) for name in _SECTIONS["panel"]},
        "backtest": {"folds": columns.value("folds")},
    }
    model = columns.value("model")
    known = run.plugins.find("model", model).options.model_fields
    if model != _default_models(run)[1]:
        view["engineer"] = past_features(columns)
        sections |= learning_sections(columns, known)
    return sections | search_space(columns, known)


def _reasons(proposal: Proposal, columns: Columns) -> dict[str, dict[str, Guess]]:
    reasons = {
        section: {name: columns.guesses[name] for name in names if name in columns.guesses}
        for section, names in _SECTIONS.items()
    }
    reasons["source"] |= proposal.guesses
    reasons["backtest"] = {k: g for k, g in columns.guesses.items() if k == "folds"}
    return reasons


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(str, value))}]"
    return "null" if value is None else str(value)


def _warnings(guesses: dict[str, Guess], kept_files: list[str]) -> list[str]:
    doubts = [
        f"{name} = {_text(guess.value)} is doubtful: {guess.why}; {_override(name)} says otherwise"
        for name, guess in guesses.items()
        if guess.doubtful
    ]
    return doubts + [f"{place} was there and is kept as it is" for place in kept_files]


def _override(name: str) -> str:
    if name in (*_DECIDABLE, "table"):
        return f"init.{name}=…"
    return f"+init.reading.{re.sub(r'[.].*', '', name)}=…"
