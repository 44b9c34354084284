"""Serving backend: runs the shared request pipeline until it is stopped, then drains."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from framework.interfaces.registry import PairVersion

if TYPE_CHECKING:
    from framework.serving.deployment import Deployment


class ServingBackend(ABC):
    """Runs a server. The constructor stores its options and does nothing else."""

    def __init__(self, options: Any) -> None:
        self.options = options

    @abstractmethod
    def serve(
        self, deployment: Deployment, announce: Callable[[str, PairVersion], None]
    ) -> Mapping[str, Any] | None:
        """Serve until SIGTERM or SIGINT, and finish the requests in flight.

        Args:
            deployment: What to serve.
            announce: Called once, with the base URL and the pair that answers, when
                ``/health/ready`` answers 200.

        Returns:
            What the run's result has more of, if anything.

        Raises:
            FrameworkError: The address is taken, or the pair may not answer.
        """
