"""A registry that is a folder: pairs of fakes, and a file that says what each alias means."""

from __future__ import annotations

import json
from pathlib import Path

from framework.errors import RefusedError, RegistryError
from framework.interfaces.registry import ProvenPair
from framework.interfaces.values import PairVersion, Schema
from framework.pairing import HALVES, hash_files, write_half
from framework.testing import fakes

_ALIASES, _DOWN, _FILES = "aliases.json", "down", "files.json"


def make_version(number: int) -> PairVersion:
    return PairVersion("fake", number, f"{number:032x}", f"{number:064x}", f"run-{number}", "2024-03-01T00:00:00Z")


class FolderRegistry:
    """What a server asks a registry for. Tests move aliases, spoil pairs and take the registry away while it serves."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def add(self, number: int, schema: Schema | None = None) -> None:
        """A pair whose forecasts depend on its number."""
        folder = self._directory / str(number)
        pair, golden = fakes.make_pair(schema, shift=float(number))
        for half in HALVES:
            write_half(folder / half, half, "fake", getattr(pair, half), pair.schema)
        (folder / "model" / "golden.json").write_text(golden.to_json())
        self._seal(number)

    def _seal(self, number: int) -> None:
        folder = self._directory / str(number)
        (folder / _FILES).write_text(json.dumps({half: hash_files(folder / half) for half in HALVES}))

    def change_answers(self, number: int) -> None:
        """Spoil a pair: every byte proves, and it does not answer as it was trained."""
        golden = self._directory / str(number) / "model" / "golden.json"
        golden.write_text(golden.read_text().replace('"values": [1', '"values": [2', 1))
        self._seal(number)

    def change_byte(self, number: int) -> None:
        """Spoil a pair: its files are not what was registered."""
        with (self._directory / str(number) / "model" / "golden.json").open("a") as file:
            file.write(" ")

    def point(self, alias: str, number: int) -> None:
        """Move an alias, in one step."""
        temporary = self._directory / f"{_ALIASES}.tmp"
        temporary.write_text(json.dumps({**self._aliases(), alias: number}))
        temporary.replace(self._directory / _ALIASES)

    def has(self, alias: str) -> bool:
        return alias in self._aliases()

    def take_away(self) -> None:
        """Until :meth:`bring_back`, no question is answered."""
        (self._directory / _DOWN).touch()

    def bring_back(self) -> None:
        (self._directory / _DOWN).unlink()

    def _aliases(self) -> dict[str, int]:
        path = self._directory / _ALIASES
        return json.loads(path.read_text()) if path.is_file() else {}

    def resolve(self, name: str, reference: str) -> PairVersion:
        if (self._directory / _DOWN).exists():
            raise RegistryError("the folder of pairs cannot be reached.")
        number = int(reference) if reference.isdecimal() else self._aliases().get(reference)
        if number is None or not (self._directory / str(number)).is_dir():
            raise RegistryError(f"'{name}' has no alias or version '{reference}'.")
        return make_version(number)

    def fetch(self, version: PairVersion) -> ProvenPair:
        folder = self._directory / str(version.version)
        for half, recorded in json.loads((folder / _FILES).read_text()).items():
            if hash_files(folder / half) != recorded:
                raise RefusedError(f"version {version.version}: {half} half: its files were changed.")
        return ProvenPair(version, folder / "preprocessor", folder / "model", "")
