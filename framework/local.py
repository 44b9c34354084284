"""``compute=local``: one after another, in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from framework.interfaces.compute import Compute, I, R, S


class LocalCompute(Compute):
    def map(self, function: Callable[[S, I], R], shared: S, items: Sequence[I]) -> Iterator[R]:
        return (function(shared, item) for item in items)
