"""Names of columns: which ones the product writes itself, and which of an experiment's would
overwrite them or each other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from framework.config.sections import PanelConfig
from framework.data.vocabulary import SHORT_HISTORY, TIME
from framework.errors import ConfigError
from framework.features.views import FeatureSet, View

#: Columns that stand beside the entity keys in the tables that the product writes.
#: :func:`framework.data.forecast_table.forecast_arrow` writes the first line,
#: :meth:`framework.evaluation.result.BacktestResult.table` the second beside it,
#: the ledger (:class:`framework.interfaces.ledger.Ledger`) the third beside the first.
RESERVED = frozenset(
    {
        *("origin", TIME, "step", "target", "mean", "status", "cold", SHORT_HISTORY),
        *("fold", "actual", "baseline", "scale", "square", "difficulty", "ruled"),
        *("at", "request_id", "arm", "shadow", "version", "digest", "stale"),
        "levels_version",
    }
)
_QUANTILE = re.compile(r"q\d.*")


def is_reserved(key: str) -> bool:
    """Say whether an entity key may not be called so: tables of the product have such a column."""
    return key in RESERVED or _QUANTILE.fullmatch(key) is not None


def check_names(features: FeatureSet, panel: PanelConfig) -> None:
    """Refuse names that a table of the product cannot hold beside its own.

    Raises:
        ConfigError: A name is taken; the message has the path of its key.
    """
    problem = next(_problems(features, panel), None)
    if problem is not None:
        raise ConfigError(problem)


def _problems(features: FeatureSet, panel: PanelConfig) -> Iterator[str]:
    for name, view in features.views.items():
        path = f"features.views.{name}"
        for key in view.entity:
            if is_reserved(key):
                yield (
                    f"{path}.entity: '{key}' is a column of the tables of forecasts, which have one"
                    f" column for each key; {_rename(name, view, key)}"
                )
        keys = {*view.entity, TIME}
        clashes = [feature for feature in view.feature_names() if feature in keys]
        if clashes:
            yield (
                f"{path}.columns: '{clashes[0]}' is an entity key or the time of a row, which every"
                f" row has already; leave it out, or {_rename(name, view, clashes[0])}"
            )
    yield from _alike([*features.entity_keys, TIME, *features.feature_names()])
    for path, names in (
        ("panel.targets", panel.targets),
        ("panel.columns", panel.columns or ()),
        ("panel.known", panel.known),
    ):
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            yield f"{path}: '{twice[0]}' stands there twice; leave one out."
    both_roles = [name for name in panel.known if name in panel.targets]
    if both_roles:
        yield (
            f"panel.known: '{both_roles[0]}' is a target, which nobody knows in advance; "
            "leave it out."
        )


def _alike(names: Sequence[str]) -> Iterator[str]:
    """Names that differ by case alone are one column to the stores and to SQL."""
    spellings: dict[str, str] = {}
    for name in names:
        other = spellings.setdefault(name.casefold(), name)
        if other != name:
            yield (
                f"features.views: the columns '{other}' and '{name}' differ by case alone, "
                "which stores do not tell apart; rename one."
            )


def _rename(name: str, view: View, column: str) -> str:
    table = view.table or name
    return (
        f"give it another name, such as source.tables.{table}.rename: {{{column}: {column}_key}}."
    )
