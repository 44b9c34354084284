"""The places of files: paths, globs, directories, installed packages, archives."""

from __future__ import annotations

import glob
import importlib.util
import zipfile
from pathlib import Path
from typing import Literal

from framework.errors import DataError, NotThereError

_CSV = (".csv", ".csv.gz", ".tsv", ".tsv.gz")
_KINDS = (*_CSV, ".parquet", ".zip")
_PACKAGE = "package://"


def find_files(alias: str, place: str) -> list[Path]:
    """Return the files of a place, sorted.

    Raises:
        NotThereError: Nothing is there.
    """
    path = _in_package(alias, place) if place.startswith(_PACKAGE) else Path(place)
    if path.is_dir():
        files = [p for p in sorted(path.rglob("*")) if p.is_file() and p.name.endswith(_KINDS)]
    else:
        files = (
            [path]
            if path.is_file()
            else [
                Path(p) for p in sorted(glob.glob(str(path), recursive=True)) if Path(p).is_file()
            ]
        )
    if not files:
        raise NotThereError(
            f"source=files: file '{alias}': nothing at {place}; {', '.join(_KINDS)} files, "
            "directories and globs are read."
        )
    return files


def _in_package(alias: str, place: str) -> Path:
    """Found, not imported: some data packages need old tools to be imported."""
    package, _, inside = place.removeprefix(_PACKAGE).partition("/")
    spec = importlib.util.find_spec(package) if package.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        raise NotThereError(
            f"source=files: file '{alias}': package '{package}' of {place} is not "
            f"installed: pip install {package}"
        )
    return Path(next(iter(spec.submodule_search_locations))) / inside


def kind_of(path: Path) -> Literal["csv", "parquet"]:
    return "parquet" if path.name.endswith(".parquet") else "csv"


def unpack(alias: str, path: Path, into: Path) -> list[Path]:
    """The file itself, or the CSV and Parquet members of a zip archive, extracted."""
    if not path.name.endswith(".zip"):
        return [path]
    try:
        with zipfile.ZipFile(path) as archive:
            members = [m for m in sorted(archive.namelist()) if m.endswith((*_CSV, ".parquet"))]
            parts = [Path(archive.extract(member, into / path.stem)) for member in members]
    except (zipfile.BadZipFile, OSError) as error:
        raise DataError(
            f"source=files: file '{alias}': {path} cannot be unpacked: {error}"
        ) from error
    if not parts:
        raise DataError(f"source=files: file '{alias}': {path} holds no CSV or Parquet file.")
    return parts
