"""The overrides that a person wrote on the command line of this run."""

from __future__ import annotations

from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import OmegaConf


def written_overrides() -> list[Override]:
    """Give the overrides of this Hydra job as they were written, none where Hydra started none."""
    if not HydraConfig.initialized():
        return []
    # unresolved: one may name a secret
    texts: Any = OmegaConf.to_container(HydraConfig.get().overrides.task, resolve=False)
    return OverridesParser.create().parse_overrides(texts)
