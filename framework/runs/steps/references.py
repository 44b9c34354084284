"""The pair of a name that a run is about, by ``alias`` and ``version``."""

from __future__ import annotations

from framework.config.config import Config
from framework.errors import ConfigError


def pair_reference(config: Config, default: str, **more: str | None) -> str:
    """Give what names the pair.

    Args:
        config: With ``alias`` and ``version``.
        default: Named where nothing else is.
        more: By its key, what names a pair beside these two; None where it names none.

    Raises:
        ConfigError: Two of them name a pair.
    """
    version = None if config.version is None else str(config.version)
    references = {"alias": config.alias, "version": version, **more}
    choices = [(key, value) for key, value in references.items() if value is not None]
    if len(choices) > 1:
        text = " and ".join(f"{key}={value}" for key, value in choices)
        raise ConfigError(f"{text} each name a pair; give one of them.")
    return choices[0][1] if choices else default
