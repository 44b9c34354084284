"""The command line: loads plugins, starts Hydra, runs, prints one JSON line on stdout and errors in one line on stderr."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
from collections.abc import Sequence
from functools import cache, partial
from itertools import chain
from pathlib import Path
from typing import Any, TextIO

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, MissingConfigException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from framework import compose
from framework.config import GROUPS, Config, build_config
from framework.errors import ConfigError, FrameworkError, RefusedError, suggest
from framework.help import help_text
from framework.lifecycle import execute
from framework.plugins import Plugins, load_plugins
from framework.run import Run
from framework.secrets import looks_secret, masked, masked_tree, remember, secrets_in
from framework.sweep import Sweeps, figures, keep_result, summary
from framework.validated import known_keys

TRACEBACK = "HYDRA_FULL_ERROR"
_exit_codes: list[int] = []


@cache
def _plugins() -> Plugins:
    plugins = load_plugins()
    compose.register(plugins)
    return plugins


def main() -> int:
    """Run ``sys.argv``; the exit code is 0 done, 1 failed, 2 wrong configuration, 3 refused."""
    show_traceback = os.environ.get(TRACEBACK, "0") == "1"
    os.environ[TRACEBACK] = "1"  # Hydra then raises instead of printing and exiting with 1
    _exit_codes.clear()
    try:
        _mask_arguments(sys.argv[1:])
        plugins = _plugins()
        directory = Path.cwd() / "conf"
        if {"--help", "-h"} & {*sys.argv[1:]}:  # Hydra's own takes seconds and knows no summaries
            print(help_text(plugins, directory))
            return 0
        _one_of_each(sys.argv[1:])
        compose.check_compositions(plugins, resolved="--resolve" in sys.argv)
        start = hydra.main(
            version_base="1.3",
            config_path=str(directory) if directory.is_dir() else "pkg://framework.conf",
            config_name="config" if (directory / "config.yaml").is_file() else "framework",
        )
        Sweeps.directories.clear()
        start(partial(_job, show_traceback))()
    except (Exception, KeyboardInterrupt) as error:
        if show_traceback:
            raise
        _fail(error, sys.stdout)
    finally:
        for sweep in Sweeps.directories:
            _conclude(sweep)
        if not show_traceback:
            os.environ.pop(TRACEBACK, None)
    return max(_exit_codes, default=0)


def _mask_arguments(arguments: Sequence[str]) -> None:
    """A secret on the command line will be refused; not even an error about its spelling repeats it."""
    for key, value in (argument.split("=", 1) for argument in arguments if "=" in argument):
        for each in [value.strip("'\"")] * looks_secret(key) + secrets_in(value):
            if "${" not in each:
                remember(each)


def _one_of_each(arguments: Sequence[str]) -> None:
    """Raises :class:`ConfigError` for ``model=[a,b]``: Hydra would merge the options of both into one component."""
    for group, names in (argument.split("=", 1) for argument in arguments if "=" in argument):
        if group in GROUPS and names.startswith("["):
            listed = names.strip("[]").replace(" ", "")
            several = f"backtest.compare=[{listed}] compares models on the same windows, " if group == "model" else ""
            raise ConfigError(f"{group}={names}: takes one name; {several}-m {group}={listed} makes a run of each.")


def _job(show_traceback: bool, composed: DictConfig) -> dict[str, Any] | None:
    """One Hydra job. What libraries print goes to stderr: stdout belongs to the result.

    An error ends here, so that the other jobs of a sweep run on and Hydra adds no line of its own.
    """
    stdout = sys.stdout

    def emit(result: dict[str, Any]) -> None:
        print(json.dumps(masked_tree(result), default=str), file=stdout, flush=True)

    try:
        with contextlib.redirect_stdout(sys.stderr):
            if composed.get("source") is None:
                options = GlobalHydra.instance().config_loader().get_group_options("experiment")
                raise ConfigError(f"no experiment is chosen: +experiment=NAME, one of: {', '.join(options) or 'none in conf/experiment'}.")
            plugins = _plugins()
            run = Run(build_config(composed, plugins), plugins, Path(HydraConfig.get().runtime.output_dir), emit)
            result = execute(run)
    except (Exception, KeyboardInterrupt) as error:
        if show_traceback:
            raise
        result = _fail(error, stdout, composed.get("run"))
        keep_result(result, _exit_codes[-1])
        if isinstance(error, KeyboardInterrupt) and HydraConfig.get().mode is RunMode.MULTIRUN:
            raise  # the jobs that are left are not wanted
        return result
    keep_result(result, 0)
    emit(result)
    return result


def _conclude(directory: Path) -> None:
    """The table of a multirun on stderr, its result as the last line on stdout."""
    if not directory.is_dir():
        return
    result, code = summary(directory)
    if result["jobs"]:  # none when the overrides are wrong; that was said already
        _exit_codes.append(code)
        from framework.tables import sweep_table  # a fifth of a start, and most starts show no table

        print(sweep_table(figures(result["jobs"])), file=sys.stderr, flush=True)
        print(json.dumps(result, default=str), flush=True)


def _fail(error: BaseException, stdout: TextIO, run: str | None = None) -> dict[str, Any]:
    code, text = _explain(error)
    _exit_codes.append(code)
    if run is None:
        run = next((a.removeprefix("run=") for a in reversed(sys.argv[1:]) if a.startswith("run=")), "train")
    text = masked(text)
    result: dict[str, Any] = {"run": run, "status": "refused" if isinstance(error, RefusedError) else "failed", "error": text}
    if isinstance(error, RefusedError) and error.verdict:
        result["verdict"] = error.verdict
    print(f"error: {text}", file=sys.stderr, flush=True)
    print(json.dumps(masked_tree(result), default=str), file=stdout, flush=True)
    return result


def _explain(error: BaseException) -> tuple[int, str]:
    if isinstance(error, FrameworkError):
        return error.exit_code, str(error)
    if isinstance(error, KeyboardInterrupt):
        return 130, "interrupted."
    text = masked(" ".join(str(error).split()))
    if isinstance(error, MissingConfigException):
        return ConfigError.exit_code, _missing(error, text)
    if isinstance(error, HydraException | OmegaConfBaseException):
        return ConfigError.exit_code, _override(text)
    return 1, f"{type(error).__name__}: {text}; this is a defect or a broken installation, {TRACEBACK}=1 shows where."


def _missing(error: MissingConfigException, text: str) -> str:
    group, _, name = (error.missing_cfg_file or "").removesuffix(".yaml").rpartition("/")
    if not group:
        return text
    if group in GROUPS:
        try:
            _plugins().find(GROUPS[group], name)
        except ConfigError as known:
            return str(known)
    options = list(error.options or ())
    return f"{group}={name} is not known;{suggest(name, options)} Known: {', '.join(options) or 'none'}."


def _override(text: str) -> str:
    if unset := re.search(r"Environment variable '(.+?)' not found(?:.*full_key: (\S+))?", text):
        return f"{unset[2] + ': ' if unset[2] else ''}the environment variable {unset[1]} is not set."
    match = re.search(r"Could not override '([^']+)'", text)
    if match is None:
        return text
    *path, key = match[1].split(".")
    known = known_keys(Config, path)
    if len(path) == 1 and path[0] in GROUPS:
        offered = {c.name: c.options.model_fields for c in _plugins().components() if c.kind == GROUPS[path[0]]}
        having = sorted(name for name, fields in offered.items() if key in fields)
        if having:
            return f"{match[1]}: an option of {path[0]}={', '.join(having)}, not of the one selected; --cfg job shows what that one has."
        return f"{match[1]}: unknown key.{suggest(key, sorted({*chain(*offered.values())}))} --cfg job shows the known ones."
    if not known:
        return f"{match[1]}: unknown key; --cfg job shows the known ones, +{match[1]}=… adds one."
    return f"{match[1]}: unknown key.{suggest(key, known)} Known: {', '.join(known)}."
