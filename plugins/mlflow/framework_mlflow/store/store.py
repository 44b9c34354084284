"""MLflow's registry of models as the pair's two halves need it, its errors in one line, its lost
races repeated.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from framework.errors import RegistryError, one_line
from framework.files import PATIENCE
from framework.pairs.manifest import HALVES
from framework.secrets import masked
from framework_mlflow.ledger.ledger import Ledger
from framework_mlflow.quiet_mlflow import import_mlflow
from framework_mlflow.store.setup import is_there, move_sources, open_client, set_up

PAIR_ID, DIGEST, STATE, RUN_ID = (
    "framework.pair_id",
    "framework.digest",
    "framework.state",
    "framework.run_id",
)
PENDING, COMPLETE, VOID = "pending", "complete", "void"
#: Repetitions of a call that lost the race for MLflow's database; each was rolled back by MLflow.
_ATTEMPTS = 12
#: What MLflow takes in one call.
_METRICS, _ENTRIES = 800, 100
_ABSENT, _EXISTS = "RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS"


def half_name(name: str, half: str) -> str:
    """The registered model of one half."""
    return f"{name}_{half}"


class Store:
    """A tracking URI and what is done there. Version numbers are ints, whatever the transport
    gives.
    """

    def __init__(
        self, tracking_uri: str, artifact_location: str, experiment: str, ledger: Ledger
    ) -> None:
        self.uri, self._location, self._experiment, self._ledger = (
            tracking_uri,
            artifact_location,
            experiment,
            ledger,
        )
        #: Paths in MLflow's database that led to a folder from which it was moved or copied.
        self.moved = 0

    @cached_property
    def client(self) -> Any:
        """MLflow's client. The first process that opens a database sets it up while the others wait
        at the ledger.

        Before the ledger is locked for something else: see :meth:`open`.
        """
        mlflow = import_mlflow()

        def opened(uri: str) -> Any:
            try:
                return call("open the store", open_client, mlflow, uri)
            except SQLAlchemyError as error:  # of a database that MLflow cannot set up
                raise RegistryError(_line("open the store", error)) from error

        with self._ledger.reading() as reader:
            known = reader.store_is_set_up(masked(self.uri))
            former = reader.former_homes()
        if known and is_there(self.uri) and not former:
            return opened(self.uri)
        with self._ledger.locked("stores") as writer:
            if writer.former_homes() and is_there(self.uri):
                self.moved = move_sources(self.uri, writer.reader_of_sources())
            client = set_up(self.uri, opened)
            if not writer.store_is_set_up(masked(self.uri)):
                writer.store_was_set_up(masked(self.uri), mlflow.__version__)
        return client

    def open(self) -> None:
        """Called before the ledger is locked for what is done here: setting MLflow up takes the
        same lock.
        """
        self.client  # noqa: B018

    def experiment_id(self) -> str:
        """The experiment's id; made on first use, with the artifact location of the options."""
        experiment = call(
            "read the experiment", self.client.get_experiment_by_name, self._experiment
        )
        if experiment is None:
            self._unless(
                (_EXISTS,),
                self.client.create_experiment,
                self._experiment,
                artifact_location=self._location,
            )
            experiment = call(
                "read the experiment", self.client.get_experiment_by_name, self._experiment
            )
        if experiment.lifecycle_stage != "active":
            raise RegistryError(
                f"MLflow experiment '{self._experiment}' was deleted; restore it or set "
                "registry.experiment."
            )
        return str(experiment.experiment_id)

    def start_run(self, tags: Mapping[str, str]) -> str:
        return str(
            call(
                "start a run", self.client.create_run, self.experiment_id(), tags=dict(tags)
            ).info.run_id
        )

    def has_run(self, run_id: str) -> bool:
        """False too for an id that MLflow could not have given."""
        return self._unless((_ABSENT, "INVALID_PARAMETER_VALUE"), self.client.get_run, run_id)

    def log_batch(
        self,
        run_id: str,
        metrics: Sequence[tuple[str, float, int, int]] = (),
        params: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Metrics as ``(key, value, milliseconds, step)``; in as few calls as MLflow's limits
        allow.
        """
        from mlflow.entities import Metric, Param, RunTag

        figures = [Metric(*figure) for figure in metrics]
        parameters = [Param(key, value) for key, value in (params or {}).items()]
        marks = [RunTag(key, value) for key, value in (tags or {}).items()]
        while figures or parameters or marks:
            batch = figures[:_METRICS], parameters[:_ENTRIES], marks[:_ENTRIES]
            call("log a batch", self.client.log_batch, run_id, *batch)
            figures, parameters, marks = figures[_METRICS:], parameters[_ENTRIES:], marks[_ENTRIES:]

    def place(self, run_id: str, pair_id: str) -> tuple[str, dict[str, str]]:
        """Choose where a pair's halves go: under MLflow's run of that id, or one of its own.
        Returns MLflow's run id and the URI of each half.
        """
        if not self.has_run(run_id):
            run_id = self.start_run({"mlflow.runName": f"register {pair_id[:8]}", RUN_ID: run_id})
            call("end the run", self.client.set_terminated, run_id)
        root = str(call("read the run", self.client.get_run, run_id).info.artifact_uri).rstrip("/")
        return run_id, {half: f"{root}/{_folder(pair_id, half)}" for half in HALVES}

    def upload(self, run_id: str, pair_id: str, artifacts: Mapping[str, Path]) -> None:
        """Store both halves where :meth:`place` said."""
        for half in HALVES:
            try:
                self.client.log_artifacts(run_id, str(artifacts[half]), _folder(pair_id, half))
            except (
                Exception
            ) as error:  # the client of an artifact store raises its own library's errors
                raise RegistryError(
                    _line(f"store the {half} half of pair {pair_id}", error)
                ) from error

    def ensure_models(self, name: str) -> None:
        """The registered models of both halves, made when they are not there."""
        for half in HALVES:
            text = f"The {half} half of the pairs of '{name}'."
            self._unless(
                (_EXISTS,),
                self.client.create_registered_model,
                half_name(name, half),
                description=text,
            )

    def create_version(
        self, name: str, half: str, source: str, run_id: str, tags: Mapping[str, str]
    ) -> int:
        create = self.client.create_model_version
        return int(
            call(
                "create a model version",
                create,
                half_name(name, half),
                source,
                run_id,
                tags=dict(tags),
            ).version
        )

    def tag(self, name: str, half: str, version: int, key: str, value: str) -> bool:
        """Tag a version; say whether there was one."""
        return self._if_there(
            self.client.set_model_version_tag, half_name(name, half), str(version), key, value
        )

    def set_alias(self, name: str, half: str, alias: str, version: int) -> bool:
        """Point an alias at a version; say whether there was one."""
        return self._if_there(
            self.client.set_registered_model_alias, half_name(name, half), alias, str(version)
        )

    def delete_alias(self, name: str, half: str, alias: str) -> bool:
        return self._if_there(
            self.client.delete_registered_model_alias, half_name(name, half), alias
        )

    def delete_version(self, name: str, half: str, version: int) -> bool:
        return self._if_there(self.client.delete_model_version, half_name(name, half), str(version))

    def aliases(self, name: str, half: str) -> dict[str, int]:
        """MLflow's aliases of one half; empty when the model is not there."""
        try:
            model = call(
                "read the registered model", self.client.get_registered_model, half_name(name, half)
            )
        except MlflowError as error:
            if error.code != _ABSENT:
                raise
            return {}
        return {alias: int(version) for alias, version in model.aliases.items()}

    def versions(self, name: str, half: str) -> dict[int, dict[str, str]]:
        """The tags of every version of one half that was not deleted."""
        versions: dict[int, dict[str, str]] = {}
        query, token = f"name = '{half_name(name, half)}'", None
        while True:
            page = call(
                "list versions",
                self.client.search_model_versions,
                query,
                max_results=1000,
                page_token=token,
            )
            versions.update({int(v.version): dict(v.tags) for v in page})
            token = page.token
            if not token:
                return versions

    def _if_there(self, request: Callable[..., Any], *arguments: Any) -> bool:
        return self._unless((_ABSENT,), request, *arguments)

    def _unless(
        self, codes: Collection[str], request: Callable[..., Any], *arguments: Any, **keywords: Any
    ) -> bool:
        """Call MLflow; say whether it succeeded, False when MLflow answered with one of those error
        codes.
        """
        try:
            call(request.__name__.replace("_", " "), request, *arguments, **keywords)
        except MlflowError as error:
            if error.code not in codes:
                raise
            return False
        return True


class MlflowError(RegistryError):
    """MLflow's answer in one line; ``code`` is MLflow's own."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


def call(what: str, request: Callable[..., Any], *arguments: Any, **keywords: Any) -> Any:
    """The call's answer, repeated while MLflow's database is locked by another process. Raises
    MlflowError.
    """
    from mlflow.exceptions import MlflowException

    end = time.monotonic() + PATIENCE
    for attempt in range(_ATTEMPTS):
        try:
            return request(*arguments, **keywords)
        except MlflowException as error:
            if (
                error.error_code != "TEMPORARILY_UNAVAILABLE"
                or attempt + 1 == _ATTEMPTS
                or time.monotonic() > end
            ):
                raise MlflowError(_line(what, error), error.error_code) from error
            time.sleep(random.uniform(0.01, 0.05) * 2 ** min(attempt, 5))  # noqa: S311  spread, not secrecy
    raise AssertionError("unreachable")


def _folder(pair_id: str, half: str) -> str:
    """Below the artifacts of a run."""
    return f"pairs/{pair_id}/{half}"


def _line(what: str, error: Exception) -> str:
    return f"MLflow could not {what}: {one_line(error)}"
