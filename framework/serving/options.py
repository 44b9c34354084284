"""The options that every serving backend has. A backend's own options are a subclass, so that each
of these is one of its keys.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    StringConstraints,
    model_validator,
)

from framework.data.vocabulary import Device
from framework.options import Options, Percent, SecretUrl

#: A name or an address without a scheme or a port.
HostName = Annotated[str, StringConstraints(to_lower=True, pattern=r"^[^\s/:\[\]]+$")]


class ReloadOptions(Options):
    """The options of a server that follows its aliases.

    ``seconds`` between two looks at the registry; null: only when ``POST /admin/reload`` asks.
    ``backoff``: the longest time in seconds until a pair that was refused is tried again; the first
    wait is ``seconds``, each further one twice as long.
    """

    seconds: PositiveFloat | None = 2.0
    backoff: PositiveFloat = 300.0


class ShadowOptions(Options):
    """``aliases`` whose pairs are asked what the clients ask, each in a process of its own; nobody
    gets their answers.

    ``queue``: requests that wait for one at most; what comes then is dropped and counted.
    ``seconds``: how long an answer may take before the process is started anew.
    """

    aliases: tuple[str, ...] = ()
    queue: PositiveInt = 64
    seconds: PositiveFloat = 60.0


class CanaryOptions(Options):
    """``alias`` gets a share of the entities that rises through ``steps`` (per cent), ``seconds``
    each, and stays at the last.

    It falls to zero, until the alias means another pair, when more than ``max_errors`` of its last
    ``forecasts`` forecasts are errors.
    """

    alias: str | None = None
    steps: tuple[Percent, ...] = Field(default=(1, 5, 25, 50), min_length=1)
    seconds: PositiveFloat = 600.0
    max_errors: float = Field(default=0.02, ge=0, le=1)
    forecasts: PositiveInt = 100


class AccessOptions(Options):
    """Keys come from ``keys_file`` or the environment's ``keys_variable``, one a line: scopes, the
    key's SHA-256, a remark.

    Without keys a server is open, and refuses to be reached by others unless ``open`` says that
    this is meant. ``cors``: origins whose pages may ask, such as ``https://example.org``.
    ``hosts``: names, without ports, under which the server is asked. Unless they are given, one
    that has no keys and is not ``open`` answers loopback names only, and others answer any.
    """

    keys_file: Path | None = None
    keys_variable: str = "FRAMEWORK_SERVING_KEYS"
    open: bool = False
    cors: tuple[str, ...] = ()
    hosts: tuple[HostName, ...] = ()


class LogOptions(Options):
    """``format``: json or text. ``access``: per cent of the requests that have a line of their own;
    one that failed (5xx) always has. ``level``: the least of the lines that are written.
    """

    format: Literal["json", "text"] = "json"
    level: Literal["critical", "error", "warning", "info", "debug"] = "warning"
    access: Percent = 0.0


class ObserverOptions(Options):
    """``queue``: answers that wait at most for a plugin that follows the forecasts (a large answer
    counts as one for each hundred of its forecasts); what comes then is dropped and counted.
    """

    queue: PositiveInt = 1000


class BatchOptions(Options):
    """Requests that are answered together: ``size`` windows at most (1: each request by itself),
    the first of which waits ``wait_s`` seconds for others (0: only for those that are there
    already). null: 64 on the event loop and 1,024 in a thread, or 1 where that is found to be
    faster when a pair is opened; no wait.
    """

    size: PositiveInt | None = None
    wait_s: NonNegativeFloat | None = None


class TracingOptions(Options):
    """``endpoint``: of an OpenTelemetry collector, such as ``http://localhost:4318/v1/traces``;
    null for none. ``share``: per cent of the requests that are traced where the client does not
    say.
    """

    endpoint: SecretUrl | None = None
    share: Percent = 100.0


class ServingOptions(Options):
    """Limits: what is above one is refused.

    ``max_body_bytes`` and ``max_rows`` (or entities) of one request: more is 413. ``max_in_flight``
    requests at once whose bodies are complete: more is 503 with Retry-After. A body may take
    ``body_timeout`` seconds, and one more for each ``body_rate`` bytes that have come: slower is
    408. ``deadline``: seconds that a body may take at most, and an answer after it (504); null for
    any.

    Variants: ``split`` gives other aliases their shares in per cent of the entities, such as
    ``{candidate: 10}``; the rest is the served alias'. An alias with a share of 0 answers only who
    asks for it.

    ``device``: where the model forecasts: ``cpu``, ``cuda``, ``cuda:N``, or ``auto`` for a GPU
    where there is one and the model can use it. null: the CPU, and where a replica of Ray Serve
    has a GPU of its own, ``auto``.

    ``console``: the page at ``/`` and what it reads below ``/console/``.
    """

    max_body_bytes: PositiveInt = 16 * 1024 * 1024
    max_rows: PositiveInt = 20_000
    max_in_flight: PositiveInt = 256
    deadline: PositiveFloat | None = 60.0
    body_timeout: PositiveFloat = 10.0
    body_rate: PositiveInt = 16 * 1024
    reload: ReloadOptions = ReloadOptions()
    split: dict[str, Percent] | None = None
    shadow: ShadowOptions = ShadowOptions()
    canary: CanaryOptions = CanaryOptions()
    access: AccessOptions = AccessOptions()
    log: LogOptions = LogOptions()
    observers: ObserverOptions = ObserverOptions()
    batch: BatchOptions = BatchOptions()
    tracing: TracingOptions = TracingOptions()
    device: Device | None = None
    console: bool = True

    @model_validator(mode="after")
    def _shares(self) -> ServingOptions:
        split = self.split or {}
        total = sum(split.values()) + (max(self.canary.steps) if self.canary.alias else 0)
        if total > 100:
            raise ValueError(
                f"split and canary.steps add up to {total:g} per cent, at most 100 is left for them"
            )
        if self.canary.alias in split:
            raise ValueError(
                f"'{self.canary.alias}' is in split and is the canary; it has one share"
            )
        if self.canary.alias and self.reload.seconds is None:
            raise ValueError(
                "a canary needs reload.seconds: its share rises with the looks at the registry"
            )
        return self

    def variants(self) -> tuple[str, ...]:
        """List the aliases that may answer beside the served one.

        Returns:
            The canary's, then those of the split.
        """
        return (*((self.canary.alias,) if self.canary.alias else ()), *(self.split or {}))
