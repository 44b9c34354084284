"""The live pair of each alias, its backtest, and the history of the name, from the registry."""

from __future__ import annotations

import logging
from collections import OrderedDict
from dataclasses import asdict
from pathlib import Path
from typing import Any

from framework.data.buckets import BUCKETS
from framework.errors import FrameworkError
from framework.evaluation.pair_differences import difference_lines, pair_differences
from framework.evaluation.recorded_backtest import summary
from framework.interfaces.registry import HistoryEntry, PairVersion
from framework.models.gpus import GpuLoad
from framework.serving.arms.arms import Arm, ArmTable
from framework.serving.arms.patience import PatientReads
from framework.serving.deployment import alias_of
from framework.serving.service import Service

log = logging.getLogger(__name__)

#: Pairs whose evidence is kept in memory: the figures, and where the proven files are.
_KEPT = 32


class Pairs:
    """Called from threads. A registry that does not answer is said, with what this server knows by
    itself.
    """

    def __init__(self, service: Service) -> None:
        self._service, self._deployment = service, service.deployment
        self._listed, self._told = PatientReads(), PatientReads()
        self._models: OrderedDict[str, Path] = OrderedDict()
        self._figures: OrderedDict[str, dict[str, Any]] = OrderedDict()

    def shown(self) -> dict[str, Any]:
        """``{"name", "registry", "pairs": [{"alias", "version", "digest", "run_id", "created",
        "since", "arm", "backtest", "note"}]}``.

        One entry for each alias of the registry and each arm of this server. ``registry``: why it
        does not answer, null when it does. ``since``: when the alias was moved there. ``arm``: what
        this server does with it, null for nothing. ``note``: why ``backtest`` is null.
        """
        table, reason = self._service.arms.table, None
        targets: dict[str, PairVersion] = {}
        moves: dict[str, HistoryEntry] = {}
        try:
            pairs, history = self._listed(
                lambda: (self._deployment.pairs(), self._deployment.history())
            )
            targets = {alias: pair for pair in pairs for alias in pair.aliases}
            moves = {e.alias: e for e in history if e.action == "move" and e.alias is not None}
        except FrameworkError as error:
            reason = str(error)
        names = [*table.arms, *(alias for alias in sorted(targets) if alias not in table.arms)]
        entries = [
            self._entry(name, table, targets.get(name), moves.get(name), reason) for name in names
        ]
        return {"name": self._deployment.name, "registry": reason, "pairs": entries}

    def _entry(
        self,
        name: str,
        table: ArmTable,
        target: PairVersion | None,
        move: HistoryEntry | None,
        silent: str | None,
    ) -> dict[str, Any]:
        arm = table.arms.get(name)
        version = target or (arm.version if arm is not None else None)
        assert version is not None  # a name is one of the two
        since = move.at if move is not None and move.after == version.version else None
        figures, note = self._backtest(version, silent)
        return {
            "alias": alias_of(name),
            "version": version.version,
            "digest": version.digest,
            "run_id": version.run_id,
            "created": version.created,
            "since": since,
            "arm": None if arm is None else self._arm(arm, table),
            "backtest": figures,
            "note": note,
        }

    def _arm(self, arm: Arm, table: ArmTable) -> dict[str, Any]:
        """``{"version", "role", "share", "device", "gpus", "gpu_notes"}``: what answers now, as
        what, for how many per cent of the entities, where, how busy that is, and why it is not
        known of a GPU.
        """
        others = {a.name: len(places) * 100 / BUCKETS for places, a in table.ranges}
        share = 100 - sum(others.values()) if arm is table.primary else others.get(arm.name, 0.0)
        role = (
            "primary"
            if arm is table.primary
            else "canary"
            if arm.name == self._service.options.canary.alias
            else "split"
        )
        loads = self._service.gpu_loads(arm)
        return {
            "version": arm.version.version,
            "role": role,
            "share": share,
            "device": arm.device,
            "gpus": [asdict(load) for load in loads if isinstance(load, GpuLoad)],
            "gpu_notes": [load for load in loads if isinstance(load, str)],
        }

    def _backtest(
        self, version: PairVersion, silent: str | None
    ) -> tuple[dict[str, Any] | None, str | None]:
        """``silent``: why the registry is asked for no more, None when it answers."""
        figures = self._figures.get(version.digest)
        if figures is None:
            if silent is not None:
                return None, silent
            try:
                figures = summary(self.model(version))
            except Exception as error:
                if not isinstance(
                    error, FrameworkError
                ):  # whatever a registry's client raises: the other pairs are still shown
                    log.exception(
                        "the backtest of version %d of '%s' cannot be had",
                        version.version,
                        version.name,
                    )
                return None, " ".join(str(error).split())
            _keep(self._figures, version.digest, figures)
        return figures, None

    def model(self, version: PairVersion) -> Path:
        """The proven directory of the model's half. Raises :class:`FrameworkError`."""
        path = self._models.get(version.digest)
        if path is None or not path.is_dir():
            path = self._deployment.fetch(version).model
            _keep(self._models, version.digest, path)
        return path

    def history(self, limit: int) -> dict[str, Any]:
        """``{"total", "entries"}``: the newest ``limit`` entries, newest first. Raises
        :class:`FrameworkError`.
        """
        entries = self._told(self._deployment.history)
        return {
            "total": len(entries),
            "entries": [asdict(entry) for entry in reversed(entries[-limit:])],
        }

    def differences(self, reference: str, against: str) -> dict[str, Any]:
        """Say what changed from the pair ``against`` to the other, as ``run=diff`` does, with the
        ``lines`` for people. Raises :class:`FrameworkError`.
        """
        before, after = (
            self._deployment.fetch(self._deployment.resolve(each)) for each in (against, reference)
        )
        body = pair_differences(before, after)
        return {**body, "lines": difference_lines(body)}


def _keep(cache: OrderedDict[str, Any], key: str, value: Any) -> None:
    cache[key] = value
    while len(cache) > _KEPT:
        cache.popitem(last=False)
