"""The artifacts of a pair: each half as an MLflow PyFunc directory; and their way back to local
disk.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import warnings
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from framework.data.vocabulary import TIME
from framework.errors import RefusedError, RegistryError, one_line
from framework.interfaces.registry import PairDraft, PairVersion
from framework.pairs.manifest import HALVES
from framework_mlflow.paths import local_path
from framework_mlflow.private_parts import delete_artifacts, unchecked_requirements
from framework_mlflow.quiet_mlflow import import_mlflow

#: ``mlflow.pyfunc.load_model("models:/…")`` writes this file into the artifact itself when that is
#: a local folder. Nothing reads it.
WRITTEN_BY_MLFLOW = ("registered_model_meta",)


def data_directory(artifact: Path, half: str) -> Path:
    """Find where :func:`save` put the half's own files."""
    return artifact / "data" / half


def save(draft: PairDraft, directory: Path) -> dict[str, Path]:
    """Write both PyFunc directories below ``directory``; by half. Requirements are given, none is
    inferred: that would take seconds.
    """
    import_mlflow()
    import mlflow.pyfunc

    signatures = _signatures(draft)
    pinned = sorted(
        {*draft.requirements, f"framework-mlflow=={metadata.version('framework-mlflow')}"}
    )
    artifacts: dict[str, Path] = {}
    for half, data in (("preprocessor", draft.preprocessor), ("model", draft.model)):
        # MLflow keeps the name of the data folder; the draft's may be called anything.
        target = directory / "data" / half
        shutil.copytree(data, target)
        with warnings.catch_warnings(), unchecked_requirements():
            warnings.filterwarnings(
                "ignore", message=".*input example", category=UserWarning
            )  # the golden batch is the example
            mlflow.pyfunc.save_model(
                str(directory / half),
                loader_module="framework_mlflow.pyfunc",
                data_path=str(target),
                pip_requirements=pinned,
                signature=signatures[half],
            )
        artifacts[half] = directory / half
    return artifacts


def _signatures(draft: PairDraft) -> dict[str, Any]:
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec
    from mlflow.types import Schema as Columns
    from mlflow.types.schema import AnyType

    from framework_mlflow.frames import Layout

    any_time: Any = AnyType
    layout = Layout.read(draft.model)
    schema = layout.schema
    rows: list[Any] = [ColSpec("string", name) for name in schema.static]
    rows.append(
        ColSpec(any_time(), TIME)
    )  # MLflow's datetime takes neither ISO text nor a time zone
    rows += [ColSpec("double", name) for name in (*schema.past, *schema.known)]
    between: list[Any] = [ColSpec("double", name) for name in layout.doubles()] + [
        ColSpec("float", name) for name in layout.floats()
    ]
    between += [ColSpec("string", name) for name in layout.texts()]
    answers: list[Any] = [ColSpec("double", name) for name in layout.answers()]
    return {
        "preprocessor": ModelSignature(Columns(rows), Columns(between)),
        "model": ModelSignature(Columns(between), Columns(answers)),
    }


def bring(
    sources: Mapping[str, str], pair: PairVersion, cache: Path, tracking_uri: str
) -> dict[str, Path]:
    """The artifact directories on local disk, by half: where they are when they are local, else in
    the cache, downloaded once.
    """
    paths: dict[str, Path] = {}
    for half in HALVES:
        place = local_path(sources[half])
        if place is None:
            place = cache / pair.digest / half
            if not place.is_dir():
                _download(sources[half], half, place, tracking_uri)
        elif not place.is_dir():
            raise RefusedError(
                f"{half} half of '{pair.name}' version {pair.version}: {place} is missing; "
                "the pair cannot be loaded."
            )
        paths[half] = place
    return paths


def is_remote(sources: Mapping[str, str]) -> bool:
    return any(local_path(source) is None for source in sources.values())


def forget(pair: PairVersion, cache: Path) -> None:
    """Remove the pair from the cache."""
    shutil.rmtree(cache / pair.digest, ignore_errors=True)


def _download(source: str, half: str, place: Path, tracking_uri: str) -> None:
    """Complete or not at all: a folder of its own first, then renamed. Another process may have
    been quicker.
    """
    import_mlflow()
    import mlflow.artifacts

    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent, prefix=f".{half}-") as work:
        try:
            path = mlflow.artifacts.download_artifacts(
                artifact_uri=source, dst_path=work, tracking_uri=tracking_uri
            )
        except (
            Exception
        ) as error:  # the client of an artifact store raises its own library's errors
            raise RegistryError(
                f"{half} half: {source} cannot be fetched: {one_line(error, 300)}"
            ) from error
        try:
            os.rename(path, place)
        except OSError:
            if not place.is_dir():
                raise


def remove(source: str, tracking_uri: str) -> None:
    """Delete one half's artifacts; there may be none. Raises RegistryError when they cannot be
    deleted.
    """
    place = local_path(source)
    try:
        if place is not None:
            _remove_folder(place)
            return
        import_mlflow()
        delete_artifacts(source, tracking_uri)
    except Exception as error:  # the client of an artifact store raises its own library's errors
        raise RegistryError(
            f"{source} cannot be deleted: {one_line(error, 300)}; run=verify tries again."
        ) from error


def _remove_folder(place: Path) -> None:
    """And the folder that was made for both halves, with the last of them."""
    if place.is_dir():
        shutil.rmtree(place)
    if place.parent.is_dir() and not any(place.parent.iterdir()):
        place.parent.rmdir()
