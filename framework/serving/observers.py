"""The hooks of serving, called off the path of the requests: a bounded queue and a thread for each
plugin, so that a slow one loses its own events and nobody else's.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic
from typing import Any

import pluggy

from framework.config.catalog import Plugins
from framework.data.context import Context
from framework.data.forecast import Forecast
from framework.errors import FrameworkError
from framework.interfaces.observer import ServedArm, ServedDeployment, ServedRequest
from framework.plugins import hookspecs
from framework.serving.arms.arms import Arm
from framework.serving.deployment import alias_of
from framework.serving.http.asgi import request_id
from framework.serving.http.metrics import Metrics

log = logging.getLogger(__name__)

HOOKS = (
    "server_started",
    "forecasts_served",
    "forecasts_failed",
    "forecasts_dropped",
    "pair_swapped",
    "flush_due",
    "server_stopped",
)
#: Seconds between two batches of a queue, two calls of flush_due, and two log lines about the same
#: trouble; and those that a stop waits for.
_EVERY, _FLUSH, _SILENCE, _PATIENCE = 0.05, 1.0, 60.0, 10.0
#: Forecasts that take as much room in a queue as an answer.
_PER_PLACE = 100


@dataclass(frozen=True, slots=True)
class Own:
    """An observer of the server's own: an object whose methods are marked with ``hookimpl``.

    ``queue``: answers that wait for it at most. ``offered``: is told on the path of the request how
    many forecasts are about to wait, or to be dropped; None for nobody.
    """

    name: str
    observer: object
    queue: int
    offered: Callable[[int], None] | None = None


class Observers:
    """Everybody who follows a server. Nothing is kept before :meth:`start`, and nothing costs
    anything when nobody follows.
    """

    def __init__(self, plugins: Plugins, own: Iterable[Own], limit: int, metrics: Metrics) -> None:
        self._followers = _followers(plugins, own, limit, metrics)
        self._told: tuple[_Follower, ...] = ()
        self._wants_context = any(follower.wants_context for follower in self._followers)

    def start(self, deployment: ServedDeployment) -> None:
        for follower in self._followers:
            follower.put("server_started", {"deployment": deployment})
            follower.start()
        self._told = tuple(self._followers)

    def close(self) -> None:
        """Hand over what waits, then say that the server has stopped; blocks for ten seconds at
        most.
        """
        followers, self._told = self._told, ()
        for follower in followers:
            follower.stop()
        until = monotonic() + _PATIENCE
        for follower in followers:
            follower.join(max(0.0, until - monotonic()))

    def feed(self, *, shadow: bool) -> Feed:
        """The end that a service speaks into."""
        return Feed(self, shadow)

    def served(
        self, arm: ServedArm, forecast: Forecast, request: ServedRequest, context: Context
    ) -> None:
        plain = {"arm": arm, "forecast": forecast, "request": request}
        full = {**plain, "context": context} if self._wants_context else plain
        for follower in self._told:
            if "forecasts_served" in follower.calls:
                arguments = full if follower.wants_context else plain
                follower.offer("forecasts_served", arguments, request.forecasts)

    def failed(self, arm: ServedArm, request: ServedRequest, error: Exception) -> None:
        arguments = {"arm": arm, "request": request, "error": error}
        for follower in self._told:
            if "forecasts_failed" in follower.calls:
                follower.offer("forecasts_failed", arguments, request.forecasts)

    def swapped(self, arm: ServedArm) -> None:
        for follower in self._told:
            follower.put("pair_swapped", {"arm": arm})

    def __bool__(self) -> bool:
        return bool(self._told)


class Feed:
    """Turns what a service has into what its observers are handed."""

    def __init__(self, observers: Observers, shadow: bool) -> None:
        self._observers, self._shadow = observers, shadow
        self._arms: dict[str, ServedArm] = {}

    def served(self, arm: Arm, forecast: Forecast, context: Context) -> None:
        if self._observers:
            self._observers.served(
                self._arm(arm), forecast, _request(len(forecast.status)), context
            )

    def failed(self, arm: Arm, count: int, error: Exception) -> None:
        if self._observers:
            self._observers.failed(self._arm(arm), _request(count), error)

    def swapped(self, arm: Arm) -> None:
        if self._observers:
            self._observers.swapped(self._arm(arm))

    def _arm(self, arm: Arm) -> ServedArm:
        known = self._arms.get(arm.name)
        if known is None or known.pair is not arm.version:
            known = self._arms[arm.name] = ServedArm(
                arm.name, alias_of(arm.name), arm.version, arm.schema, self._shadow
            )
        return known


def _request(count: int) -> ServedRequest:
    return ServedRequest(request_id.get().decode(), datetime.now(UTC), count)


class _Follower:
    """A plugin's queue and thread. Only the event loop offers; any thread may put."""

    def __init__(
        self,
        name: str,
        calls: dict[str, pluggy.HookImpl],
        limit: int,
        on_offer: Callable[[int], None] | None,
        metrics: Metrics,
    ) -> None:
        self.name, self.calls, self._tell = name, calls, on_offer
        served = calls.get("forecasts_served")
        self.wants_context = served is not None and "context" in served.argnames
        self._limit, self._metrics = limit, metrics
        self._events: deque[tuple[str, dict[str, Any], int]] = deque()
        self._offered = self._taken = 0  # places of the queue, each written by one thread
        self._lost = self._lost_told = 0  # forecasts, likewise
        self._silent_until = dict.fromkeys(("dropped", "failed"), 0.0)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"observer {name}", daemon=True)

    def put(self, hook: str, arguments: dict[str, Any]) -> None:
        """One of the few events that are never dropped."""
        if hook in self.calls:
            self._events.append((hook, arguments, 0))

    def offer(self, hook: str, arguments: dict[str, Any], forecasts: int) -> None:
        """Never waits; drops the event when the queue is full. An empty one takes any answer."""
        if self._tell is not None and hook == "forecasts_served":
            self._tell(forecasts)
        places = 1 + forecasts // _PER_PLACE
        waiting = self._offered - self._taken
        if waiting and waiting + places > self._limit:
            self._lost += forecasts
            self._metrics.count_observed(self.name, "dropped", forecasts)
            if self._may_say("dropped"):
                log.error("plugin %s is too slow: forecasts do not reach it", self.name)
            return
        self._offered += places
        self._events.append((hook, arguments, forecasts))

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()

    def join(self, seconds: float) -> None:
        self._thread.join(seconds)
        if self._thread.is_alive():
            log.error(
                "plugin %s: its hooks did not end within %g s; %d events are lost",
                self.name,
                _PATIENCE,
                len(self._events),
            )

    def _run(self) -> None:
        due, stopping = monotonic() + _FLUSH, False
        while not stopping:
            stopping = self._stopping.wait(_EVERY)
            while self._events:
                hook, arguments, forecasts = self._events.popleft()
                self._call(hook, arguments, forecasts)
                if hook in ("forecasts_served", "forecasts_failed"):
                    self._taken += 1 + forecasts // _PER_PLACE
                if monotonic() >= due:
                    break
            count = self._lost - self._lost_told
            if count:
                self._lost_told += count
                self._call("forecasts_dropped", {"count": count}, 0)
            if monotonic() >= due:
                self._call("flush_due", {}, 0)
                due = monotonic() + _FLUSH
            stopping = stopping and not self._events
        self._call("server_stopped", {}, 0)

    def _call(self, hook: str, arguments: dict[str, Any], forecasts: int) -> None:
        call = self.calls.get(hook)
        if call is None:
            return
        try:
            call.function(*(arguments[name] for name in call.argnames))
        except Exception:
            self._metrics.count_observed(self.name, "failed", forecasts or 1)
            if self._may_say("failed"):
                log.exception("plugin %s: %s failed", self.name, hook)
        else:
            if forecasts:
                self._metrics.count_observed(self.name, "told", forecasts)

    def _may_say(self, trouble: str) -> bool:
        """Say whether the log may say it now: once a minute at most."""
        now = monotonic()
        if now < self._silent_until[trouble]:
            return False
        self._silent_until[trouble] = now + _SILENCE
        return True


