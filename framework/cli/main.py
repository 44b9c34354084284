"""The command line: loads plugins, starts Hydra, runs, prints one JSON line on stdout and errors in
one line on stderr.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, TextIO

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, MissingConfigException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from framework.cli.address_space import check_address_space, doubt, give_back, watched
from framework.cli.blocking import blocked_names, check_blocked, unknown_blocked
from framework.cli.garbage import collect_seldom
from framework.cli.help import help_text
from framework.cli.multirun import Sweeps, figures, keep_result, summary
from framework.cli.overrides import (
    check_arguments,
    check_taken,
    explain_files,
    explain_missing,
    explain_override,
    explain_yaml,
    no_experiment,
)
from framework.cli.threads import limit_threads
from framework.cli.version import version_text
from framework.config.catalog import Plugins
from framework.config.config import build_config, needs_experiment
from framework.errors import (
    ConfigError,
    FrameworkError,
    RefusedError,
    explain_shortage,
    explain_system,
    shortage,
)
from framework.plugins import composition as compose
from framework.plugins.discovery import block, blocked, load_plugins
from framework.plugins.execute import execute
from framework.plugins.run import Run
from framework.secrets import looks_secret, masked, masked_tree, remember, secrets_in

TRACEBACK = "HYDRA_FULL_ERROR"
_exit_codes: list[int] = []


@cache
def _plugins() -> Plugins:
    block(blocked_names(sys.argv[1:], Path.cwd() / "conf"))
    plugins = load_plugins()
    compose.register(plugins)
    return plugins


#: The exit code where nobody reads the output any more, as in ``… | head``: a shell's for SIGPIPE.
UNREAD = 141


def main() -> int:
    """Run ``sys.argv``; the exit code is 0 done, 1 failed, 2 wrong configuration, 3 refused."""
    collect_seldom()
    try:
        code = watched(_main, lambda error: _fail(error, sys.stdout))
        sys.stdout.flush()
    except BrokenPipeError:
        # what is still in the buffer goes nowhere, and Python says nothing of it at the end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return UNREAD
    return code


def _main() -> int:
    show_traceback = os.environ.get(TRACEBACK, "0") == "1"
    os.environ[TRACEBACK] = "1"  # Hydra then raises instead of printing and exiting with 1
    _exit_codes.clear()
    try:
        _mask_arguments(sys.argv[1:])
        if "--version" in sys.argv[1:]:
            print(version_text())
            return 0
        limit_threads(os.environ)
        plugins = _plugins()
        directory = Path.cwd() / "conf"
        if {"--help", "-h"} & {*sys.argv[1:]}:  # Hydra's own takes seconds and knows no summaries
            print(help_text(plugins, directory))
            return 0
        check_arguments(sys.argv[1:])
        compose.check_compositions(plugins, resolved="--resolve" in sys.argv)
        start = hydra.main(
            version_base="1.3",
            config_path=str(directory) if directory.is_dir() else "pkg://framework.conf",
            config_name="config" if (directory / "config.yaml").is_file() else "framework",
        )
        Sweeps.directories.clear()
        start(partial(_job, show_traceback))()
    except BrokenPipeError:
        raise  # of the output; one of a run's own is the job's failure
    except (Exception, KeyboardInterrupt) as error:
        if show_traceback:
            raise
        _fail(error, sys.stdout, composing=True, place=_state_folder())
    finally:
        for sweep in Sweeps.directories:
            _conclude(sweep)
        if not show_traceback:
            os.environ.pop(TRACEBACK, None)
    return max(_exit_codes, default=0)


def script() -> int:
    """Run as the command ``framework``: modules of the working folder are found, as they are by
    ``python -m framework``.
    """
    sys.path.insert(0, str(Path.cwd()))
    return main()


def _mask_arguments(arguments: Sequence[str]) -> None:
    """A secret on the command line will be refused; not even an error about its spelling repeats
    it.
    """
    for key, value in (argument.split("=", 1) for argument in arguments if "=" in argument):
        for each in [value.strip("'\"")] * looks_secret(key) + secrets_in(value):
            if "${" not in each:
                remember(each)


def _job(show_traceback: bool, tree: DictConfig) -> dict[str, Any] | None:
    """One Hydra job. What libraries print goes to stderr: stdout belongs to the result.

    An error ends here, so that the other jobs of a sweep run on and Hydra adds no line of its own.
    """
    stdout = sys.stdout

    def emit(result: dict[str, Any]) -> None:
        print(json.dumps(masked_tree(result), default=str), file=stdout, flush=True)

    try:
        with contextlib.redirect_stdout(sys.stderr):
            check_address_space()
            plugins = _plugins()
            name = str(tree.get("run"))
            plugins.find("run", name)
            overrides: Any = OmegaConf.to_container(
                HydraConfig.get().overrides.task, resolve=False
            )  # as they were written
            check_taken(overrides, name, plugins)
            # a file without its first line stands below the key experiment, and selects nothing
            if tree.get("source") is None and (
                "experiment" in tree or needs_experiment(tree, plugins)
            ):
                raise ConfigError(
                    no_experiment(
                        HydraConfig.get().runtime.choices, GlobalHydra.instance().config_loader()
                    )
                )
            config = build_config(tree, plugins)
            check_blocked(config.plugins.block, blocked())
            run = Run(config, plugins, Path(HydraConfig.get().runtime.output_dir), emit)
            for line in unknown_blocked(blocked(), plugins.every_origin()):
                run.say(line)
            result = execute(run)
    except (Exception, KeyboardInterrupt) as error:
        if show_traceback:
            raise
        give_back()
        place = OmegaConf.select(tree, "paths.state", throw_on_missing=False)
        result = _fail(error, stdout, tree.get("run"), place=_state_folder(place))
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
        from framework.runs.steps.tables import (
            sweep_table,
        )  # a fifth of a start, and most starts show no table

        print(sweep_table(figures(result["jobs"])), file=sys.stderr, flush=True)
        print(json.dumps(result, default=str), flush=True)


def _fail(
    error: BaseException,
    stdout: TextIO,
    run: str | None = None,
    *,
    composing: bool = False,
    place: str | None = None,
) -> dict[str, Any]:
    """Say why a run has failed, or why none was composed. ``place``: the state folder."""
    code, text = _explain(error, composing, place)
    _exit_codes.append(code)
    if run is None:
        run = next(
            (a.removeprefix("run=") for a in reversed(sys.argv[1:]) if a.startswith("run=")),
            "train",
        )
    text = masked(text)
    result: dict[str, Any] = {
        "run": run,
        "status": "refused" if isinstance(error, RefusedError) else "failed",
        "error": text,
    }
    if isinstance(error, RefusedError) and error.verdict:
        result["verdict"] = error.verdict
    print(f"error: {text}", file=sys.stderr, flush=True)
    print(json.dumps(masked_tree(result), default=str), file=stdout, flush=True)
    return result


def _state_folder(place: str | None = None) -> str:
    """Give the state folder, of a configuration or as the command line says it."""
    if place is None:
        prefix = "paths.state="
        places = [part.removeprefix(prefix) for part in sys.argv[1:] if part.startswith(prefix)]
        place = places[-1] if places else "state"
    return str(Path(place).absolute())


def _explain(error: BaseException, composing: bool, place: str | None) -> tuple[int, str]:
    if isinstance(error, FrameworkError):
        return error.exit_code, explain_shortage(error, place)
    if isinstance(error, KeyboardInterrupt):
        return 130, "interrupted."
    text = masked(" ".join(str(error).split()))
    # An OSError too, but Hydra's.
    if isinstance(error, MissingConfigException):
        text = explain_missing(error, text, _plugins())
    elif isinstance(error, HydraException | OmegaConfBaseException):
        text = explain_override(text, sys.argv[1:], _plugins())
    elif isinstance(error, YAMLError):
        text = explain_yaml(error)
    elif composing and isinstance(error, ValueError | TypeError):
        text = explain_files(error, Path.cwd() / "conf")
    elif isinstance(error, OSError):
        return FrameworkError.exit_code, explain_system(error, place)
    elif (lacking := shortage(error)) is not None:
        return FrameworkError.exit_code, explain_system(lacking, place)
    else:
        defect = f"this is a defect or a broken installation, {TRACEBACK}=1 shows where."
        return FrameworkError.exit_code, f"{type(error).__name__}: {text}; {doubt() or defect}"
    return ConfigError.exit_code, text
