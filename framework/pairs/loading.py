"""From a reference in a registry to a pair that may answer: resolved, proven, opened, replayed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata

from framework.config.catalog import Plugins
from framework.data.vocabulary import CPU
from framework.errors import ConfigError, NotInstalledError
from framework.interfaces.registry import PairVersion, ProvenPair, Registry
from framework.pairs.artifacts import open_pair
from framework.pairs.devices import device_for, place
from framework.pairs.golden import Golden, golden_of, replay
from framework.pairs.pair import Pair


@dataclass(frozen=True)
class LoadedPair:
    """A pair that may answer, with the registry's entry, the golden batch that it has answered,
    the device on which it did: ``cpu`` or ``cuda:N``, and the configuration that it recorded.
    ``retired_key``: as :class:`framework.interfaces.registry.ProvenPair` has it.
    """

    version: PairVersion
    pair: Pair
    golden: Golden
    device: str = CPU
    config: str = ""
    retired_key: str | None = None

    def check_device(self, device: str, key: str) -> None:
        """Check that the pair can forecast on another device, without moving it there.

        Args:
            device: As :func:`framework.pairs.devices.place` takes it.
            key: The option that says so, for the message.

        Raises:
            ConfigError: It cannot.
        """
        device_for(self.pair.model, device, key)


def load_pair(
    registry: Registry,
    plugins: Plugins,
    name: str,
    reference: str,
    device: str = CPU,
    key: str = "device",
) -> LoadedPair:
    """Bring the pair that a reference means from the registry to where it may answer.

    Args:
        registry: The registry.
        plugins: Where components are found.
        name: The pair's name.
        reference: An alias, a version number, or ``latest``.
        device: Where it is to forecast, as :func:`framework.pairs.devices.place` takes it.
        key: The option that says so, for the message.

    Returns:
        The proven, opened and replayed pair, never half of one.

    Raises:
        RegistryError: There is no such pair.
        ConfigError: It cannot forecast on the device.
        RefusedError: A byte differs, or the pair does not answer as in training.
    """
    return open_proven(registry.fetch(registry.resolve(name, reference)), plugins, device, key)


def open_proven(
    pair_files: ProvenPair, plugins: Plugins, device: str = CPU, key: str = "device"
) -> LoadedPair:
    """Open a proven pair and replay its golden batch.

    Args:
        pair_files: What the registry fetched.
        plugins: Where components are found.
        device: Where it is to forecast, as :func:`framework.pairs.devices.place` takes it.
        key: The option that says so, for the message.

    Returns:
        The pair.

    Raises:
        ConfigError: It cannot forecast on the device.
        NotInstalledError: The plugin of a half is not installed.
        RefusedError: It does not answer as in training.
    """
    try:
        pair = open_pair(pair_files.preprocessor, pair_files.model, plugins)
    except ConfigError as error:
        absent = _not_installed(pair_files.environment)
        if not absent:
            raise
        version = pair_files.version
        raise NotInstalledError(
            f"'{version.name}' version {version.version} was made with what is not installed "
            f"here: pip install {' '.join(absent)} ({error})"
        ) from error
    golden = golden_of(pair_files.model)
    settled = place(pair.model, device, key)
    replay(pair, golden, settled)
    return LoadedPair(
        pair_files.version, pair, golden, settled, pair_files.config, pair_files.retired_key
    )


def _not_installed(environment: Mapping[str, str]) -> list[str]:
    """List the distributions of a pair's environment that are not here, with their versions."""
    absent = []
    for name, version in environment.items():
        if name == "python":
            continue
        try:
            metadata.version(name)
        except metadata.PackageNotFoundError:
            absent.append(f"{name}=={version}")
    return absent
