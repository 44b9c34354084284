"""Attestations that travel with a pair: of what it was made, and which distributions it needs.

Both are files of the model half, so the manifest covers them, and a signature of the manifest
covers them too. ``provenance.intoto.json`` is an in-toto statement with SLSA's provenance:
its subjects are the files of both halves. ``sbom.cdx.json`` is a CycloneDX list of the
distributions. They are plain JSON: the libraries that write these forms would bring ten
distributions for two small trees. The tests hold them against these libraries.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from framework.pairs.manifest import HALVES, canonical, hash_files

STATEMENT = "provenance.intoto.json"
BILL = "sbom.cdx.json"

#: What made the pair: a name of this project's, as in-toto asks for one.
_BUILD = "urn:framework:train:1"
_BUILDER = "urn:framework:framework-core"
_SHA256 = re.compile(r"[0-9a-f]{64}")


def write_attestations(
    artifacts: Mapping[str, Path],
    *,
    name: str,
    pair_id: str,
    run_id: str,
    config: str,
    data: Mapping[str, Mapping[str, str]],
    versions: Mapping[str, str],
) -> None:
    """Write the statement and the list of distributions into the model half.

    Args:
        artifacts: The directory of each half, finished but for these files and the manifest.
        name: The pair's name.
        pair_id: Its id, 32 hexadecimal digits.
        run_id: The run that made it.
        config: The composed config, YAML.
        data: The fingerprints of source and panel.
        versions: The versions that are installed, by distribution, and Python's.
    """
    moment = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    files = {half: hash_files(artifacts[half]) for half in HALVES}
    statement = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [
            {"name": f"{half}/{path}", "digest": {"sha256": digest}}
            for half in HALVES
            for path, digest in sorted(files[half].items())
        ],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": _BUILD,
                "externalParameters": {"name": name},
                "resolvedDependencies": _materials(config, data, versions),
            },
            "runDetails": {
                "builder": {"id": _BUILDER, "version": {"python": versions["python"]}},
                "metadata": {"invocationId": run_id, "finishedOn": moment},
            },
        },
    }
    (artifacts["model"] / STATEMENT).write_text(canonical(statement))
    (artifacts["model"] / BILL).write_text(canonical(_bill(name, pair_id, versions, moment)))


def _materials(
    config: str, data: Mapping[str, Mapping[str, str]], versions: Mapping[str, str]
) -> list[dict[str, Any]]:
    """List the config, the data and the distributions as in-toto describes what something is made
    of.
    """
    digest = hashlib.sha256(config.encode()).hexdigest()
    materials: list[dict[str, Any]] = [{"name": "config", "digest": {"sha256": digest}}]
    for kind, prints in sorted(data.items()):
        for key, value in sorted(prints.items()):
            known = (
                {"digest": {"sha256": value}}
                if _SHA256.fullmatch(value)
                else {"annotations": {"fingerprint": value}}
            )
            materials.append({"name": f"{kind}/{key}", **known})
    return materials + [{"uri": purl} for purl in _purls(versions).values()]


def _bill(name: str, pair_id: str, versions: Mapping[str, str], moment: str) -> dict[str, Any]:
    purls = _purls(versions)
    model = {"bom-ref": pair_id, "type": "machine-learning-model", "name": name, "version": pair_id}
    components = [
        {
            "bom-ref": purl,
            "type": "platform" if distribution == "python" else "library",
            "name": distribution,
            "version": versions[distribution],
            "purl": purl,
        }
        for distribution, purl in purls.items()
    ]
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.UUID(pair_id)}",
        "version": 1,
        "metadata": {"timestamp": moment, "component": model},
        "components": components,
        "dependencies": [{"ref": pair_id, "dependsOn": sorted(purls.values())}],
    }


def _purls(versions: Mapping[str, str]) -> dict[str, str]:
    """Give the package URL of each distribution."""
    return {name: _purl(name, version) for name, version in sorted(versions.items())}


def _purl(name: str, version: str) -> str:
    if name == "python":
        return f"pkg:generic/python@{quote(version, safe='')}"
    return f"pkg:pypi/{re.sub(r'[-_.]+', '-', name).lower()}@{quote(version, safe='')}"
