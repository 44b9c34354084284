"""Follows aliases: what one means now is loaded, proven and warmed beside what answers, then
swapped in at once.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from time import monotonic
from typing import Any

from framework.errors import FrameworkError, RefusedError
from framework.interfaces.registry import PairVersion
from framework.serving.arms.arms import Arm, Arms
from framework.serving.arms.patience import in_thread, unanswered
from framework.serving.http.metrics import Metrics
from framework.serving.options import ReloadOptions

log = logging.getLogger(__name__)

#: Seconds between two checks whether a registry that is asked is overdue.
_TICK = 0.1
#: What a look may find, from the best to the worst.
OUTCOMES = ("current", "swapped", "unreachable", "refused")


def worst_outcome(answers: Sequence[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Give the worst answer for each alias of several processes' :meth:`Follower.look`."""
    return [
        max(entries, key=lambda entry: OUTCOMES.index(entry["status"]))
        for entries in zip(*answers, strict=True)
    ]


@dataclass(slots=True)
class Degradation:
    """Why an arm does not serve what its alias means. ``digest``: of the pair that was refused,
    None when the registry does not answer.
    """

    reason: str
    digest: str | None
    wait: float  # seconds until it is tried again
    until: float  # when that is, monotonic


class Follower:
    """One thread for all aliases; ``look`` may be called from others, one look at a time.

    A pair that is refused, or a registry that does not answer, leaves what serves in place:
    :attr:`troubles` says why, and the metric ``framework_degraded`` is 1 until it is over.
    ``looked`` is called after every look, ``swapped`` with every arm that answers from then on.
    """

    def __init__(
        self,
        arms: Arms,
        aliases: Sequence[str],
        resolve: Callable[[str], PairVersion],
        open_arm: Callable[[str, PairVersion], Arm],
        looked: Callable[[], None],
        swapped: Callable[[Arm], None],
        metrics: Metrics,
        options: ReloadOptions,
    ) -> None:
        self._arms, self._resolve, self._open, self._looked = arms, resolve, open_arm, looked
        self._swapped, self._metrics, self._options = swapped, metrics, options
        self._troubles: dict[str, Degradation] = {}
        self._lock, self._stopping = threading.Lock(), threading.Event()
        self._resolving: float | None = None  # since when the registry is being asked
        self._aliases = aliases
        for alias in self._aliases:
            metrics.show_degraded(alias, False)
        self._thread = threading.Thread(target=self._run, name="follower", daemon=True)

    def start(self) -> None:
        if self._aliases and self._options.seconds is not None:
            self._thread.start()

    def stop(self) -> None:
        """A look that is under way is not waited for: its thread ends with the process."""
        self._stopping.set()

    @property
    def troubles(self) -> dict[str, str]:
        """By alias, why its arm does not serve what the alias means, or may not."""
        overdue = self._overdue()
        unknown = {} if overdue is None else dict.fromkeys(self._aliases, overdue)
        return unknown | {alias: trouble.reason for alias, trouble in list(self._troubles.items())}

    def _overdue(self) -> str | None:
        since = self._resolving
        return None if since is None else unanswered(since)

    def _run(self) -> None:
        while not self._stopping.wait(self._options.seconds):
            self.look()

    def look(self, *, insist: bool = False) -> list[dict[str, Any]]:
        """Bring every arm to what its alias means now; ``insist`` tries a refused pair again before
        its time.

        One entry per alias: ``{"alias", "version", "status"}``, the status ``current``,
        ``swapped``, ``refused`` or ``unreachable``, ``version`` the one that serves, null when none
        does, and ``reason`` for the last two.
        """
        with self._lock:
            outcomes = [self._follow(alias, insist) for alias in self._aliases]
        self._looked()
        return outcomes

    def look_now(self) -> list[dict[str, Any]]:
        """Look for somebody who waits: as :meth:`look` that insists, but ``unreachable`` as soon as
        the registry is overdue. The look that was begun goes on.
        """
        answer = Future[list[dict[str, Any]]]()
        if self._overdue() is None:
            in_thread(lambda: self.look(insist=True), answer)
        while True:
            try:
                return answer.result(_TICK)
            except TimeoutError:
                overdue = self._overdue()
                if overdue is not None:
                    return [self._entry(alias, "unreachable", overdue) for alias in self._aliases]

    def _follow(self, alias: str, insist: bool) -> dict[str, Any]:
        return self._entry(alias, *self._bring(alias, insist))

    def _entry(self, alias: str, status: str, reason: str | None) -> dict[str, Any]:
        arm = self._arms.table.arms.get(alias)
        entry: dict[str, Any] = {
            "alias": alias,
            "version": None if arm is None else arm.version.version,
            "status": status,
        }
        return entry if reason is None else {**entry, "reason": reason}

    def _bring(self, alias: str, insist: bool) -> tuple[str, str | None]:
        before, trouble = self._arms.table.arms.get(alias), self._troubles.get(alias)
        self._resolving = monotonic()
        try:
            version = self._resolve(alias)
        except RefusedError as error:  # nobody who is trusted has moved the alias
            return self._failed(alias, "refused", str(error), None)
        except Exception as error:  # noqa: BLE001  whatever a registry's client raises: what serves must go on serving
            return self._failed(
                alias,
                "unreachable",
                f"the registry does not say what '{alias}' means: {error}",
                None,
            )
        finally:
            self._resolving = None
        if before is not None and version.digest == before.version.digest:
            self._over(alias)
            return "current", None
        if (
            trouble is not None
            and trouble.digest == version.digest
            and monotonic() < trouble.until
            and not insist
        ):
            return "refused", trouble.reason
        try:
            arm = self._open(alias, version)
        except Exception as error:
            if not isinstance(error, FrameworkError):
                log.exception(
                    "version %d of '%s' could not be opened", version.version, version.name
                )
            return self._failed(
                alias,
                "refused",
                f"version {version.version} is not served: {error}",
                version.digest,
            )
        self._arms.put(arm)
        if before is not None:
            self._metrics.show_pair(alias, before.version, False)
        self._metrics.show_pair(alias, version, True)
        self._metrics.count_reload(alias, "swapped")
        self._over(alias)
        self._swapped(arm)
        log.info("%s@%s: version %d serves from now on", version.name, alias, version.version)
        return "swapped", None

    def _failed(self, alias: str, status: str, reason: str, digest: str | None) -> tuple[str, str]:
        before = self._troubles.get(alias)
        is_repeat = before is not None and before.digest == digest
        wait = (
            min(2 * before.wait, self._options.backoff)
            if before is not None and is_repeat
            else self._options.seconds or 1.0
        )
        reason = " ".join(reason.split())
        self._troubles[alias] = Degradation(reason, digest, wait, monotonic() + wait)
        self._metrics.show_degraded(alias, True)
        self._metrics.count_reload(alias, status)
        if not is_repeat:
            log.warning("degraded: %s", reason)
        return status, reason

    def _over(self, alias: str) -> None:
        if self._troubles.pop(alias, None) is not None:
            log.warning("'%s' is served as the registry says again", alias)
            self._metrics.show_degraded(alias, False)
