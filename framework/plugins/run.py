"""A run: what it was asked, what it measured, where it writes. Handed to lifecycle hooks."""

from __future__ import annotations

import logging
import sys
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from framework.config.catalog import Plugins
from framework.config.config import Config
from framework.config.groups import GROUPS
from framework.errors import one_line
from framework.plugins.hook_calls import of_each_plugin
from framework.secrets import masked

if TYPE_CHECKING:
    from framework.evaluation.comparison import Ranked
    from framework.evaluation.result import BacktestResult

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Record:
    """Filled while a run works; what a tracker logs.

    ``metrics``: flat, such as ``backtest.departures.MAE``. ``fold_metrics``: one dict per fold.
    ``facts``: data range, rows, versions, git state. ``artifacts``: files or folders to keep.
    ``comparison``: by target the models that were backtested on the same windows, the best first;
    empty without ``backtest.compare``. ``failures``: hooks that failed after something was done.
    """

    metrics: dict[str, float] = field(default_factory=dict)
    fold_metrics: list[dict[str, float]] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    artifacts: list[Path] = field(default_factory=list)
    backtest: BacktestResult | None = None
    comparison: dict[str, list[Ranked]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Run:
    """One execution. ``directory`` is its own and exists; ``emit`` prints one JSON line on stdout;
    ``id`` is the tracker's if any.
    """

    config: Config
    plugins: Plugins
    directory: Path
    emit: Callable[[dict[str, Any]], None]
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    record: Record = field(default_factory=Record)

    @property
    def options(self) -> Any:
        """The options of the run itself, of the class that its component names."""
        return self.config.section(self.config.run)

    def make(self, group: str) -> Any:
        """Make a new instance of the selected component.

        Args:
            group: The config group, such as ``model``.

        Returns:
            The instance.
        """
        selected = self.config.component(group)
        return self.plugins.make(GROUPS[group], selected.name, selected.options)

    def say(self, text: str) -> None:
        """Tell people of progress, on stderr, with secrets masked.

        Args:
            text: One line.
        """
        print(masked(text), file=sys.stderr, flush=True)


def tell(run: Run, hook: str, **arguments: Any) -> None:
    """Call a hook that tells plugins of what has been done. One that fails undoes nothing and keeps
    no other from being told: it is said, and stands in the ``warnings`` of the result.

    Args:
        run: The run that did it.
        hook: The name of the hook.
        arguments: What the hook takes beside the run.
    """
    for plugin, call in of_each_plugin(run.plugins, hook):
        try:
            call(run=run, **arguments)
        except Exception as error:
            log.debug("the hook %s failed", hook, exc_info=True)
            text = one_line(f"{type(error).__name__}: {error}")
            line = f"{plugin} failed in {hook}, after it was done: {text}"
            run.record.failures.append(line)
            run.say(line)
