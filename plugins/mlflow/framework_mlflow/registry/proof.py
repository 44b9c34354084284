"""The proof of a pair before it is used: the ledger, MLflow and every byte agree."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from framework.errors import RefusedError
from framework.interfaces.registry import PairVersion, ProvenPair
from framework.pairs.manifest import HALVES, prove
from framework_mlflow import artifacts
from framework_mlflow.keys import Keyring
from framework_mlflow.ledger.ledger import Ledger, Registered
from framework_mlflow.options import MlflowOptions
from framework_mlflow.registry import environment
from framework_mlflow.signature import prove_signature
from framework_mlflow.store.store import DIGEST, PAIR_ID, STATE, VOID
from framework_mlflow.store.version_states import VersionState, read_versions

log = logging.getLogger(__name__)


class Prover:
    """``options``: with absolute places. ``client`` gives MLflow's client; ``keys`` are those of
    which one must have signed each half, none for unsigned pairs.
    """

    def __init__(
        self,
        options: MlflowOptions,
        ledger: Ledger,
        client: Callable[[], Any],
        keys: Keyring,
    ) -> None:
        self._options, self._ledger = options, ledger
        self._client, self._keys = client, keys

    def fetch(self, version: PairVersion) -> ProvenPair:
        pair = self._ledger.registered(version.name, version.version)
        label = f"'{version.name}' version {version.version}"
        if pair is None:
            raise RefusedError(f"{label}: the ledger has no such pair; it was removed.")
        sources = pair.sources
        self._compare(version, pair, label)
        local, manifest, signers = self._proven(version, sources)
        differing = environment.differences(manifest["environment"])
        if differing and self._options.environment == "refuse":
            raise RefusedError(
                f"{label}: {'; '.join(differing)}; install those versions, or set "
                "registry.environment=warn."
            )
        for difference in differing:
            log.warning("%s: %s", label, difference)
        preprocessor, model = (artifacts.data_directory(local[half], half) for half in HALVES)
        return ProvenPair(
            version,
            preprocessor,
            model,
            manifest["config"],
            manifest["environment"],
            next((name for name in signers if name in self._keys.retired), None),
        )

    def _proven(
        self, version: PairVersion, sources: dict[str, str]
    ) -> tuple[dict[str, Path], dict[str, Any], list[str]]:
        """The files of a pair on local disk and its manifest, all of it proven; the names of the
        keys that signed it, where signatures are looked at.
        """
        label = f"'{version.name}' version {version.version}"
        cache = Path(self._options.cache)
        local = artifacts.bring(sources, version, cache, self._options.tracking_uri)
        try:
            halves = HALVES if self._keys else ()
            signers = [prove_signature(half, local[half], self._keys) for half in halves]
            manifest = prove(local, version.digest, artifacts.WRITTEN_BY_MLFLOW)
        except RefusedError as error:
            if artifacts.is_remote(sources):
                artifacts.forget(
                    version, cache
                )  # the copy here may be what is wrong; the next fetch takes the original
            raise RefusedError(f"{label}: {error}") from error
        if (manifest["schema"]["name"], manifest["pair_id"]) != (version.name, version.pair_id):
            raise RefusedError(f"{label}: its files are those of another pair; run=verify.")
        return local, manifest, signers

    def read_states(self, version: PairVersion) -> dict[str, VersionState]:
        """MLflow's two versions of a pair, by half, without those that are gone."""
        return read_versions(
            self._options.tracking_uri, self._client, version.name, version.version
        )

    def _compare(self, version: PairVersion, registered: Registered, label: str) -> None:
        """Refuse what MLflow has otherwise than the ledger."""
        sources = registered.sources
        states = self.read_states(version)
        places = {half: state.source for half, state in states.items()}
        if places == registered.recorded:
            places = sources
        elif places != sources:  # the folder may have had another name
            places = self._ledger.sources(places)
        for half in HALVES:
            if half not in states:
                raise RefusedError(
                    f"{label}: MLflow has no version {version.version} of its {half} half "
                    "any more; the pair is broken."
                )
            state = states[half]
            for tag, expected in ((PAIR_ID, version.pair_id), (DIGEST, version.digest)):
                if state.tags.get(tag) != expected:
                    raise RefusedError(
                        f"{label}: {half} half: MLflow's tag {tag} is "
                        f"{state.tags.get(tag)}, {expected} was registered."
                    )
            if state.tags.get(STATE) == VOID:
                raise RefusedError(f"{label}: {half} half: MLflow's tag {STATE} is {VOID}.")
            if places[half] != sources[half]:
                raise RefusedError(
                    f"{label}: {half} half: MLflow's source is {places[half]}, "
                    f"{sources[half]} was registered."
                )

    def prove_files(self, version: PairVersion, sources: dict[str, str]) -> str:
        """Prove the files of a pair that the ledger does not know; return the run that made it."""
        _, manifest, _ = self._proven(version, sources)
        return str(manifest["run_id"])
