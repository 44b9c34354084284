"""Hold the features that forecasts were made from against the offline rows of the same entity and
time.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc

from framework.data.arrow_columns import moments
from framework.data.panel import Panel
from framework.interfaces.ledger import FEATURES, Ledger
from framework.monitoring.ledger_rows import hashed

#: Differences that are listed.
_LISTED = 100


def served_skew(
    ledger: Ledger,
    name: str,
    state: Path,
    since: datetime | None,
    panel: Panel,
    hashed_keys: Sequence[str],
) -> dict[str, Any]:
    """Compare the newest step of what each forecast was made from, where the ledger has it.

    Args:
        ledger: The ledger.
        name: Of the pairs.
        state: The folder that the servers kept it in.
        since: UTC; forecasts made before it are left out.
        panel: The rows of the offline store.
        hashed_keys: The entity keys of which the ledger has hashes.

    Returns:
        ``compared``, how many forecasts have a row in the store; ``different``, how many of them
        differ from it; and the first ``differences``.
    """
    keys = panel.entity_keys
    entities = {
        tuple(
            hashed(str(text)) if key in hashed_keys else str(text)
            for key, text in zip(keys, entity, strict=True)
        ): i
        for i, entity in enumerate(panel.entities)
    }
    numbers = {column: c for c, column in enumerate(panel.past_names)}
    texts = {column: c for c, column in enumerate(panel.static_names) if column not in keys}
    compared = different = 0
    examples: list[dict[str, Any]] = []
    for table in ledger.read(name, state, [*keys, "origin", FEATURES], since):
        if FEATURES not in table.column_names:
            continue
        known = table.filter(pc.is_valid(table[FEATURES]))
        series = np.array(
            [
                entities.get(entity, -1)
                for entity in zip(*(known[key].to_pylist() for key in keys), strict=True)
            ],
            dtype=np.int64,
        ).reshape(len(known))
        rows = panel.rows_at(series, moments(known["origin"]))
        for i in np.flatnonzero((series >= 0) & (rows >= 0)):
            text = known[FEATURES][int(i)].as_py()
            if not text.startswith("{"):  # a digest tells nothing
                continue
            compared += 1
            row, values, count = int(rows[i]), json.loads(text), len(examples)
            pairs = [
                *((column, panel.past[row, c]) for column, c in numbers.items()),
                *((column, panel.static[row, c]) for column, c in texts.items()),
            ]
            differences = [
                (column, store_value, values[column])
                for column, store_value in pairs
                if column in values and not _same(store_value, values[column])
            ]
            different += bool(differences)
            examples += [
                {
                    "entity": dict(zip(keys, map(str, panel.entities[series[i]]), strict=True)),
                    "origin": str(panel.times[row]),
                    "feature": column,
                    "offline": _plain(store_value),
                    "online": value,
                }
                for column, store_value, value in differences[: _LISTED - count]
            ]
    return {"compared": compared, "different": different, "differences": examples}


def _same(store_value: Any, served: Any) -> bool:
    return bool(_plain(store_value) == served)


def _plain(value: Any) -> Any:
    """A number or a text, None for null."""
    if isinstance(value, float | np.floating):
        return None if np.isnan(value) else float(value)
    return value
