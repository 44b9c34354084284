"""The folder of a published model: its files, what their licence is, what they hash to."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import yaml

from framework.errors import ConfigError, RefusedError, one_line

CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"

#: Licences, by their names on model cards, that allow any use.
FREE = frozenset(
    {
        *("0bsd", "afl-3.0", "apache-2.0", "artistic-2.0", "bsd", "bsd-2-clause", "bsd-3-clause"),
        *("bsl-1.0", "cc-by-2.0", "cc-by-2.5", "cc-by-3.0", "cc-by-4.0", "cc-by-sa-3.0"),
        *("cc-by-sa-4.0", "cc0-1.0", "isc", "mit", "ms-pl", "mpl-2.0", "pddl", "unlicense"),
        *("wtfpl", "zlib"),
    }
)


def read_config(folder: Path) -> dict[str, Any]:
    """Read the model's configuration; the folder must have the weights beside it.

    Args:
        folder: The folder of the option ``weights``.

    Returns:
        The content of ``config.json``.

    Raises:
        ConfigError: There is no such folder, a file is missing, or the configuration is not that
            of a Chronos-2 model.
    """
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise ConfigError(
                f"model.weights: {folder} has no {name}; give the folder of a downloaded Chronos-2 "
                f"model, with {CONFIG} and {WEIGHTS}. Nothing is downloaded."
            )
    try:
        config = json.loads((folder / CONFIG).read_text())
        chronos = config["chronos_config"]
        float(chronos["context_length"] + chronos["output_patch_size"] + sum(chronos["quantiles"]))
    except (ValueError, LookupError, TypeError) as error:
        raise ConfigError(
            f"model.weights: {folder / CONFIG} is not that of a Chronos-2 model "
            f"({one_line(repr(error), 100)})."
        ) from error
    values: dict[str, Any] = config
    return values


def read_license(folder: Path) -> str | None:
    """Read the licence that the folder states.

    Args:
        folder: The folder.

    Returns:
        ``license`` of the model card's front matter (``README.md``), else of ``config.json``, in
        small letters; ``license_name`` where that is ``other``; None where neither states one.
    """
    fields: Any = None
    card = folder / CARD
    if card.is_file():
        _, _, after = card.read_text(errors="replace").partition("---\n")
        front, fence, _ = after.partition("\n---")
        try:
            fields = yaml.safe_load(front) if fence else None
        except yaml.YAMLError as error:
            raise ConfigError(
                f"model.weights: the front matter of {card} is not YAML "
                f"({one_line(error, 100)}); it states the licence."
            ) from error
    if not isinstance(fields, dict) or not fields.get("license"):
        fields = json.loads((folder / CONFIG).read_text())
    terms = fields.get("license")
    names = terms if isinstance(terms, list) else [terms]
    if names == ["other"] and fields.get("license_name"):
        names = [fields["license_name"]]
    return " and ".join(str(name).strip().lower() for name in names) if terms else None


def is_free(terms: str) -> bool:
    """Say whether a stated licence is known to allow any use.

    Args:
        terms: What :func:`read_license` gave.
    """
    return all(name in FREE for name in terms.split(" and "))


def sha256_of(path: Path, expected: str | None = None) -> str:
    """Hash a file.

    Args:
        path: The file.
        expected: What its SHA-256 must be; None: anything.

    Returns:
        The SHA-256, in hex.

    Raises:
        RefusedError: The file is another one.
    """
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    if expected is not None and digest != expected:
        raise RefusedError(
            f"{path} has the SHA-256 {digest[:12]}…, {expected[:12]}… was expected: the weights "
            "were changed or belong to another model; take the right file, or change "
            "model.weights_sha256."
        )
    return digest
