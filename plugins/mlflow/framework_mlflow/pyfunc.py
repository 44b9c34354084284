"""The module that MLflow's ``loader_module`` calls: one half as a PyFunc model. Neither pickle nor
code is read from the artifact.

``mlflow.pyfunc.load_model("models:/{name}_preprocessor@production")`` takes rows, as
:func:`framework_mlflow.frames.context_from_rows` describes them, and gives one row of features per
window; ``models:/{name}_model@production`` takes that table and gives one row of forecasts per
window, columns ``{target}__{mean or q0.1 …}__{step}``: bit for bit those of the pair.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import pandas as pd

from framework.data.frequency import Frequency
from framework.data.known_values import KnownValues, unseen_lines
from framework.errors import DataError
from framework.interfaces.model import Model
from framework.interfaces.preprocessor import Preprocessor
from framework.pairs.artifacts import open_half
from framework.pairs.manifest import prove_half
from framework.pairs.pair import (
    KnownTerms,
    history_columns,
    make_values,
    make_windows,
    without_history,
)
from framework.plugins.components import installed
from framework_mlflow.artifacts import WRITTEN_BY_MLFLOW
from framework_mlflow.frames import Layout, context_from_rows
from framework_mlflow.key_files import read_trust
from framework_mlflow.keys import Keyring
from framework_mlflow.signature import prove_signature

#: The environment variable that names the files of trusted public keys, and of certificates of
#: authorities, as ``PATH`` names folders.
#: MLflow's route has no configuration to read ``registry.trust`` from.
TRUST = "FRAMEWORK_TRUST"


class PreprocessorFunction:
    def __init__(self, layout: Layout, preprocessor: Preprocessor) -> None:
        self._layout, self._preprocessor = layout, preprocessor
        self._frequency = Frequency.parse(layout.schema.frequency)
        self._known_values = KnownValues(layout.schema)

    def predict(self, rows: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        schema = self._layout.schema
        context = self._known_values.match(context_from_rows(rows, schema))
        for line in unseen_lines(context.unseen or {}, len(context)):
            warnings.warn(line, stacklevel=2)
        own = history_columns(schema)
        empty = {} if schema.cold else without_history(schema, own, context)
        for window, reason in empty.items():
            who = list(context.static[window, : len(schema.entity_keys)])
            raise DataError(
                f"pair '{schema.name}': {who} at {context.origins[window]}: {reason}; leave it out."
            )
        windows = make_windows(self._preprocessor, schema, self._frequency, context)
        return self._layout.flatten(windows, context.known)


class ModelFunction:
    def __init__(self, layout: Layout, model: Model) -> None:
        self._layout, self._model = layout, model
        self._domain = KnownTerms(layout.schema, None).domain

    def predict(self, features: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        windows, known = self._layout.restore(features)
        values = make_values(self._model, self._layout.schema, windows)
        values = self._domain.settle(values, known)
        return pd.DataFrame(values.reshape(len(features), -1), columns=self._layout.answers())


def _load_pyfunc(data_path: str) -> PreprocessorFunction | ModelFunction:
    """Prove the half against its own manifest, and where :data:`TRUST` names keys its signature,
    then open it with the component that an installed plugin offers under its name.
    """
    directory = Path(data_path)
    kind = directory.name
    if TRUST in os.environ:
        keys, authorities = read_trust(os.environ[TRUST].split(os.pathsep), TRUST)
        prove_signature(kind, directory.parent.parent, Keyring(keys, authorities=authorities))
    prove_half(kind, directory.parent.parent, WRITTEN_BY_MLFLOW)
    component, layout = open_half(directory, kind, installed()), Layout.read(directory)
    return (
        PreprocessorFunction(layout, component)
        if kind == "preprocessor"
        else ModelFunction(layout, component)
    )
