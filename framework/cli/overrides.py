"""Checks of the command line: arguments that say nothing, repeat a key, or cannot be composed.

An experiment file serves every run, so it may hold the keys of all. A key on the command line is
meant for the run that is started: one that this run does not use is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, MissingConfigException
from yaml import YAMLError

from framework.config.catalog import FIRST_PARTY_SECTIONS, Plugins
from framework.config.config import layout_of
from framework.config.groups import GROUPS, MOVED
from framework.config.layout import Layout
from framework.errors import ConfigError, suggest
from framework.options import known_keys, takes_any_key


def check_arguments(arguments: Sequence[str]) -> None:
    """Raise ConfigError for a key that is given twice, and for a group that is given a list.

    Hydra takes the last of two, and merges the options of two components into one.
    """
    values: dict[str, str] = {}
    for argument in arguments:
        key = _key(argument)
        if key is None or argument.startswith("~"):
            continue
        if key in values:
            raise ConfigError(f"{key}: given twice, as {values[key]} and {argument}; give it once.")
        values[key] = argument
        value = argument.split("=", 1)[1]
        if key in GROUPS and value.startswith("["):
            items = value.strip("[]").replace(" ", "")
            compared = (
                f"backtest.compare=[{items}] compares models on the same windows, "
                if key == "model"
                else ""
            )
            several = f"; {compared}-m {key}={items} makes a run of each" if items else ""
            raise ConfigError(f"{argument}: takes one name{several}.")


def check_taken(overrides: Iterable[str], run: str, plugins: Plugins) -> None:
    """Raise ConfigError for an override that other runs take and ``run`` does not."""
    parts = layout_of(plugins).parts
    runs = {
        c.name: _taken(c.takes, parts[c.name].keys) for c in plugins.components() if c.kind == "run"
    }
    own = runs[run]
    if own is None:
        return
    for override in overrides:
        key = _key(override)
        if key is None or _is_taken(key, own):
            continue
        takers = sorted(name for name, takes in runs.items() if takes and _is_taken(key, takes))
        if takers:
            run_names = ", ".join(f"run={name}" for name in takers)
            raise ConfigError(
                f"{key}: run={run} does not use it; leave {override} out, or choose a run "
                f"that does: {run_names}."
            )


def _key(override: str) -> str | None:
    """The key of ``key=value`` without Hydra's marks, None for what is no override."""
    if override.startswith("-") or "=" not in override:
        return None
    return override.split("=", 1)[0].lstrip("+~")


def _taken(takes: Sequence[str] | None, own: Sequence[str]) -> tuple[str, ...] | None:
    """Give the keys that a run uses and most runs do not, None where it takes whatever is given."""
    return None if takes is None and not own else (*(takes or ()), *own)


def _is_taken(key: str, takes: Iterable[str]) -> bool:
    return any(key == prefix or key.startswith(f"{prefix}.") for prefix in takes)


def explain_missing(error: MissingConfigException, text: str, plugins: Plugins) -> str:
    """Why a composition was not found."""
    group, _, name = (error.missing_cfg_file or "").removesuffix(".yaml").rpartition("/")
    if not group:
        return text
    if group in GROUPS:
        try:
            plugins.find(GROUPS[group], name)
        except ConfigError as known:
            return str(known)
    options = list(error.options or ())
    return (
        f"{group}={name} is not known;{suggest(name, options)} Known: "
        f"{', '.join(options) or 'none'}."
    )


def explain_yaml(error: YAMLError) -> str:
    """Name the file that is no YAML, and its fault."""
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    if mark is None or problem is None:
        return f"a file is not YAML: {' '.join(str(error).split())}"
    tab = "; YAML is indented by spaces, not by tabs" if "\\t" in problem else ""
    return f"{mark.name}: line {mark.line + 1}, column {mark.column + 1}: not YAML: {problem}{tab}."


def explain_files(error: ValueError | TypeError, folder: Path) -> str:
    """Why the files of a composition cannot be read: a text that is not UTF-8 is named, Hydra says
    the rest.
    """
    if isinstance(error, UnicodeDecodeError):
        for file in sorted(folder.rglob("*.yaml")):
            try:
                file.read_text(encoding="utf-8")
            except (UnicodeDecodeError, OSError) as unreadable:
                return (
                    f"{file}: cannot be read as UTF-8 text ({unreadable}); save it in that "
                    "encoding."
                )
    return f"the files below {folder} cannot be composed: {' '.join(str(error).split())}."


