"""What `feast apply` registers: the views of every feature set in conf/features, made by the
plugin's own definitions.

Their rows are below ../state, or below the folder that the environment variable FRAMEWORK_STATE
names (the project's paths.state).
"""

import os
import sys
from pathlib import Path

from framework_feast.repository.definitions import feast_objects
from omegaconf import OmegaConf

from framework.features.views import FeatureSet
from framework.retrieval.parquet_store import OfflineStore

_PROJECT = Path(__file__).resolve().parent.parent
_STATE = Path(os.environ.get("FRAMEWORK_STATE", _PROJECT / "state"))
_OFFLINE = OfflineStore(_STATE / "offline")
(_STATE / "feast").mkdir(parents=True, exist_ok=True)  # Feast makes the last folder of a path only
sys.path.append(
    str(_PROJECT)
)  # functions of the project's own that views name, as where the program is started

for _file in sorted((_PROJECT / "conf" / "features").glob("*.yaml")):
    _features = FeatureSet.model_validate(
        OmegaConf.to_container(OmegaConf.load(_file), resolve=True)
    )
    # Feast collects what the module has as attributes; an entity that several sets share is the
    # same object to it
    globals().update(
        {f"{type(o).__name__}_{o.name}": o for o in feast_objects(_features, _OFFLINE)}
    )
