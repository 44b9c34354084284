"""The hooks a plugin may implement, and when each is called.

A plugin is a distribution with one entry point in the group ``framework``::

    [project.entry-points.framework]
    mymodel = "my_package"

The module is imported at every start, so it holds only its options and the hooks; what is heavy
stays in the modules that :class:`Component.load` names, imported when the component is selected.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy

from framework.interfaces.plugin import Component, Section

if TYPE_CHECKING:
    from framework.data.context import Context
    from framework.data.forecast import Forecast
    from framework.interfaces.dashboard import Board
    from framework.interfaces.observer import ServedArm, ServedDeployment, ServedRequest
    from framework.interfaces.proposal import Proposal
    from framework.interfaces.registry import Check, HistoryEntry, PairVersion, ProvenPair
    from framework.interfaces.serving_extension import Extension, MetricRegistry
    from framework.interfaces.tuner import Dimension, Trial
    from framework.plugins.run import Run

hookspec = pluggy.HookspecMarker("framework")


@hookspec
def components() -> list[Component]:  # type: ignore[empty-body]
    """Called once at start, before the configuration is composed. Return what the plugin offers."""


@hookspec
def sections() -> list[Section]:  # type: ignore[empty-body]
    """Called once at start, before the configuration is composed. Return the sections of the
    configuration that the plugin brings.
    """


@hookspec(firstresult=True)
def propose_source(place: str, table: str | None, reading: Mapping[str, Any]) -> Proposal | None:
    """Called by ``run=init``. Propose how to read ``place``, a file, a glob or a URL that a person
    named; None where it is not for your source.

    ``table``: the name of the table, None for one that you make of ``place``. ``reading``: options
    of the table that are decided already.
    """


@hookspec(firstresult=True)
def run_started(run: Run) -> str | None:
    """Called when the configuration is valid, before the run does anything. The first id that is
    returned becomes the run's.
    """


@hookspec
def run_finished(run: Run, result: dict[str, Any]) -> None:
    """Called when the run has ended with ``result``, done or refused. ``run.record`` holds what it
    measured and made. Raising here undoes nothing: it becomes a line of the result's ``warnings``;
    so do :func:`pair_registered` and :func:`alias_moved`.
    """


@hookspec
def run_failed(run: Run, error: BaseException) -> None:
    """Called when the run ends by an error, before the error is shown. Raising here does not hide
    ``error``.
    """


@hookspec(firstresult=True)
def report(run: Run) -> Path | None:
    """Called after a backtest, when ``run.record.backtest`` is set. Write a report below
    ``run.directory`` and return its file.
    """


@hookspec
def trial_finished(run: Run, trial: Trial, config: str) -> None:
    """Called by a search for each trial as it ends, whatever its status, in the order they end.
    ``config``: its composed config, YAML.
    """


@hookspec
def search_finished(run: Run, trials: list[Trial], dimensions: tuple[Dimension, ...]) -> list[Path]:  # type: ignore[empty-body]
    """Called once when a search has ended, with every trial it knows of and the space it searched.

    Write plots below ``run.directory`` and return their files.
    """


@hookspec
def gate(run: Run, candidate: ProvenPair, incumbent: ProvenPair | None) -> list[Check] | None:
    """Called by a promotion after the core's own checks, with both pairs proven. Return further
    checks; one that failed refuses.
    """


@hookspec
def pair_registered(run: Run, pair: PairVersion) -> None:
    """Called when a pair is complete in the registry, before any alias points at it."""


@hookspec
def alias_moved(run: Run, entry: HistoryEntry) -> None:
    """Called after an alias has been moved, by a promotion or a rollback."""


@hookspec
def serving_extensions(deployment: ServedDeployment, metrics: MetricRegistry) -> list[Extension]:  # type: ignore[empty-body]
    """Called in each process of a server before it answers. Return the routes, protocols and pages
    of the console that the plugin adds; make its metrics with ``metrics``. A path that is taken is
    refused.
    """


@hookspec
def boards() -> list[Board]:  # type: ignore[empty-body]
    """Called by ``run=dashboards``. Return dashboards of the metrics that the plugin brings; one
    with the name of another takes its place.
    """


# While serving. Each process of a server has one queue and one thread for each plugin that
# implements any of the hooks below. The thread calls them one at a time and in order, off the path
# of the requests. A hook that is slow or raises changes no answer: what its queue has no room for
# is dropped, counted in ``framework_observed_total`` and logged.


@hookspec
def server_started(deployment: ServedDeployment) -> None:
    """Called first, once in each process that answers requests."""


@hookspec
def forecasts_served(
    arm: ServedArm, forecast: Forecast, request: ServedRequest, context: Context
) -> None:
    """Called for the forecasts that one arm gave to one request, also for those of a shadow.

    Take only the arguments you need. ``context``, the windows that the forecasts were made from,
    stays in memory only for a plugin that takes it. All are shared with the server and with other
    plugins: do not change them.
    """


@hookspec
def forecasts_failed(arm: ServedArm, request: ServedRequest, error: Exception) -> None:
    """Called when an arm could not answer a request at all."""


@hookspec
def forecasts_dropped(count: int) -> None:
    """Called when the plugin was too slow: so many forecasts did not reach ``forecasts_served``."""


@hookspec
def pair_swapped(arm: ServedArm) -> None:
    """Called when an arm answers with another pair, and for each arm when the server starts."""


@hookspec
def flush_due() -> None:
    """Called about every second, whether or not anything was served: write what you collected."""


@hookspec
def server_stopped() -> None:
    """Called last, when every request has ended and all before has been handed over. The server
    waits ten seconds for it.
    """
