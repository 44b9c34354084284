"""What `feast apply` registers: the views of every feature set in conf/features, made by the plugin's own definitions."""

from pathlib import Path

from framework_feast.definitions import feast_objects
from omegaconf import OmegaConf

from framework.interfaces.views import FeatureSet
from framework.offline import OfflineStore

_PROJECT = Path(__file__).resolve().parent.parent
_OFFLINE = OfflineStore(_PROJECT / "state" / "offline")
(_PROJECT / "state" / "feast").mkdir(parents=True, exist_ok=True)  # Feast makes the last folder of a path only

for _file in sorted((_PROJECT / "conf" / "features").glob("*.yaml")):
    _features = FeatureSet.model_validate(OmegaConf.to_container(OmegaConf.load(_file), resolve=True))
    # Feast collects what the module has as attributes; an entity that several sets share is the same object to it
    globals().update({f"{type(o).__name__}_{o.name}": o for o in feast_objects(_features, _OFFLINE)})