def _followers(
    plugins: Plugins, own: Iterable[Own], limit: int, metrics: Metrics
) -> list[_Follower]:
    manager = pluggy.PluginManager("framework")
    manager.add_hookspecs(hookspecs)
    own_observers = {observer.name: observer for observer in own}
    for observer in own_observers.values():
        manager.register(observer.observer, observer.name)
    calls: dict[str, dict[str, pluggy.HookImpl]] = {}
    for relay in (plugins.hook, manager.hook):
        for hook in HOOKS:
            for implementation in getattr(relay, hook).get_hookimpls():
                if implementation.wrapper or implementation.hookwrapper:
                    raise FrameworkError(
                        f"plugin {implementation.plugin_name}: the hook '{hook}' of serving cannot "
                        "be wrapped; implement it without wrapper=True."
                    )
                if relay is plugins.hook and implementation.plugin_name in own_observers:
                    raise FrameworkError(
                        f"plugin {implementation.plugin_name}: an observer of the server's own has "
                        "this name; rename or uninstall it."
                    )
                calls.setdefault(implementation.plugin_name, {})[hook] = implementation
    return [
        _Follower(
            name,
            implemented,
            own_observers[name].queue if name in own_observers else limit,
            own_observers[name].offered if name in own_observers else None,
            metrics,
        )
        for name, implemented in calls.items()
    ]
