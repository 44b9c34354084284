"""From raw data to stored features: what ``ingest`` and ``materialize`` do, and what ``train`` does
first on an empty store.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import Event
from typing import Any

from framework.data.time import parse_time
from framework.errors import DataError
from framework.files import LONG_PATIENCE, exclusive
from framework.ingestion.ingestion import Ingestion
from framework.ingestion.source_changes import source_changes
from framework.interfaces.retrieval import RetrievalStrategy
from framework.interfaces.source import Source
from framework.plugins.run import Run
from framework.retrieval.features import Features
from framework.retrieval.schema import make_needs, past_columns
from framework.runs.options import MaterializeOptions
from framework.runs.steps.disk_space import check_disk, ingestion_need, pair_need


def ingest(run: Run) -> dict[str, Any]:
    """Until the source has no more; with ``source.poll``, until the run is told to stop (SIGTERM,
    SIGINT): it ends with what was begun.
    """
    past_columns(run.config)  # names of columns that no view has
    source: Source = run.make("source")
    check_disk(run, ingestion_need(run, source, run.make("retrieval")))
    if source.poll is None:
        return _ingest(run, source, Event())
    with _told_to_stop() as stop:
        return _ingest(run, source, stop)


def _ingest(run: Run, source: Source, stop: Event, *, follow: bool = True) -> dict[str, Any]:
    ingestion = Ingestion(
        run.config,
        run.say,
        source,
        run.make("retrieval"),
        cache(lambda: make_needs(run.config, run.make("model"))),
    )
    try:
        ingestion.once(stop)
        while follow and source.poll is not None and not stop.wait(source.poll):
            ingestion.once(stop)
        run.record.facts["source"] = source.fingerprint()
    finally:
        source.close()
    row_counts = {name: count.stored for name, count in ingestion.counts.items()}
    run.record.facts["ingested_rows"] = row_counts
    run.record.facts["warnings"] = [*run.record.facts.get("warnings", []), *ingestion.warnings]
    body: dict[str, Any] = {
        "rows": row_counts,
        "read": {name: count.read for name, count in ingestion.counts.items()},
    }
    if ingestion.removed:
        body["removed"] = ingestion.removed
    return {**body, "warnings": ingestion.warnings}


@contextmanager
def _told_to_stop() -> Iterator[Event]:
    """Set by SIGTERM or SIGINT while the run is in the main thread; a second one ends it at
    once.
    """
    stop = Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def tell(number: int, frame: object) -> None:
        stop.set()
        restore()

    before = {number: signal.signal(number, tell) for number in (signal.SIGTERM, signal.SIGINT)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    try:
        yield stop
    finally:
        restore()


def materialize(run: Run) -> dict[str, Any]:
    """From ``start`` (default: all) to ``at`` (default: now), as ``materialize`` says."""
    strategy: RetrievalStrategy = run.make("retrieval")
    config = run.config
    options: MaterializeOptions = config.section("materialize")
    start = parse_time(config.start, "start") if config.start else None
    end = parse_time(config.at, "at") if config.at else None
    overlap = options.overlap if options.incremental else None
    needs = make_needs(config, run.make("model"))
    rows = strategy.materialize(
        config.features, start, end, run.say, views=options.views, overlap=overlap, needs=needs
    )
    for name, count in rows.items():
        run.say(f"materialize: {name}: {count:,} entities")
    return {"rows": rows}


def lengthen_store(run: Run, strategy: RetrievalStrategy) -> None:
    """Make what is online long enough for the model of ``run``; where the store does not answer, a
    warning says what to do later.
    """
    config = run.config
    try:
        rows = strategy.lengthen(config.features, make_needs(config, run.make("model")), run.say)
    except DataError as error:
        warning = (
            f"what is online may be too short for this pair: {error} run=materialize before it "
            "is served"
        )
        run.say(warning)
        run.record.facts.setdefault("warnings", []).append(warning)
        return
    if rows:
        run.say(f"materialize: {', '.join(rows)}: with the history that this model needs")


def fill_store(run: Run, features: Features) -> None:
    """Ingest and materialize as ``ingest.when`` says. Runs that begin together take turns: one does
    it.

    What was doubtful is among the facts of the run: in what was ingested now, or that the source
    has changed since it was ingested.
    """
    lock = run.config.paths.state / "ingest.lock"
    with exclusive(lock, "the first filling of the store", limit=LONG_PATIENCE):
        when, empty = run.config.ingest.when, not features.strategy.has_rows(run.config.features)
        if empty and when == "never":
            raise DataError(
                "ingest.when=never: the store has no rows of these views; run=ingest fills it."
            )
        if empty or when == "always":
            source: Source = run.make("source")
            check_disk(run, [*ingestion_need(run, source, features.strategy), pair_need(run)])
            why = "the store has no rows of these views yet" if empty else "ingest.when=always"
            run.say(f"{why}: ingest and materialize first")
            _ingest(run, source, Event(), follow=False)
            materialize(run)
            return
        check_disk(run, [pair_need(run)])
    warnings = run.record.facts.get("warnings", [])
    run.record.facts["warnings"] = [
        *warnings,
        *(
            line
            for line in source_changes(run.config, lambda: run.make("source"), run.say)
            if line not in warnings
        ),
    ]