def no_experiment(choices: Mapping[str, Any], loader: ConfigLoader) -> str:
    """Why a configuration has no source: no experiment is chosen, or it says nothing."""
    experiment = choices.get("experiment")
    if experiment is None:
        options = loader.get_group_options("experiment")
        return (
            "no experiment is chosen: +experiment=NAME, one of: "
            f"{', '.join(options) or 'none in conf/experiment'}."
        )
    return (
        f"experiment={experiment}: it selects no source; its file begins with '# @package "
        "_global_' and its defaults "
        "have a line such as '- override /source: files'."
    )


def explain_override(text: str, arguments: Sequence[str], plugins: Plugins) -> str:
    """Why an override does not fit, from Hydra's own words."""
    if unset := re.search(r"Environment variable '(.+?)' not found(?:.*full_key: (\S+))?", text):
        return (
            f"{unset[2] + ': ' if unset[2] else ''}the environment variable {unset[1]} is not set."
        )
    match = re.search(r"Could not override '([^']+)'", text)
    if match is not None and "@experiment" in match[1]:
        return (
            "the first line of an experiment's file is '# @package _global_'; without it "
            "nothing in it is found."
        )
    if match is not None:
        *path, key = match[1].split(".")
        why = (
            _moved(match[1])
            or _new_keys(match[1], arguments)
            or _no_such_key(match[1], path, key, plugins)
        )
        return f"{match[1]}: {why}"
    match = re.fullmatch(r"Error merging override (.*)", text)
    if match is not None:
        return (
            f"{match[1]}: a value of another kind is needed there; --cfg job shows what is "
            "there now."
        )
    for argument in arguments:
        try:
            if not argument.startswith("-"):
                OverridesParser.create().parse_override(argument)
        except HydraException as error:
            reason = " ".join(str(error).split()).partition(" See https")[0]
            return (
                f"{argument}: cannot be read ({reason}); it is KEY=VALUE, and a value with , = "
                f"[ ] {{ }} : or spaces is put in quotes."
            )
    return text


def _moved(where: str) -> str | None:
    """Say what a key of an earlier version is called today."""
    for old, new in MOVED.items():
        if where == old or where.startswith(f"{old}."):
            return f"this key is {new}{where.removeprefix(old)} today."
    return None


def _new_keys(where: str, arguments: Sequence[str]) -> str | None:
    """Say how a key is added to a mapping, where an argument gives the mapping anew."""
    if not any(argument.startswith(f"{where}={{") for argument in arguments):
        return None
    return (
        f"one of these keys is not there yet; +{where}={{…}} adds it to those that are, and "
        f"~{where}.KEY takes one out."
    )


def _no_such_key(where: str, path: Sequence[str], key: str, plugins: Plugins) -> str:
    if path and path[0] in GROUPS:
        return _no_such_option(where, path, key, plugins)
    layout = layout_of(plugins)
    owner = layout.owner(path)
    if owner is not None and takes_any_key(*owner):
        return f"there is no such key yet; +{where}=… adds it."
    known = layout.known(path)
    if key in known:
        return f"it is not set yet; +{where}=… adds it."
    if known:
        return f"unknown key.{suggest(key, known)} Known: {', '.join(known)}."
    return _no_keys_there(path, layout)


def _no_keys_there(path: Sequence[str], layout: Layout) -> str:
    if path[0] in FIRST_PARTY_SECTIONS and path[0] in layout.absent:
        return f"it is not installed: pip install {FIRST_PARTY_SECTIONS[path[0]][0]}"
    if path[0] in layout.names():
        return f"unknown key; {'.'.join(path)} has no keys of its own."
    return (
        f"unknown key; there is no section '{path[0]}'.{suggest(path[0], layout.names())} Known: "
        f"{', '.join(layout.names())}."
    )


def _no_such_option(where: str, path: Sequence[str], key: str, plugins: Plugins) -> str:
    offers = {c.name: c.options for c in plugins.components() if c.kind == GROUPS[path[0]]}
    if len(path) > 1 and any(takes_any_key(options, path[1:]) for options in offers.values()):
        return f"there is no such key yet; +{where}=… adds it."
    keys = {name: known_keys(options, path[1:]) for name, options in offers.items()}
    having = sorted(name for name, known in keys.items() if key in known)
    if having and len(path) > 1:
        return f"it is not set yet; +{where}=… adds it, where {path[0]} is {', '.join(having)}."
    if having:
        return (
            f"an option of {path[0]}={', '.join(having)}, not of the one selected; --cfg job "
            "shows what that one has."
        )
    near = suggest(key, sorted({*chain(*keys.values())}))
    return f"unknown key.{near} --cfg job shows the known ones."
