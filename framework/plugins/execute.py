"""One run from start to end, with the hooks that plugins follow it by."""

from __future__ import annotations

import logging
from typing import Any

from framework.errors import ComponentError, FrameworkError, one_line, shortage
from framework.plugins.extensions import with_extensions
from framework.plugins.hook_calls import of_each_plugin
from framework.plugins.run import Run, tell

log = logging.getLogger(__name__)


def _started(run: Run) -> str | None:
    """Ask the plugins what the run is called, until one says it; an exception names its plugin."""
    for plugin, call in of_each_plugin(run.plugins, "run_started"):
        try:
            identity: str | None = call(run=run)
        except (FrameworkError, OSError):
            raise
        except Exception as error:
            if shortage(error) is not None:
                raise
            raise ComponentError(
                f"{plugin}: run_started: {type(error).__name__}: {one_line(error)}; mend or "
                "uninstall it, or block it by plugins.block; HYDRA_FULL_ERROR=1 shows where."
            ) from error
        if identity is not None:
            return identity
    return None


def execute(run: Run) -> dict[str, Any]:
    """Run ``run.config.run`` with the extensions; returns ``{"run", "status", …}``. Raises what the
    run raises, after the plugins have heard of it, and what its check raises, of which they do not
    hear.
    """
    run.plugins = with_extensions(run.config, run.plugins)
    for problem in run.plugins.problems:
        if problem.status != "blocked":
            run.say(str(problem))
    check = run.plugins.load_check(run.config.run)
    if check is not None:
        check(run)
    identity = _started(run)
    if identity is not None:
        run.id = identity
    try:
        body = run.plugins.load("run", run.config.run)(run)
    except BaseException as error:
        for plugin, call in of_each_plugin(run.plugins, "run_failed"):
            try:
                call(run=run, error=error)
            except Exception as second:  # it must not hide the error that the run failed with
                message = "%s failed while it was told that run=%s did: %s"
                defect = shortage(second) is None
                log.error(message, plugin, run.config.run, one_line(second), exc_info=defect)
        raise
    result = {"run": run.config.run, "status": "done", **body}
    tell(run, "run_finished", result=result)
    problems = [str(problem) for problem in run.plugins.problems if problem.status != "blocked"]
    problems += run.record.failures
    if problems:
        result["warnings"] = [*result.get("warnings", []), *problems]
    return result
