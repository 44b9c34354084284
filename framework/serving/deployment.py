"""The order to a serving backend: which pairs to serve, from which registry, with which
features.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from framework.config.catalog import Plugins
from framework.data.schema import Schema
from framework.data.vocabulary import CPU
from framework.errors import ConfigError
from framework.features.views import FeatureSet
from framework.interfaces.registry import HistoryEntry, PairVersion, ProvenPair, Registry
from framework.interfaces.retrieval import RetrievalStrategy
from framework.pairs.artifacts import modules_of
from framework.pairs.loading import LoadedPair, open_proven


def alias_of(reference: str) -> str | None:
    """Tell aliases from numbers.

    Args:
        reference: An alias or a version number.

    Returns:
        The alias; None for a number.
    """
    return None if reference.isdecimal() else reference


class Parts(Protocol):
    """Makes the components that a config selects; :class:`framework.plugins.components.Components`
    is one. Can be pickled.
    """

    plugins: Plugins

    def make(self, group: str) -> Any:
        """Make a new instance of the selected component.

        Args:
            group: The config group, such as ``registry``.

        Returns:
            The instance.
        """


@dataclass(frozen=True)
class Deployment:
    """Opens pairs in whichever process asks. Can be pickled: what a process made of it stays there.

    ``reference``: the alias or number of the pair that answers unless something else is asked for.
    ``retrieval``: the name of the strategy. ``state``: the folder for what a server keeps.
    """

    parts: Parts
    name: str
    reference: str
    features: FeatureSet
    retrieval: str
    state: Path

    def __reduce__(self) -> tuple[Any, ...]:
        return Deployment, (
            self.parts,
            self.name,
            self.reference,
            self.features,
            self.retrieval,
            self.state,
        )

    @cached_property
    def _registry(self) -> Registry:
        registry: Registry = self.parts.make("registry")
        return registry

    def resolve(self, reference: str) -> PairVersion:
        """Find the pair that a reference means now.

        Args:
            reference: An alias or a version number.

        Returns:
            The pair.

        Raises:
            FrameworkError: The registry does not say.
        """
        return self._registry.resolve(self.name, reference)

    def pairs(self) -> list[PairVersion]:
        """List the complete pairs of the name.

        Returns:
            The pairs, newest first.

        Raises:
            FrameworkError: The registry does not say.
        """
        return self._registry.pairs(self.name)

    def history(self) -> list[HistoryEntry]:
        """List what happened to the name.

        Returns:
            The entries, oldest first.

        Raises:
            FrameworkError: The registry does not say.
        """
        return self._registry.history(self.name)

    def load(self, version: PairVersion, device: str = CPU) -> LoadedPair:
        """Fetch a pair, prove every byte, open it, replay its golden batch.

        Args:
            version: The pair.
            device: Where it is to forecast, as ``serving.device`` has it.

        Returns:
            The pair, which may answer.

        Raises:
            ConfigError: It cannot forecast on the device.
            RefusedError: Something differs; the message names it.
        """
        return open_proven(self.fetch(version), self.parts.plugins, device, "serving.device")

    def fetch(self, version: PairVersion) -> ProvenPair:
        """Fetch the files of a pair, every byte proven: for a process that needs one half only.

        Args:
            version: The pair.

        Returns:
            The directories of both halves.

        Raises:
            RefusedError: Something differs; the message names it.
        """
        return self._registry.fetch(version)

    def modules(self, version: PairVersion | None = None) -> list[str]:
        """List the modules that :meth:`load` imports, as far as the plugins that are installed say.
        None of them is imported.

        Args:
            version: The pair, whose every byte is proven; None for what every pair needs: the
                modules of the configuration, the registry and the retrieval.

        Returns:
            The names of modules.

        Raises:
            RefusedError: A byte differs; the message names it.
        """
        if version is not None:
            files = self.fetch(version)
            return modules_of(files.preprocessor, files.model, self.parts.plugins)
        retrieval = self.parts.plugins.find("retrieval", self.retrieval)
        return [
            *(type(part).__module__ for part in (self.parts, self._registry)),
            retrieval.load.partition(":")[0],
            *retrieval.imports,
        ]

    @cached_property
    def strategy(self) -> RetrievalStrategy | None:
        """Looks entities up; None when requests must bring their rows."""
        strategy: RetrievalStrategy = self.parts.make("retrieval")
        return None if strategy.max_context_length == 0 else strategy

    async def close(self) -> None:
        """Let go of the store's connections, where there are any."""
        strategy = self.__dict__.get(
            "strategy"
        )  # one that nothing asked for is not made to be closed
        if strategy is not None:
            await strategy.close()

    def check(self, schema: Schema) -> None:
        """Check that the features of this deployment are what a pair was trained on.

        Args:
            schema: The pair's schema.

        Raises:
            ConfigError: They are not; the message says what to change.
        """
        if self.strategy is None:
            return
        limit = self.strategy.max_context_length
        if limit is not None and limit < schema.context_length:
            raise ConfigError(
                f"retrieval={self.retrieval} gives {limit} steps of history, the pair "
                f"'{schema.name}' needs {schema.context_length}; "
                "read packed records where there is that option, or choose another, such as "
                "retrieval=payload."
            )
        if schema.known and not self.strategy.gives_known:
            raise ConfigError(
                f"retrieval={self.retrieval} reads one row of each entity, the pair "
                f"'{schema.name}' needs {list(schema.known)} of the "
                "steps ahead; read packed records where there is that option, or choose "
                "another, such as retrieval=payload."
            )
        keys = self.features.entity_keys
        lacking = sorted(
            {*schema.past, *schema.known, *schema.static} - {*self.features.feature_names(), *keys}
        )
        if lacking or schema.entity_keys != keys:
            raise ConfigError(
                f"features: the pair '{schema.name}' was trained on "
                f"{lacking or list(schema.entity_keys)}, which the views lack; "
                "serve it with the experiment that trained it."
            )
