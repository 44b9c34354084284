"""``run=dashboards``: rules of Prometheus and dashboards of Grafana for a project's servers."""

from __future__ import annotations

import itertools
import json
from typing import Any

import yaml

from framework.errors import ConfigError, FrameworkError
from framework.files import atomic_write
from framework.plugins.run import Run
from framework.runs.options import DashboardsOptions
from framework.serving.dashboards.boards import BOARDS
from framework.serving.dashboards.grafana import dashboard
from framework.serving.dashboards.rules import Objectives, rules_of
from framework.serving.http.metrics import SECONDS

_HEAD = "# Written by run=dashboards, which replaces it. Objectives: dashboards.availability, "


def dashboards(run: Run) -> dict[str, Any]:
    """Write ``prometheus/rules.yml`` and ``grafana/NAME.json`` below ``dashboards.output``.

    Plugins add boards of their own by the hook ``boards``.
    """
    options: DashboardsOptions = run.options
    if options.seconds not in SECONDS:
        bounds = ", ".join(f"{bound:g}" for bound in SECONDS)
        raise ConfigError(
            f"dashboards.seconds={options.seconds:g}: servers count by {bounds}; choose one."
        )
    objectives = Objectives(options.availability, options.fast, options.seconds, options.routes)
    added = itertools.chain.from_iterable(run.plugins.hook.boards())
    boards = {board.name: board for board in (*BOARDS, *added)}
    rules = yaml.safe_dump(rules_of(objectives), sort_keys=False, width=10_000)
    contents = {
        "prometheus/rules.yml": f"{_HEAD}fast, seconds, routes.\n{rules}",
        **{
            f"grafana/{name}.json": json.dumps(dashboard(board), indent=1) + "\n"
            for name, board in boards.items()
        },
    }
    paths = []
    for name, text in contents.items():
        path = (options.output / name).resolve()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(path) as stream:
                stream.write(text.encode())
        except OSError as error:
            raise FrameworkError(
                f"dashboards.output: {path} cannot be written: {error.strerror}; choose another "
                "folder."
            ) from error
        paths.append(str(path))
    run.say(f"dashboards: {len(paths)} files in {options.output.resolve()}")
    return {"output": str(options.output.resolve()), "written": paths}
