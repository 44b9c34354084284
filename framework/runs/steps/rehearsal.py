"""Checks of a run before it begins, without any data: a rehearsal on made-up rows, and a
look at the names that the source has.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

import numpy as np

from framework.config.config import Config
from framework.data.frequency import Frequency
from framework.data.panel import Panel
from framework.data.time import parse_time
from framework.errors import ConfigError, RefusedError, suggest
from framework.evaluation.eligibility import check_covariates
from framework.features.calendar_options import CalendarOptions
from framework.features.operations import Join
from framework.interfaces.model import Model
from framework.interfaces.preprocessor import Preprocessor
from framework.interfaces.source import Roles, Source
from framework.options import Options
from framework.plugins.run import Run
from framework.retrieval.features import Features
from framework.retrieval.schema import past_columns
from framework.runs.options import MaterializeOptions
from framework.runs.steps.disk_space import check_disk, ingestion_need
from framework.runs.steps.unused import refuse_unused

log = logging.getLogger(__name__)
#: Rows of each of the two series that are made up.
_ROWS = 100


def rehearse(config: Config, features: Features, preprocessor: Preprocessor, model: Model) -> None:
    """Fit the preprocessor on made-up rows with the columns of the experiment, and let the model
    look at what it would get.

    Args:
        config: The experiment.
        features: Its features; nothing is read.
        preprocessor: Fitted and of no use afterwards.
        model: Not fitted.

    Raises:
        ConfigError: An option names a column that will not be there, or asks for what the steps,
            the columns or the retrieval cannot give.
        RefusedError: A file that an option names is not the one whose digest another one gives.
            Any other failure is left to the real rows.
    """
    panel = _made_up(config, features)
    try:
        schema = features.schema(panel, model)
        check_covariates(schema, model, config.component("model").name, config.panel.unused)
        if schema.cold and not model.forecasts_cold:
            raise ConfigError(
                f"panel.cold: model={config.component('model').name} forecasts no series without "
                "history; choose a boosted model, or panel.cold=refuse."
            )
        preprocessor.fit(panel.past, panel.known, np.asarray(panel.static), panel.times, schema)
        model.check(schema, preprocessor.past_names)
    except (ConfigError, RefusedError):
        raise
    except Exception as error:  # noqa: BLE001  made-up values may lack what real ones have
        log.debug("the rehearsal ended early: %s", error)


def check_training(run: Run) -> None:
    """Rehearse an experiment as it is configured, then look at what it will read.

    Args:
        run: A run that has not begun.

    Raises:
        ConfigError: As of :func:`rehearse`, and as of :func:`check_reading`.
        DataError: As of :func:`check_reading`.
    """
    rehearse_own(run)
    check_reading(run)


def rehearse_own(run: Run) -> None:
    """Rehearse an experiment with its own model.

    Args:
        run: A run that has not begun.

    Raises:
        ConfigError: As of :func:`rehearse`.
    """
    features = Features(run.config, run.make("retrieval"))
    rehearse(run.config, features, run.make("preprocessor"), run.make("model"))


def check_reading(run: Run) -> None:
    """Look at the source where the run will read it: the store has no rows yet, or
    ``ingest.when=always``.

    Args:
        run: A run that has not begun.

    Raises:
        ConfigError: As of :func:`check_source` and :func:`check_materialization`.
        DataError: As of :func:`check_source`.
    """
    features = Features(run.config, run.make("retrieval"))
    when = run.config.ingest.when
    if when == "always" or (when == "auto" and not features.strategy.has_rows(run.config.features)):
        check_materialization(run)
        check_source(run)


def check_materialization(run: Run) -> None:
    """Refuse views and times that do not exist.

    Args:
        run: A run that has not begun.

    Raises:
        ConfigError: ``materialize.views`` has a name that no view has, or a time is none.
    """
    config = run.config
    options: MaterializeOptions = config.section("materialize")
    known = list(config.features.views)
    unknown = [name for name in options.views or () if name not in known]
    if unknown:
        raise ConfigError(
            f"materialize.views: {unknown} are no views;{suggest(unknown[0], known)} "
            f"Known: {known}."
        )
    for key in ("start", "at"):
        if getattr(config, key):
            parse_time(getattr(config, key), key)


def check_ingestion(run: Run) -> None:
    """Refuse options that an ingestion leaves aside, then look at the source.

    Args:
        run: A run that has not begun.

    Raises:
        ConfigError: An option has no effect, or as of :func:`check_source`.
        DataError: As of :func:`check_source`.
    """
    refuse_unused(run, ("panel", "model", "ingest.removed"))
    check_source(run)


def check_source(run: Run) -> None:
    """Look whether the disk has room for what the source has, and let the source look whether it
    has the tables and columns of the views.

    Args:
        run: A run that has not begun and will read the source.

    Raises:
        ConfigError: A name is wrong, or the disk has no room.
        DataError: What is read is not there.
    """
    past_columns(run.config)
    views = run.config.features.views
    joins = [(view, op) for view in views.values() for op in view.engineer if isinstance(op, Join)]
    tables = {
        op.table: Roles.of_joins(pair for pair in joins if pair[1].table == op.table)
        for _, op in joins
    }
    tables |= {view.table or name: Roles.of_view(view) for name, view in views.items()}
    source: Source = run.make("source")
    try:
        check_disk(run, ingestion_need(run, source, run.make("retrieval")))
        source.check(tables)
    finally:
        source.close()


def _made_up(config: Config, features: Features) -> Panel:
    frequency = Frequency.parse(config.panel.frequency)
    draw, rows = np.random.default_rng(0), 2 * _ROWS
    first = np.full(_ROWS, np.datetime64("2024-01-01", "us"))
    times = np.tile(frequency.shift(first, np.arange(_ROWS)), 2)
    keys = config.features.entity_keys
    names = (*keys, *features.categories)
    static = np.empty((rows, len(names)), dtype=object)
    preprocessor = config.component("preprocessor").options
    for place, name in enumerate(names):
        static[:, place] = np.repeat(_texts(preprocessor, name), _ROWS)
    past, known = features.past, config.panel.known
    return Panel(
        keys,
        frequency,
        np.array([0, _ROWS, rows]),
        static[::_ROWS, : len(keys)],
        times,
        draw.uniform(1, 2, (rows, len(past))),
        draw.uniform(1, 2, (rows, len(known))),
        static,
        past,
        known,
        names,
    )


def _texts(preprocessor: Options | None, column: str) -> tuple[str, str]:
    """Two values of a key or category. Where a calendar takes its countries from the column, they
    are such as it takes.
    """
    for calendar in _calendars(preprocessor):
        if calendar.country_column == column:
            values = [*(calendar.countries or ("US", "DE"))]
            return values[0], values[-1]
    return "a", "b"


def _calendars(value: object) -> Iterator[CalendarOptions]:
    """The calendars anywhere in options."""
    if isinstance(value, CalendarOptions):
        yield value
    elif isinstance(value, Options):
        for name in type(value).model_fields:
            yield from _calendars(getattr(value, name))
    elif isinstance(value, tuple | list):
        for part in value:
            yield from _calendars(part)
