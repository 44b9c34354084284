"""``run=compare``: what the arms of a server answered, beside each other, and beside the actual
values where they are known by now.
"""

from __future__ import annotations

from typing import Any

from framework.data.time import parse_time
from framework.data.vocabulary import TIME
from framework.errors import DataError
from framework.interfaces.ledger import Ledger
from framework.monitoring.served_accuracy import figures_by_arm, with_actuals
from framework.plugins.run import Run
from framework.runs.steps.checks import nothing_served
from framework.runs.steps.tables import arms_table


def compare(run: Run) -> dict[str, Any]:
    """Reads the ledger of ``name`` from ``start`` (null: all). One entry for each arm, pair and
    target.

    ``forecasts``: different ones, by entity, origin and step. ``MAE`` and so on: on those whose
    actual value is known. ``common``: the same figures on what every arm forecast, which is fair to
    all; a shadow has much of it, shares of the entities have none.
    """
    import pyarrow as pa

    config = run.config
    ledger: Ledger = run.make("ledger")
    keys = list(config.features.entity_keys)
    columns = ["at", "arm", "version", *keys, "origin", TIME, "step", "target", "mean", "status"]
    since = parse_time(config.start, "start") if config.start else None
    pieces = list(ledger.read(config.name, config.paths.state, columns, since))
    if not pieces:
        raise DataError(nothing_served(run))
    table = pa.concat_tables(pieces, promote_options="default").to_pandas()
    cell = [*keys, "origin", "step", "target"]
    latest = table.sort_values("at", kind="stable").drop_duplicates(
        ["arm", "version", *cell], keep="last"
    )
    arms = figures_by_arm(with_actuals(config, run.make("retrieval"), latest, keys), cell)
    run.say(arms_table(config.name, arms))
    return {"arms": arms, "records": len(table)}
