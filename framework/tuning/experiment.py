"""Writes the best configuration as an experiment that composes."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.types import Override
from hydra.types import RunMode
from omegaconf import OmegaConf

from framework.config.command_line import written_overrides
from framework.errors import ConfigError
from framework.files import atomic_write

#: What a search is told that its best configuration does not need.
_OF_THE_SEARCH = (
    "run",
    "monitor",
    "schedule",
    "start",
    "ledger",
    "resume",
    "space",
    "tune",
    "tuner",
    "compute",
    "paths",
    "registry",
    "serving",
    "hydra",
    "experiment",
)


def experiment_text(
    values: Mapping[str, Any],
    comment: str,
    left_out: Collection[str] = (),
    selected: Mapping[str, str] | None = None,
) -> str:
    """Write the YAML of an experiment: the one that was searched, what the command line changed of
    it, and ``values``.

    Args:
        values: The best options, by their path.
        comment: The second line of the file.
        left_out: Sections of plugins that decide nothing; what the command line changed of them
            does not belong to the experiment.
        selected: Components by group, instead of those of the command line.
    """
    choices, overrides = _composition({*_OF_THE_SEARCH, *left_out})
    groups = {o.key_or_group: o.value() for o in overrides if o.key_or_group in choices}
    groups |= selected or {}
    changed = {o.key_or_group: o.value() for o in overrides if o.key_or_group not in choices}
    experiment = choices.get("experiment")
    defaults: list[Any] = [str(experiment)] if experiment else []
    defaults += [{f"override /{group}": value} for group, value in groups.items()]
    tree = OmegaConf.create({"defaults": [*defaults, "_self_"]})
    for path, value in {**changed, **values}.items():
        OmegaConf.update(tree, path, value, force_add=True)
    return f"# @package _global_\n# {comment}\n{OmegaConf.to_yaml(tree)}"


def _composition(left_out: Collection[str]) -> tuple[Mapping[str, Any], Sequence[Override]]:
    """Give the choices of this Hydra job, and the overrides that belong to the experiment."""
    if not HydraConfig.initialized():
        return {}, []
    return dict(HydraConfig.get().runtime.choices), [
        override
        for override in written_overrides()
        if override.key_or_group.split(".")[0] not in left_out and not override.is_delete()
    ]


def write_experiment(path: Path, text: str) -> None:
    """Replace ``path`` in one step."""
    with atomic_write(path, durable=True) as stream:
        stream.write(text.encode())


#: Begins the last line of a sealed experiment.
_SEAL = "# Not edited while its SHA-256 is "


def sealed(text: str) -> str:
    """Add a last line by which :func:`check_not_edited` knows the text again."""
    return f"{text}{_SEAL}{hashlib.sha256(text.encode()).hexdigest()}\n"


def check_not_edited(path: Path, key: str, writer: str) -> None:
    """Refuse to replace what somebody has edited.

    Args:
        path: Where an experiment will be written.
        key: The option that chooses another place.
        writer: What writes it.

    Raises:
        ConfigError: A file is there that is not as :func:`sealed` made it.
    """
    text = path.read_text() if path.exists() else None
    if text is not None and text != sealed(text.rpartition(_SEAL)[0]):
        raise ConfigError(
            f"{key}: {path} is not as {writer} wrote it, and would be replaced; move it away, or "
            f"set {key}=conf/experiment/OTHER.yaml."
        )


def given_on_the_command_line(*keys: str) -> list[str]:
    """The keys that an override of this job sets. A multirun shares its overrides among jobs that
    may need them or not, and gives none.
    """
    if not HydraConfig.initialized() or HydraConfig.get().mode == RunMode.MULTIRUN:
        return []
    _, overrides = _composition(())
    return [o.key_or_group for o in overrides if o.key_or_group in keys]
